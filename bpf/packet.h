/* SPDX-License-Identifier: GPL-2.0-only */
/* One packet of a cgroup_skb program: where its payload begins and what its TCP header says. */
#ifndef UPSTAT_PACKET_H
#define UPSTAT_PACKET_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

struct packet {
    __u32 payload; /* offset of the payload in the packet */
    __u32 length;  /* bytes of payload; of a whole super-packet */
    __u32 seq;     /* sequence number of the first payload byte */
    __u32 ack_seq;
    __u8 syn, fin, rst, ack;
};

#define IPV6_EXTENSIONS 6

/* The offset of the TCP header behind an IPv6 header and its extensions; 0 where there is none. */
static __always_inline __u32 behind_ipv6(struct __sk_buff *skb)
{
    __u32 offset = sizeof(struct ipv6hdr);
    __u8 next;

    if (bpf_skb_load_bytes(skb, __builtin_offsetof(struct ipv6hdr, nexthdr), &next, 1))
        return 0;
    for (int i = 0; i < IPV6_EXTENSIONS; i++) {
        __u8 extension[2];
        if (next == IPPROTO_TCP)
            return offset;
        if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS)
            return 0;
        if (bpf_skb_load_bytes(skb, offset, extension, sizeof(extension)))
            return 0;
        next = extension[0];
        offset += (extension[1] + 1) * 8;
    }
    return next == IPPROTO_TCP ? offset : 0;
}

/* The offset of the TCP header; 0 where the packet is not TCP over IP. */
static __always_inline __u32 tcp_offset(struct __sk_buff *skb)
{
    struct iphdr ip;

    if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
        return 0;
    if (ip.version == 4)
        return ip.protocol == IPPROTO_TCP ? ip.ihl * 4 : 0;
    return ip.version == 6 ? behind_ipv6(skb) : 0;
}

/* Reads the packet's headers; 0 where it has no TCP header that can be read (counted). */
static __always_inline int read_packet(struct __sk_buff *skb, struct packet *packet)
{
    struct tcphdr tcp;
    __u32 offset = tcp_offset(skb);

    if (!offset) {
        count_place(UPSTAT_PLACE_NOT_TCP);
        return 0;
    }
    if (bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp))) {
        count_place(UPSTAT_PLACE_SHORT_HEADER);
        return 0;
    }
    packet->payload = offset + tcp.doff * 4;
    /* Not the IP header's length: it is 0 in super-packets of more than 64 KB. */
    packet->length = skb->len > packet->payload ? skb->len - packet->payload : 0;
    packet->seq = bpf_ntohl(tcp.seq) + tcp.syn;
    packet->ack_seq = bpf_ntohl(tcp.ack_seq);
    packet->syn = tcp.syn;
    packet->fin = tcp.fin;
    packet->rst = tcp.rst;
    packet->ack = tcp.ack;
    return 1;
}

/* Loads `want` bytes, 1 to `size`, of the packet; 0 where that fails (counted). The mask and the test that looks
 * needless are what lets the verifier see the bound. */
static __always_inline int load_bytes(struct __sk_buff *skb, __u32 offset, __u8 *to, __u32 want, __u32 size)
{
    asm volatile("" : "+r"(want));
    if (want == 0 || want > size || bpf_skb_load_bytes(skb, offset, to, want)) {
        count_place(UPSTAT_PLACE_LOAD_FAILED);
        return 0;
    }
    return 1;
}

#endif
