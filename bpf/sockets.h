/* SPDX-License-Identifier: GPL-2.0-only */
/* The map of connections, for the programs that keep their states and those that look at them. */
#ifndef UPSTAT_SOCKETS_H
#define UPSTAT_SOCKETS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "state.h"

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct socket_state);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} sockets SEC(".maps");

/* The socket's state; 0 where it has none. Packets come here with full sockets only. */
static __always_inline struct socket_state *state_of(struct bpf_sock *sk)
{
    return sk ? bpf_sk_storage_get(&sockets, sk, 0, 0) : 0;
}

#endif
