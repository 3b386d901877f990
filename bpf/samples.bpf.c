/* SPDX-License-Identifier: GPL-2.0-only */
/* Samples: the paths of requests whose responses a rule counts as errors. Two programs of their own, behind the three
 * that count, on the same cgroup: loaded only where --samples asks for them, so that without it no map has room for a
 * byte of a request. They look at the state that the others keep and change nothing of it. What cannot be told at once
 * is no sample: a head or a status line in pieces. Every path returns 1. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "http.h"
#include "packet.h"
#include "server.h"
#include "sockets.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by the agent: so many are kept of each server. */
const volatile __u32 kept = 1;

/* The request that is on its way, of a socket. */
struct pending {
    __u32 number; /* of the connection's requests; 0 before the first one */
    __u8 ready;   /* its path is known */
    __u8 padding[3];
    struct upstat_sample sample;
};

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct pending);
} pending SEC(".maps");

/* Where there are too many of either, the oldest make room. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct upstat_sample_key);
    __type(value, struct upstat_sample);
} samples SEC(".maps");

/* How many there were of each server. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct upstat_server_key);
    __type(value, __u32);
} sampled SEC(".maps");

/* The codes that are asked for, and how many samples found no room; one value. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct upstat_sampling);
} sampling SEC(".maps");

static __always_inline struct upstat_sampling *sampling_here(void)
{
    const __u32 only = 0;
    return bpf_map_lookup_elem(&sampling, &only);
}

/* Which request of its connection is in flight: each that was answered before has been counted. */
static __always_inline __u32 number_of(const struct socket_state *state)
{
    __u32 number = 1;

    for (int i = 0; i < FIRST_DIGITS; i++)
        number += state->responses[i];
    return number;
}

/* A connection whose first request this is, as far as it is known: nothing that was sent before has arrived. */
static __always_inline int begins_connection(struct bpf_sock *sk)
{
    const struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);

    return tcp && tcp->bytes_acked <= 1; /* the SYN */
}

#define TARGET_BYTES (HTTP_OPENING_BYTES + UPSTAT_SAMPLE_BYTES)

/* The path of the request line in `line`, of which `size` bytes are there: without its query. */
static __always_inline int take_path(struct upstat_sample *sample, const __u8 *line, __u32 size)
{
    __u32 begin = 0, length = 0;

    while (begin < HTTP_OPENING_BYTES && line[begin] != ' ')
        begin++;
    asm volatile("" : "+r"(begin)); /* else what follows is verified once for each length of a method */
    if (begin >= HTTP_OPENING_BYTES)
        return 0;
    begin++;
    __builtin_memset(sample->path, 0, sizeof(sample->path));
    sample->cut = 1;
    for (__u32 i = 0; i < UPSTAT_SAMPLE_BYTES - 1; i++) {
        __u8 byte = line[begin + i];
        if (begin + i >= size)
            break;
        if (byte <= ' ' || byte == '?' || byte == '#') {
            sample->cut = 0;
            break;
        }
        sample->path[i] = byte;
        length = i + 1;
    }
    sample->size = length;
    return length > 0;
}

/* A request begins with this packet: its path is kept until its response comes. */
COLD void take_request(struct __sk_buff *skb, struct pending *known, const struct packet *packet)
{
    __u8 line[TARGET_BYTES] __attribute__((aligned(8))) = {};
    __u32 beyond_first = packet->length - 1;

    if (beyond_first >= TARGET_BYTES)
        beyond_first = TARGET_BYTES - 1;
    asm volatile("" : "+r"(beyond_first)); /* as in load_bytes */
    if (beyond_first >= TARGET_BYTES || bpf_skb_load_bytes(skb, packet->payload, line, beyond_first + 1))
        return;
    if (http_plain_method(line) >= 0)
        known->ready = take_path(&known->sample, line, beyond_first + 1);
}

/* The others have seen this packet already: a request begins with it if it is the first one behind its anchor. */
SEC("cgroup_skb/egress")
int upstat_sample_egress(struct __sk_buff *skb)
{
    struct bpf_sock *sk = skb->sk;
    struct socket_state *state;
    struct pending *known;
    struct packet packet;

    if (!sk || !(state = state_of(sk)) || state->stage != STAGE_STATUS || !read_plain(skb, &packet) || !packet.length)
        return 1;
    known = bpf_sk_storage_get(&pending, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
    if (!known)
        return 1;
    __u32 number = number_of(state);
    int is_first = known->number ? known->number != number : begins_connection(sk);
    known->number = number;
    if (!is_first)
        return 1; /* more of it; or it may have begun before these programs came */
    known->ready = 0;
    if (state->seen == packet.seq && state->answer == packet.ack_seq)
        take_request(skb, known, &packet);
    return 1;
}

/* Puts a sample into its server's ring. */
COLD void keep_sample(const struct bpf_sock *sk, const struct socket_state *state, const struct upstat_sample *sample,
                      struct upstat_sampling *asked)
{
    struct upstat_sample_key key = {};
    const __u32 none = 0;
    __u32 *count;

    server_of(sk, &key.server);
    key.server.zone = ((union remembered){.word = state->requested}).what;
    count = bpf_map_lookup_elem(&sampled, &key.server);
    if (!count) {
        bpf_map_update_elem(&sampled, &key.server, &none, BPF_NOEXIST);
        count = bpf_map_lookup_elem(&sampled, &key.server);
    }
    if (count) {
        /* Two CPUs may take one place: then the later one has it. */
        key.slot = kept ? *(volatile __u32 *)count % kept : 0;
        *(volatile __u32 *)count += 1;
    }
    if (!count || bpf_map_update_elem(&samples, &key, sample, BPF_ANY))
        __sync_fetch_and_add(&asked->lost, 1);
}

/* The status line is read once more, at the anchor: 0 where not all of it is here. */
static __always_inline int code_in(struct __sk_buff *skb, const struct socket_state *state, const struct packet *packet)
{
    __u8 line[HTTP_STATUS_BYTES] __attribute__((aligned(8)));
    __u32 ahead = state->answer - packet->seq;

    if (ahead >= packet->length || packet->length - ahead < sizeof(line) ||
        bpf_skb_load_bytes(skb, packet->payload + ahead, line, sizeof(line)))
        return 0;
    return http_status(line);
}

/* The others have seen this packet already: it may have brought the response. */
SEC("cgroup_skb/ingress")
int upstat_sample_ingress(struct __sk_buff *skb)
{
    struct bpf_sock *sk = skb->sk;
    struct upstat_sampling *asked = sampling_here();
    struct socket_state *state;
    struct pending *known;
    struct packet packet;

    if (!sk || !asked || !(known = bpf_sk_storage_get(&pending, sk, 0, 0)) || !known->ready)
        return 1;
    if (!(state = state_of(sk)) || in_flight(state->stage) || !read_plain(skb, &packet) || !packet.length)
        return 1;
    known->ready = 0;
    __u32 code = code_in(skb, state, &packet);
    asm volatile("" : "+r"(code)); /* keeps the mask, which the verifier needs */
    if (!asked->codes[code % UPSTAT_CODES])
        return 1;
    if (state->whose != UPSTAT_USERS && state->whose != WHOSE_ROUTED)
        return 1;
    known->sample.time = bpf_ktime_get_boot_ns();
    known->sample.code = code;
    known->sample.method = state->method;
    keep_sample(sk, state, &known->sample, asked);
    return 1;
}
