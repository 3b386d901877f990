/* SPDX-License-Identifier: GPL-2.0-only */
/* Two programs for responses that no packet shows: those of TLS and of HTTP/2. A uprobe in Traefik runs the first where
 * Go's reverse proxy has parsed a response; it leads to the second, which counts. They return 0: the kernel has nothing
 * to record of it. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "http.h"
#include "overflow.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by the agent before the programs are loaded. */
const volatile __u16 zone = 0; /* the number of the Traefik: see upstat_server_key */

/* The counting programs, by zone. A link cannot be given another program without a gap; an entry here can. */
struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, __u32);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} counting SEC(".maps");

/* Responses by the server's name. A map of its own, and no slots: programs of this kind may take no lock. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 8192);
    __type(key, struct upstat_probed_key);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} probed SEC(".maps");

/* The beginning of a upstat_probed_key. */
struct probed_server {
    char host[264];
    __u16 port;
    __u16 zone;
};

_Static_assert(__builtin_offsetof(struct upstat_probed_key, detail) == sizeof(struct probed_server), "a key begins so");

/* How many keys of `probed` each server has. What it sends and its clients ask decides that, so there is an end to it:
 * one server must leave room for the others. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 2048);
    __type(key, struct probed_server);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} probed_series SEC(".maps");

#define SERIES_OF_A_SERVER 256

/* Values of Go 1.22 to 1.26, as far as they are looked at. */
struct go_string {
    __u64 bytes;
    __s64 size;
};

/* From 16 bytes behind the beginning of an http.Response on. */
#define GO_RESPONSE_CODE 16
#define GO_RESPONSE_TLS 136 /* a pointer, nil in clear text */
struct go_response {
    __s64 code;
    struct go_string protocol;
    __s64 major; /* of the protocol's version */
};

struct go_url {
    struct go_string scheme;
    struct go_string opaque;
    __u64 user;
    struct go_string host;
};

struct go_request {
    struct go_string method;
    __u64 url;
};

/* Below are the program's constants, above is its heap: the agent attaches to no other kind of program. */
#define CONSTANTS_END (1ULL << 32)

/* Whether Go's HTTP/2 client made the response: it takes the protocol from a constant. That of HTTP/1 takes it from
 * what the server wrote, which may be HTTP/2.0 too. */
static __always_inline int is_http2(const struct go_response *response)
{
    return response->major == 2 && response->protocol.bytes < CONSTANTS_END;
}

/* Of the two schemes that reach a server; h2c has become http by now. */
static __always_inline int is_https(const struct go_url *url)
{
    return url->scheme.size == sizeof("https") - 1;
}

/* Checks a number again that was checked: 5.10 forgets the bounds of what the compiler keeps on the stack meanwhile. */
#define CHECK_AGAIN(number) asm volatile("" : "+r"(number))

static __always_inline int read_memory(void *to, __u32 size, __u64 from)
{
    return !bpf_probe_read_user(to, size, (const void *)from);
}

static __always_inline __u8 method_of(const struct go_string *method)
{
    __u8 bytes[HTTP_OPENING_BYTES] __attribute__((aligned(8))) = {};
    __u64 size = method->size;
    int found;

    if (size == 0)
        return UPSTAT_METHOD_GET; /* as Go has it */
    if (size > 7)
        return UPSTAT_METHOD_EXTENSION;
    CHECK_AGAIN(size);
    size &= 7;
    if (!read_memory(bytes, size, method->bytes))
        return UPSTAT_METHOD_EXTENSION;
    *(__u64 *)bytes |= (__u64)' ' << 8 * size;
    found = http_method(bytes);
    return found < 0 ? UPSTAT_METHOD_EXTENSION : found;
}

/* A code that is none of a final response: the socket's side calls it malformed too. */
static __always_inline void set_event(struct upstat_probed_key *key, __s64 code)
{
    if (code == 101 || (code >= 200 && code <= 999)) {
        key->event = UPSTAT_RESPONSE;
        key->detail = code;
    } else {
        key->event = UPSTAT_UNANSWERED;
        key->detail = UPSTAT_UNANSWERED_MALFORMED;
        key->method = 0;
    }
}

/* With its request, which elsewhere follows from the response: the sum stays right. */
static __always_inline void count_elsewhere(const struct upstat_probed_key *key)
{
    count_overflow(UPSTAT_REQUEST, 0, 0, UPSTAT_USERS);
    count_overflow(key->event, key->detail, key->method, UPSTAT_USERS);
}

/* Null where the server has too many, or there is no room. */
static __always_inline __u64 *new_counter(const struct upstat_probed_key *key)
{
    const __u64 zero = 0;
    __u64 *series = bpf_map_lookup_elem(&probed_series, key);

    if (!series) {
        bpf_map_update_elem(&probed_series, key, &zero, BPF_NOEXIST); /* another CPU may have been faster: as good */
        series = bpf_map_lookup_elem(&probed_series, key);
    }
    if (!series || *series >= SERIES_OF_A_SERVER) {
        count_place(UPSTAT_PLACE_PROBE_SERIES);
        return 0;
    }
    if (!bpf_map_update_elem(&probed, key, &zero, BPF_NOEXIST))
        __sync_fetch_and_add(series, 1);
    return bpf_map_lookup_elem(&probed, key);
}

static __always_inline void count_probed(const struct upstat_probed_key *key)
{
    __u64 *counter = bpf_map_lookup_elem(&probed, key);

    if (unlikely(!counter))
        counter = new_counter(key);
    if (counter)
        __sync_fetch_and_add(counter, 1); /* atomic although it is this CPU's: a thread can take another's place here */
    else
        count_elsewhere(key);
}

static __always_inline int read_host(struct upstat_probed_key *key, const struct go_string *host)
{
    __u64 size = host->size;

    if (size == 0 || size > UPSTAT_HOST_BYTES)
        return 0;
    CHECK_AGAIN(size);
    return size > 0 && size <= UPSTAT_HOST_BYTES && read_memory(key->host, size, host->bytes);
}

/* Counts a response whose request cannot be read, of a server that nobody knows. */
static __always_inline void count_nameless(struct upstat_probed_key *key, const struct go_response *response,
                                           __u64 response_at)
{
    __u64 tls = 0;

    if (!is_http2(response)) {
        if (!read_memory(&tls, sizeof(tls), response_at + GO_RESPONSE_TLS))
            count_place(UPSTAT_PLACE_PROBE_MEMORY);
        if (!tls)
            return; /* HTTP/1 in clear text: its packets are counted */
    }
    set_event(key, response->code);
    count_place(UPSTAT_PLACE_PROBE_NAME);
    count_elsewhere(key);
}

SEC("uprobe")
int upstat_probed(struct pt_regs *ctx)
{
    struct upstat_probed_key key = {};
    struct go_response response;
    struct go_request request;
    struct go_url url;

    if (!read_memory(&response, sizeof(response), PT_REGS_PARM1(ctx) + GO_RESPONSE_CODE)) {
        count_place(UPSTAT_PLACE_PROBE_MEMORY);
        return 0;
    }
    if (!read_memory(&request, sizeof(request), PT_REGS_PARM2(ctx)) || !read_memory(&url, sizeof(url), request.url)) {
        count_nameless(&key, &response, PT_REGS_PARM1(ctx));
        return 0;
    }
    if (!is_https(&url) && !is_http2(&response))
        return 0; /* HTTP/1 in clear text: its packets are counted */
    key.port = is_https(&url) ? 443 : 80;
    key.zone = zone;
    key.method = method_of(&request.method);
    set_event(&key, response.code);
    if (read_host(&key, &url.host)) {
        count_probed(&key);
    } else {
        count_place(UPSTAT_PLACE_PROBE_NAME);
        count_elsewhere(&key);
    }
    return 0;
}

SEC("uprobe")
int upstat_probe(struct pt_regs *ctx)
{
    bpf_tail_call(ctx, &counting, zone);
    count_place(UPSTAT_PLACE_PROBE_EMPTY);
    return 0;
}
