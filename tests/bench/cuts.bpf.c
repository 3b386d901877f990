/* SPDX-License-Identifier: GPL-2.0-only */
/* The way of a packet through upstat's programs, cut off behind each of its parts: cuts.py says what each part costs.
 * Nothing is kept and nothing counted; the connections' events are followed by the whole program. */
#include "upstat.bpf.c"

/* What was found out is not left out by the compiler. */
#define found(value) asm volatile("" ::"r"(value))

SEC("cgroup/skb")
int side(struct __sk_buff* skb) {
    struct bpf_sock* sk = skb->sk;

    if (sk) found(is_clients(sk));
    return 1;
}

SEC("cgroup/skb")
int headers(struct __sk_buff* skb) {
    struct packet packet;

    if (enter(skb, &packet)) found(packet.seq + packet.ack_seq + packet.payload + packet.length);
    return 1;
}

SEC("cgroup/skb")
int storage(struct __sk_buff* skb) {
    struct packet packet;
    struct bpf_sock* sk = enter(skb, &packet);
    struct socket_state* state = state_of(sk);

    if (state) found(state->stage);
    return 1;
}

SEC("cgroup_skb/egress")
int request_head(struct __sk_buff* skb) {
    struct packet packet;
    struct bpf_sock* sk = enter(skb, &packet);
    struct socket_state* state = state_of(sk);

    if (state && state->stage != STAGE_CLIENT && packet.length) found(scan_head(skb, packet.payload, packet.length));
    return 1;
}

SEC("cgroup_skb/ingress")
int status_line(struct __sk_buff* skb) {
    struct packet packet;
    struct bpf_sock* sk = enter(skb, &packet);
    struct socket_state* state = state_of(sk);
    __u8 line[HTTP_STATUS_BYTES] __attribute__((aligned(8)));

    if (state && state->stage != STAGE_CLIENT && packet.length >= sizeof(line) &&
        !bpf_skb_load_bytes(skb, packet.payload, line, sizeof(line)))
        found(http_status(line));
    return 1;
}
