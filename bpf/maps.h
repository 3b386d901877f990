/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps, and the one way to count in each. All are pinned and outlive the agent. */
#ifndef UPSTAT_MAPS_H
#define UPSTAT_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

/* Everything that is counted but requests. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 65536);
    __type(key, struct upstat_total_key);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} totals SEC(".maps");

/* Requests, by server. A map of its own, which the agent reads after the totals: so it never sees an answer
 * without its request, and what is outstanding is never below zero. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct upstat_server_key);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} requests SEC(".maps");

/* Events of servers that found no room in the two maps above, all servers together (server is zero). Holds each event
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

/* Counters are per CPU, and still the additions are atomic: a program that runs for a sender can be interrupted by
 * one that runs for a receiver on the same CPU. */
SELDOM void count_place(enum upstat_place place)
{
    __u32 key = place;
    __u64 *counter = bpf_map_lookup_elem(&places, &key);
    if (counter)
        __sync_fetch_and_add(counter, 1);
}

/* Counts under a key; 0 where there is no such entry. */
static __always_inline int count_in(void *map, const void *key)
{
    __u64 *counter = bpf_map_lookup_elem(map, key);
    if (seldom(!counter))
        return 0;
    __sync_fetch_and_add(counter, 1);
    return 1;
}

/* Counts under a new key; 0 where the map has no room for it. */
static __always_inline int count_first(void *map, const void *key)
{
    const __u64 zero = 0;
    bpf_map_update_elem(map, key, &zero, BPF_NOEXIST); /* another CPU may have been faster: as good */
    return count_in(map, key);
}

SELDOM void count_overflow(__u8 event, __u16 detail, __u8 method)
{
    struct upstat_total_key key = {.detail = detail, .event = event, .method = method};

    count_place(UPSTAT_PLACE_TOTALS_FULL);
    if (!count_in(&overflow, &key) && !count_first(&overflow, &key))
        count_place(UPSTAT_PLACE_OVERFLOW_FULL);
}

SELDOM void count_first_request(const struct upstat_server_key *server)
{
    if (!count_first(&requests, server))
        count_overflow(UPSTAT_REQUEST, 0, 0);
}

SELDOM void count_first_event(const struct upstat_total_key *key)
{
    if (!count_first(&totals, key))
        count_overflow(key->event, key->detail, key->method);
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

static __always_inline void count_request(const struct bpf_sock *sk)
{
    struct upstat_server_key server;
    server_of(sk, &server);
    if (!count_in(&requests, &server))
        count_first_request(&server);
}

static __always_inline void count_event(const struct bpf_sock *sk, __u8 event, __u16 detail, __u8 method)
{
    struct upstat_total_key key = {.detail = detail, .event = event, .method = method};
    server_of(sk, &key.server);
    if (!count_in(&totals, &key))
        count_first_event(&key);
}

#endif
