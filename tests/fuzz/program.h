/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel programs as functions of the host, and what the host must know of their maps. */
#ifndef UPSTAT_FUZZ_PROGRAM_H
#define UPSTAT_FUZZ_PROGRAM_H

#include <linux/bpf.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct program_map {
    const char* name;
    void* map;
    size_t key_size, value_size;
    int type; /* enum bpf_map_type */
};

extern const struct program_map program_maps[];
extern const size_t program_map_count;

/* Set by the agent, where there is one. */
extern const volatile __u32 total_slots, request_slots;

/* Whether a socket's state says that a request that is counted has no answer yet. */
int program_in_flight(const void* state);

int upstat_egress(struct __sk_buff* skb);
int upstat_ingress(struct __sk_buff* skb);
int upstat_sockops(struct bpf_sock_ops* ops);

#ifdef __cplusplus
}
#endif

#endif
