/* SPDX-License-Identifier: GPL-2.0-only */
/* What every program counts of itself: its skips and failures. */
#ifndef UPSTAT_PLACES_H
#define UPSTAT_PLACES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

/* Skips and failures, by enum upstat_place. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, UPSTAT_PLACES);
    __type(key, __u32);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} places SEC(".maps");

/* Cold paths are out of line so that the per-packet path stays small in the instruction cache. */
#define COLD static __noinline
#ifndef unlikely
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#endif

COLD void count_place(enum upstat_place place)
{
    __u32 key = place;
    __u64 *counter = bpf_map_lookup_elem(&places, &key);
    if (counter)
        __sync_fetch_and_add(counter, 1);
}

#endif
