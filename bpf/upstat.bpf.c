/* SPDX-License-Identifier: GPL-2.0-only */
/* The three programs, attached to the cgroup that Traefik runs in. Every path returns 1: anything else would drop
 * traffic. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "owner.h"
#include "response.h"
#include "request.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by the agent: other processes are in the cgroup, too, and their sockets are not looked at. The verifier leaves
 * out what a cgroup of Traefik's own does not need. */
const volatile __u8 shared = 0;

/* What both directions begin with: the packet is read, and its socket returned; 0 where there is nothing to look at. */
static __always_inline struct bpf_sock *enter(struct __sk_buff *skb, struct packet *packet)
{
    struct bpf_sock *sk = skb->sk;

    if (!sk) {
        count_place(UPSTAT_PLACE_NO_SOCKET);
        return 0;
    }
    if (is_clients(sk) || (shared && is_others(sk, zone)) || !read_packet(skb, packet) ||
        (!packet->length && !(packet->flags & (TCP_SYN | TCP_FIN | TCP_RST))))
        return 0;
    return sk;
}

SEC("cgroup_skb/egress")
int upstat_egress(struct __sk_buff *skb)
{
    struct packet packet;
    struct bpf_sock *sk = enter(skb, &packet);
    struct socket_state *state;

    if (!sk)
        return 1;
    state = state_of(sk);
    if (unlikely(!state) && packet.length)
        state = recognise(skb, sk, &packet);
    if (!state || state->stage == STAGE_CLIENT || state->stage == STAGE_UNREAD)
        return 1;
    if (unlikely(packet.flags & TCP_SYN) && !in_flight(state->stage)) /* else it is sent again, without its request */
        expect_request(state, packet.seq);
    if (packet.length)
        send_payload(skb, sk, state, &packet);
    if (unlikely(packet.flags & (TCP_FIN | TCP_RST)) && !state->watched)
        end_unwatched(sk, state);
    return 1;
}

/* The server's SYN-ACK. */
COLD void connected(struct __sk_buff *skb, const struct bpf_sock *sk, struct socket_state *state,
                    const struct packet *packet)
{
    bpf_spin_lock(&state->lock);
    if (state->stage == STAGE_SYN) {
        state->answer = packet->seq;
        state->stage = STAGE_STATUS;
    }
    bpf_spin_unlock(&state->lock);
    if (has_mptcp(skb, packet->payload, packet->options))
        give_up(sk, state, UPSTAT_UNREAD_MPTCP);
}

/* What a server's packet says of its connection. */
COLD void receive_control(struct bpf_sock *sk, struct socket_state *state, const struct packet *packet)
{
    if (packet->flags & TCP_FIN)
        state->finished = 1;
    if (packet->flags & TCP_RST && takes_reset(sk, state, packet)) {
        state->reset = 1;
        if (!state->watched)
            end_unwatched(sk, state);
    }
}

SEC("cgroup_skb/ingress")
int upstat_ingress(struct __sk_buff *skb)
{
    struct packet packet;
    struct bpf_sock *sk = enter(skb, &packet);
    struct socket_state *state;

    if (!sk)
        return 1;
    state = state_of(sk);
    if (!state || state->stage == STAGE_CLIENT || state->stage == STAGE_UNREAD)
        return 1;
    if (unlikely(packet.flags & TCP_SYN))
        connected(skb, sk, state, &packet);
    if (packet.length && in_flight(state->stage))
        receive_payload(skb, sk, state, &packet);
    if (unlikely(packet.flags & (TCP_FIN | TCP_RST)))
        receive_control(sk, state, &packet);
    return 1;
}

/* A connection that this host opens; asks to be told of its end. */
static __always_inline struct socket_state *opened(struct bpf_sock_ops *ops, struct bpf_sock *sk)
{
    int known = ops->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG; /* but there was no memory for its state */
    int refused = bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
    struct upstat_ports *known_ports = local_ports();
    struct socket_state *state;

    if (known_ports)
        known_ports->by_number[(__u16)ops->local_port].opened = 1;
    if (refused)
        count_place(UPSTAT_PLACE_CALLBACK_REFUSED);
    if (!known || ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
        count_event(sk, UPSTAT_CONNECT, 0);
    state = make_state(sk, STAGE_FRESH);
    if (state)
        state->watched = !refused;
    return state;
}

/* A connection that this host accepts: its port is clients', and where that does not tell, its own state does. */
static __always_inline void accepted(struct bpf_sock_ops *ops, struct bpf_sock *sk)
{
    struct upstat_ports *known = local_ports();
    __u16 port = ops->local_port;

    if (known && !known->by_number[port].accepted) {
        known->by_number[port].accepted = 1;
        known->any[port % sizeof(known->any)] = 1;
    }
    make_state(sk, STAGE_CLIENT);
}

/* An attempt that ended in SYN_SENT. One that was closed before it had to repeat its SYN lost a race
 * (Happy Eyeballs) or was called off: no failure of the server's. */
static __always_inline void not_connected(struct bpf_sock_ops *ops, struct bpf_sock *sk, struct socket_state *state)
{
    if (state->reset)
        count_event(sk, UPSTAT_CONNECT_FAILURE, UPSTAT_CONNECT_REFUSED);
    else if (ops->total_retrans)
        count_event(sk, UPSTAT_CONNECT_FAILURE, UPSTAT_CONNECT_TIMEOUT);
}

static __always_inline void state_changed(struct bpf_sock_ops *ops, struct bpf_sock *sk, struct socket_state *state)
{
    __u32 from = ops->args[0], to = ops->args[1];

    if (from == BPF_TCP_SYN_SENT && to == BPF_TCP_CLOSE)
        not_connected(ops, sk, state);
    if (to == BPF_TCP_CLOSE_WAIT)
        end_unanswered(sk, state, UPSTAT_UNANSWERED_CLOSED);
    else if (to == BPF_TCP_FIN_WAIT1)
        end_unanswered(sk, state, UPSTAT_UNANSWERED_ABORTED);
    else if (to == BPF_TCP_CLOSE)
        end_unanswered(sk, state, state->reset ? UPSTAT_UNANSWERED_RESET : UPSTAT_UNANSWERED_ABORTED);
}

SEC("sockops")
int upstat_sockops(struct bpf_sock_ops *ops)
{
    struct bpf_sock *sk = ops->sk;
    struct socket_state *state;

    if (!sk || (shared && is_others(sk, zone)))
        return 1;
    switch (ops->op) {
    case BPF_SOCK_OPS_TCP_CONNECT_CB:
        opened(ops, sk);
        break;
    case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
        /* Has its state already, unless its SYN left before the programs came. */
        state = state_of(sk);
        if (!state)
            state = opened(ops, sk);
        if (state && state->stage == STAGE_FRESH)
            expect_request(state, ops->snd_una);
        break;
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
        accepted(ops, sk);
        break;
    case BPF_SOCK_OPS_STATE_CB:
        state = state_of(sk);
        if (state)
            state_changed(ops, sk, state);
        break;
    }
    return 1;
}
