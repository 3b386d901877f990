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

/* As far as the socket's storage; 0 where that has no state of a server's. */
static __always_inline struct socket_state* reach(struct __sk_buff* skb, struct packet* packet) {
    struct socket_state* state = state_of(enter(skb, packet));

    return state && state->stage != STAGE_CLIENT ? state : 0;
}

SEC("cgroup/skb")
int storage(struct __sk_buff* skb) {
    struct packet packet;

    found(reach(skb, &packet));
    return 1;
}

SEC("cgroup_skb/egress")
int request_head(struct __sk_buff* skb) {
    struct packet packet;

    if (reach(skb, &packet) && packet.length) found(scan_head(skb, packet.payload, packet.length));
    return 1;
}

SEC("cgroup_skb/ingress")
int status_line(struct __sk_buff* skb) {
    __u8 line[HTTP_STATUS_BYTES] __attribute__((aligned(8)));
    struct packet packet;

    if (reach(skb, &packet) && packet.length >= sizeof(line) &&
        !bpf_skb_load_bytes(skb, packet.payload, line, sizeof(line)))
        found(http_status(line));
    return 1;
}
