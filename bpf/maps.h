/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps, and counting in them by key: whoever makes the key, from a socket or otherwise. All are pinned and outlive
 * the agent. */
#ifndef UPSTAT_MAPS_H
#define UPSTAT_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "overflow.h"

/* The table of everything that is counted but requests: the slot of each key, from 1 on, and 0 as long as its first
 * event is about to be counted. No key is ever taken out. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, struct upstat_total_key);
    __type(value, __u32);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} totals SEC(".maps");

/* Requests, by server. A table of its own, which the agent reads after the totals: so it never sees a response
 * without its request, and what is outstanding is never below zero. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, struct upstat_request_key);
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

/* How many slots each table has given away; behind that, how many of them each zone has. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, UPSTAT_TABLES * (1 + UPSTAT_SHARES));
    __type(key, __u32);
    __type(value, struct upstat_slots);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} slots SEC(".maps");

/* Set by the agent before the programs are loaded. */
const volatile __u32 total_slots = 65536;   /* of one CPU */
const volatile __u32 request_slots = 16384; /* of one CPU */
const volatile __u16 generation = 1; /* which of the generations that share a directory these maps are, and the zone */
/* The number of the Traefik on whose cgroup these programs are. One address can be two servers, in the networks of two
 * Traefiks, as connections in conntrack's zones are. Each number has programs of its own, so that it costs no packet a
 * look-up; all share the maps. Before there were zones all was counted in what is 0 now. */
const volatile __u16 zone = 0;

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

/* What the agent tells of servers: those that a backend lists each have a record. It writes the records first and then
 * another number into the epoch: a socket that remembers a record looks for it again when the number is not the one
 * that it remembers with it. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, struct upstat_server_key);
    __type(value, struct upstat_record);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} records SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} records_epoch SEC(".maps");

/* Whether a zone that has `mine` of a table's slots may have one more. Each is to leave room for those that come later;
 * servers that a backend lists, for which there are records, go before others, whose number nobody bounds. */
static __always_inline int may_have_more(__u32 mine, __u32 given, __u32 size, const struct upstat_server_key *server)
{
    __u64 left = given < size ? size - given : 0;

    if (mine < left * UPSTAT_SHARE_UNLISTED)
        return 1;
    return mine < left * UPSTAT_SHARE_LISTED && bpf_map_lookup_elem(&records, server);
}

/* The slot of a server's key, a new one where it has none; 0 where the table, of `size` slots, has no room for it. */
static __always_inline __u32 slot_of(void *table, enum upstat_table number, __u32 size, const void *key,
                                     const struct upstat_server_key *server)
{
    const __u32 none = 0, which = number;
    const __u32 whose = UPSTAT_TABLES * (1 + zone % UPSTAT_SHARES) + number;
    __u32 *slot = bpf_map_lookup_elem(table, key);
    struct upstat_slots *given, *share;
    int is_new;

    if (slot && *slot)
        return *slot;
    given = bpf_map_lookup_elem(&slots, &which);
    share = bpf_map_lookup_elem(&slots, &whose);
    if (!given || !share)
        return 0;
    if (!slot && !may_have_more(share->given, given->given, size, server)) {
        count_place(UPSTAT_PLACE_SHARE_FULL);
        return 0;
    }
    bpf_map_update_elem(table, key, &none, BPF_NOEXIST); /* another CPU may have been faster: as good */
    slot = bpf_map_lookup_elem(table, key);
    if (!slot)
        return 0;
    bpf_spin_lock(&given->lock);
    is_new = !*slot;
    if (is_new)
        *slot = ++given->given;
    bpf_spin_unlock(&given->lock);
    if (is_new)
        __sync_fetch_and_add(&share->given, 1);
    return *slot;
}

/* Leaves the route out of a new key where half of the slots are given. Clients choose routes, beside codes and methods:
 * what one server multiplies so must leave room for the others. */
static __always_inline void limit_routes(struct upstat_total_key *key)
{
    const __u32 which = UPSTAT_TOTALS;
    const struct upstat_slots *given = bpf_map_lookup_elem(&slots, &which);

    if (!given || *(const volatile __u32 *)&given->given < total_slots / 2 || bpf_map_lookup_elem(&totals, key))
        return;
    key->route = 0;
    count_place(UPSTAT_PLACE_ROUTE_FULL);
}

/* Counts in a slot of this CPU's, of which there are `size`; 0 where there is no such slot. The addition is atomic
 * although the slot is this CPU's: a program that runs for a sender can be interrupted by one for a receiver. */
static __always_inline int count_in(void *counts, __u32 size, __u32 slot)
{
    __u32 at = bpf_get_smp_processor_id() * size + slot - 1;
    __u64 *counter = slot ? bpf_map_lookup_elem(counts, &at) : 0;

    if (unlikely(!counter))
        return 0;
    __sync_fetch_and_add(counter, 1);
    return 1;
}

/* Counts an event by its key. The slot that it has; 0 where the table was full, and it was counted as overflow. */
static __always_inline __u32 count_by_key(const struct upstat_total_key *key)
{
    __u32 slot = slot_of(&totals, UPSTAT_TOTALS, total_slots, key, &key->server);

    if (count_in(&total_counts, total_slots, slot))
        return slot;
    count_overflow(key->event, key->detail, key->method, key->whose);
    return 0;
}

/* Counts a request by its key, in the same way. */
static __always_inline __u32 count_request_by_key(const struct upstat_request_key *key)
{
    __u32 slot = slot_of(&requests, UPSTAT_REQUESTS, request_slots, key, &key->server);

    if (count_in(&request_counts, request_slots, slot))
        return slot;
    count_overflow(UPSTAT_REQUEST, 0, 0, key->whose);
    return 0;
}

#endif
