/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps, and the ways to count in them. All are pinned and outlive the agent. */
#ifndef UPSTAT_MAPS_H
#define UPSTAT_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

/* The table of everything that is counted but requests: the slot of each key, from 1 on, and 0 as long as its first
 * event is about to be counted. No key is ever taken out. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, struct upstat_total_key);
    __type(value, __u32);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} totals SEC(".maps");

/* Requests, by server. A table of its own, which the agent reads after the totals: so it never sees an answer
 * without its request, and what is outstanding is never below zero. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, struct upstat_server_key);
    __type(value, __u32);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} requests SEC(".maps");

/* The counts themselves, which the agent reads by mmap: as many as the table has room for, once for each CPU, one CPU's
 * in a row. The agent sets how many there are. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} total_counts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 16384);
    __type(key, __u32);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} request_counts SEC(".maps");

/* How many slots each table has given away. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, UPSTAT_TABLES);
    __type(key, __u32);
    __type(value, struct upstat_slots);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} slots SEC(".maps");

/* Set by the agent before the programs are loaded. */
const volatile __u32 total_slots = 65536;   /* of one CPU */
const volatile __u32 request_slots = 16384; /* of one CPU */
const volatile __u16 generation = 1;        /* which of the generations that share a directory these maps are */

/* Events of servers that found no room in the two tables above, all servers together (server is zero). Holds each event
 * that there can be, so that no count is lost, only whose it is. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 8192);
    __type(key, struct upstat_total_key);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} overflow SEC(".maps");

/* Skips and failures, by enum upstat_place. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, UPSTAT_PLACES);
    __type(key, __u32);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} places SEC(".maps");

/* What the local ports are in use for: one value, which the agent writes to by mmap. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct upstat_ports);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} ports SEC(".maps");

static __always_inline struct upstat_ports *local_ports(void)
{
    const __u32 only = 0;
    return bpf_map_lookup_elem(&ports, &only);
}

/* Whether a socket is a client's connection by its local port: no call, and all that such a packet costs. */
static __always_inline int is_clients(const struct bpf_sock *sk)
{
    const struct upstat_ports *known = local_ports();
    __u16 port = sk->src_port;

    return known && known->any[port % sizeof(known->any)] && known->by_number[port].accepted &&
           !known->by_number[port].opened;
}

/* What seldom happens stands apart from the way of every packet, so that this one touches few lines of the CPU's cache
 * of instructions. */
#define SELDOM static __noinline
#define seldom(condition) __builtin_expect(!!(condition), 0)

SELDOM void count_place(enum upstat_place place)
{
    __u32 key = place;
    __u64 *counter = bpf_map_lookup_elem(&places, &key);
    if (counter)
        __sync_fetch_and_add(counter, 1);
}

SELDOM void count_overflow(__u8 event, __u16 detail, __u8 method)
{
    struct upstat_total_key key = {.detail = detail, .event = event, .method = method};
    const __u64 zero = 0;
    __u64 *counter = bpf_map_lookup_elem(&overflow, &key);

    count_place(UPSTAT_PLACE_TOTALS_FULL);
    if (!counter) {
        bpf_map_update_elem(&overflow, &key, &zero, BPF_NOEXIST); /* another CPU may have been faster: as good */
        counter = bpf_map_lookup_elem(&overflow, &key);
    }
    if (counter)
        __sync_fetch_and_add(counter, 1);
    else
        count_place(UPSTAT_PLACE_OVERFLOW_FULL);
}

/* The slot of a key, a new one where it has none; 0 where the table has no room for it. */
static __always_inline __u32 slot_of(void *table, enum upstat_table number, const void *key)
{
    const __u32 none = 0, which = number;
    __u32 *slot = bpf_map_lookup_elem(table, key);
    struct upstat_slots *given;

    if (slot && *slot)
        return *slot;
    bpf_map_update_elem(table, key, &none, BPF_NOEXIST); /* another CPU may have been faster: as good */
    slot = bpf_map_lookup_elem(table, key);
    given = bpf_map_lookup_elem(&slots, &which);
    if (!slot || !given)
        return 0;
    bpf_spin_lock(&given->lock);
    if (!*slot)
        *slot = ++given->given;
    bpf_spin_unlock(&given->lock);
    return *slot;
}

/* Counts in a slot of this CPU's, of which there are `size`; 0 where there is no such slot. The addition is atomic all
 * the same, here and elsewhere: a program that runs for a sender can be interrupted by one that runs for a receiver on
 * the same CPU. */
static __always_inline int count_in(void *counts, __u32 size, __u32 slot)
{
    __u32 at = bpf_get_smp_processor_id() * size + slot - 1;
    __u64 *counter = slot ? bpf_map_lookup_elem(counts, &at) : 0;

    if (seldom(!counter))
        return 0;
    __sync_fetch_and_add(counter, 1);
    return 1;
}

/* The server that a connected socket talks to. */
static __always_inline void server_of(const struct bpf_sock *sk, struct upstat_server_key *server)
{
    __u32 *words = (__u32 *)server->address;
    if (sk->family == 2 /* AF_INET */) {
        words[0] = 0;
        words[1] = 0;
        words[2] = bpf_htonl(0xffff);
        words[3] = sk->dst_ip4;
        asm volatile("" ::: "memory"); /* keeps the two loads apart: the verifier takes no computed offset here */
    } else {
        words[0] = sk->dst_ip6[0];
        words[1] = sk->dst_ip6[1];
        words[2] = sk->dst_ip6[2];
        words[3] = sk->dst_ip6[3];
    }
    server->port = bpf_ntohs(sk->dst_port);
    server->unused = 0;
}

/* Where a socket was counted last: it spares the next one the look-up by key. One word, since two CPUs can be at it. */
union remembered {
    __u64 word;
    struct {
        __u32 slot;
        __u16 generation; /* whose slot: another one's programs may have been at this socket */
        __u16 what;       /* for an answer, see answer_mark */
    };
};

static __always_inline __u16 answer_mark(__u16 code, __u8 method)
{
    return code | method << 12;
}

/* The slot that `word` remembers; 0 where it is not of this. */
static __always_inline __u32 recall(const __u64 *word, __u16 what)
{
    union remembered known = {.word = *(const volatile __u64 *)word};

    return known.generation == generation && known.what == what ? known.slot : 0;
}

static __always_inline void remember(__u64 *word, __u32 slot, __u16 what)
{
    union remembered known = {.slot = slot, .generation = generation, .what = what};

    *(volatile __u64 *)word = known.word;
}

/* Counts by key; the slot, 0 where that found no room. */
SELDOM __u32 count_event(const struct bpf_sock *sk, __u8 event, __u16 detail, __u8 method)
{
    struct upstat_total_key key = {.detail = detail, .event = event, .method = method};

    server_of(sk, &key.server);
    __u32 slot = slot_of(&totals, UPSTAT_TOTALS, &key);
    if (count_in(&total_counts, total_slots, slot))
        return slot;
    count_overflow(event, detail, method);
    return 0;
}

/* Counts an answer; `word` is where the socket remembers the last one. */
static __always_inline void count_answer(const struct bpf_sock *sk, __u64 *word, __u16 code, __u8 method)
{
    __u16 what = answer_mark(code, method);

    if (!count_in(&total_counts, total_slots, recall(word, what)))
        remember(word, count_event(sk, UPSTAT_ANSWER, code, method), what);
}

SELDOM void count_first_request(const struct bpf_sock *sk, __u64 *word)
{
    struct upstat_server_key server;

    server_of(sk, &server);
    __u32 slot = slot_of(&requests, UPSTAT_REQUESTS, &server);
    if (count_in(&request_counts, request_slots, slot))
        remember(word, slot, 0);
    else
        count_overflow(UPSTAT_REQUEST, 0, 0);
}

/* Counts a request; `word` is where the socket remembers the last one. */
static __always_inline void count_request(const struct bpf_sock *sk, __u64 *word)
{
    if (!count_in(&request_counts, request_slots, recall(word, 0)))
        count_first_request(sk, word);
}

#endif
