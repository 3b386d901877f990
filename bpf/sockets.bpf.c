/* SPDX-License-Identifier: GPL-2.0-only */
/* The connections to servers, one record each, for whoever reads the iterator. It runs only then, and only reads. */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "state.h"

char LICENSE[] SEC("license") = "GPL";

/* The kernel's own types, as far as they are read here: the loader finds where each member stands in the kernel that
 * runs. Behind three underscores it takes a name for no part of the type's. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct in6_addr___own {
    union {
        __u32 u6_addr32[4];
    } in6_u;
};

struct sock_common {
    __u32 skc_daddr;
    __u16 skc_dport;
    __u16 skc_num;
    unsigned short skc_family;
    volatile unsigned char skc_state;
    struct in6_addr___own skc_v6_daddr;
};

struct sock {
    struct sock_common __sk_common;
};

struct inet_connection_sock {
    struct {
        __u32 lrcvtime;
    } icsk_ack;
};

struct tcp_sock {
    struct inet_connection_sock inet_conn;
};

struct bpf_iter_meta {
    struct seq_file *seq;
};

struct bpf_iter__bpf_sk_storage_map {
    struct bpf_iter_meta *meta;
    struct bpf_map *map;
    struct sock *sk;
    struct socket_state *value;
};
#pragma clang attribute pop

static __always_inline void put_server(const struct sock_common *connection, struct upstat_server_key *server)
{
    __u32 *words = (__u32 *)server->address;

    if (connection->skc_family == 2 /* AF_INET */) {
        words[2] = bpf_htonl(0xffff);
        words[3] = connection->skc_daddr;
    } else {
        for (int i = 0; i < 4; i++)
            words[i] = connection->skc_v6_daddr.in6_u.u6_addr32[i];
    }
    server->port = bpf_ntohs(connection->skc_dport);
}

/* As it is known here, and by the kernel. */
static __always_inline enum upstat_socket_state state_now(const struct socket_state *state, __u8 tcp)
{
    if (tcp == BPF_TCP_SYN_SENT)
        return UPSTAT_SOCKET_CONNECTING;
    if (tcp != BPF_TCP_ESTABLISHED)
        return UPSTAT_SOCKET_CLOSING;
    if (in_flight(state->stage))
        return UPSTAT_SOCKET_WAITING;
    if (state->stage != STAGE_UNREAD)
        return UPSTAT_SOCKET_IDLE;
    /* A connection is given up for its first bytes only, so one that was read is a tunnel. */
    return state->asked ? UPSTAT_SOCKET_TUNNEL : UPSTAT_SOCKET_UNREAD;
}

SEC("iter/bpf_sk_storage_map")
int upstat_sockets(struct bpf_iter__bpf_sk_storage_map *ctx)
{
    const struct socket_state *state = ctx->value;
    struct sock *sk = ctx->sk;
    struct upstat_socket socket = {};
    __u64 now = bpf_jiffies64();

    if (!sk || !state || state->stage == STAGE_CLIENT || sk->__sk_common.skc_state == BPF_TCP_CLOSE)
        return 0;
    struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
    if (!tcp)
        return 0;
    socket.number = (__u64)sk;
    put_server(&sk->__sk_common, &socket.server);
    socket.server.zone = ((union remembered){.word = state->requested}).what;
    socket.local_port = sk->__sk_common.skc_num;
    socket.state = state_now(state, sk->__sk_common.skc_state);
    socket.joined = !state->watched;
    __builtin_memcpy(socket.responses, state->responses + 2, sizeof(socket.responses));
    socket.age = (__u32)(now >> UPSTAT_AGE_SHIFT) - state->born;
    socket.lasting = socket.state == UPSTAT_SOCKET_CONNECTING ? socket.age << UPSTAT_AGE_SHIFT
                     : socket.state == UPSTAT_SOCKET_WAITING  ? (__u32)now - state->asked
                                                              : (__u32)now - tcp->inet_conn.icsk_ack.lrcvtime;
    bpf_seq_write(ctx->meta->seq, &socket, sizeof(socket));
    return 0;
}
