/* SPDX-License-Identifier: GPL-2.0-only */
/* The key of a socket: the server that it talks to, and counting for it. A socket remembers the slots that it counted
 * in last, so that most responses and requests need no look-up by key. */
#ifndef UPSTAT_SERVER_H
#define UPSTAT_SERVER_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"
#include "maps.h"
#include "state.h"

/* Whether a socket is a client's connection by its local port: no call, and all that such a packet costs. */
static __always_inline int is_clients(const struct bpf_sock *sk)
{
    const struct upstat_ports *known = local_ports();
    __u16 port = sk->src_port;

    return known && known->any[port % sizeof(known->any)] && known->by_number[port].accepted &&
           !known->by_number[port].opened;
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
    server->zone = zone;
}

static __always_inline __u16 response_mark(__u16 code, __u8 method)
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

/* Counts by the socket's key; `whose` is enum upstat_whose, and above that byte the route of a user's. The slot; 0
 * where the table was full. */
COLD __u32 count_event_of(const struct bpf_sock *sk, __u32 whose, __u8 event, __u16 detail, __u8 method)
{
    struct upstat_total_key key = {.detail = detail,
                                   .event = event,
                                   .method = (__u8)whose == UPSTAT_USERS ? method : 0,
                                   .whose = (__u8)whose,
                                   .route = event == UPSTAT_RESPONSE ? whose >> 8 : 0};

    server_of(sk, &key.server);
    if (unlikely(key.route))
        limit_routes(&key);
    return count_by_key(&key);
}

/* The same, of a connection. */
static __always_inline void count_event(const struct bpf_sock *sk, __u8 event, __u16 detail)
{
    count_event_of(sk, UPSTAT_USERS, event, detail, 0);
}

/* Counts a user's response; `word` is where the socket remembers the last one. */
static __always_inline void count_response(const struct bpf_sock *sk, __u64 *word, __u16 code, __u8 method)
{
    __u16 what = response_mark(code, method);

    if (!count_in(&total_counts, total_slots, recall(word, what)))
        remember(word, count_event_of(sk, UPSTAT_USERS, UPSTAT_RESPONSE, code, method), what);
}

/* Counts a request by the socket's key. The slot; 0 where the table was full. */
COLD __u32 count_request_of(const struct bpf_sock *sk, __u8 whose)
{
    struct upstat_request_key key = {.whose = whose};

    server_of(sk, &key.server);
    return count_request_by_key(&key);
}

/* Counts a user's request; `word` is where the socket remembers the last one. */
static __always_inline void count_request(const struct bpf_sock *sk, __u64 *word)
{
    if (!count_in(&request_counts, request_slots, recall(word, zone)))
        remember(word, count_request_of(sk, UPSTAT_USERS), zone);
}

#endif
