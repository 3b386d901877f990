/* SPDX-License-Identifier: GPL-2.0-only */
/* What every kind of program counts when it cannot count by key: events without their server. */
#ifndef UPSTAT_OVERFLOW_H
#define UPSTAT_OVERFLOW_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"
#include "places.h"

/* Events of servers that found no room in their table, all servers together (server is zero). Holds each event
 * that there can be, so that no count is lost, only whose it is. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct upstat_total_key);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} overflow SEC(".maps");

COLD void count_overflow(__u8 event, __u16 detail, __u8 method, __u8 whose)
{
    struct upstat_total_key key = {.detail = detail, .event = event, .method = method, .whose = whose};
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

#endif
