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
    __u32 options; /* bytes of TCP options before it */
    __u32 length;  /* bytes of payload; of a whole super-packet */
    __u32 seq;     /* sequence number of the first payload byte */
    __u32 ack_seq;
    __u8 flags; /* enum tcp_flag */
};

/* Of TCP's header; the enum is the byte behind the one that says how long the header is. */
enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4 };
enum { TCP_LENGTH_BYTE = 12, TCP_FLAGS_BYTE = 13 };

#define IPV6_EXTENSIONS 6

/* The offset of the TCP header behind an IPv6 header and its extensions; 0 where there is none. */
static __always_inline __u32 behind_ipv6(struct __sk_buff *skb)
{
    __u32 offset = sizeof(struct ipv6hdr);
    __u8 next;

    if (bpf_skb_load_bytes(skb, __builtin_offsetof(struct ipv6hdr, nexthdr), &next, 1))
        return 0;
    for (int i = 0; i < IPV6_EXTENSIONS; i++) {
        __u8 extension[4];
        if (next == IPPROTO_TCP)
            return offset;
        if (bpf_skb_load_bytes(skb, offset, extension, sizeof(extension)))
            return 0;
        if (next == IPPROTO_FRAGMENT) {
            if (extension[2] || extension[3] & ~6)
                return 0; /* one of several */
            extension[1] = 0;
        } else if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS) {
            return 0;
        }
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

static __always_inline void take_header(const struct __sk_buff *skb, struct packet *packet, const struct tcphdr *tcp,
                                        __u32 offset)
{
    const __u8 *bytes = (const __u8 *)tcp; /* bit fields would be read one by one */
    __u32 size = (bytes[TCP_LENGTH_BYTE] >> 4) * 4, total = skb->len;

    packet->flags = bytes[TCP_FLAGS_BYTE];
    packet->options = size - sizeof(*tcp);
    packet->payload = offset + size;
    /* Not the IP header's length: it is 0 in super-packets of more than 64 KB. */
    packet->length = total > packet->payload ? total - packet->payload : 0;
    packet->seq = bpf_ntohl(tcp->seq) + !!(packet->flags & TCP_SYN);
    packet->ack_seq = bpf_ntohl(tcp->ack_seq);
}

/* The common way, without a helper: plain headers that lie in one piece. 0 where they do not. */
static __always_inline int read_plain(const struct __sk_buff *skb, struct packet *packet)
{
    const __u8 *data = (const __u8 *)(long)skb->data, *end = (const __u8 *)(long)skb->data_end;
    const struct iphdr *ip = (const struct iphdr *)data;
    const struct ipv6hdr *ipv6 = (const struct ipv6hdr *)data;

    if (data + sizeof(*ip) + sizeof(struct tcphdr) > end)
        return 0;
    if (*data == 0x45 && ip->protocol == IPPROTO_TCP) {
        take_header(skb, packet, (const struct tcphdr *)(ip + 1), sizeof(*ip));
        return 1;
    }
    if (data + sizeof(*ipv6) + sizeof(struct tcphdr) > end || *data >> 4 != 6 || ipv6->nexthdr != IPPROTO_TCP)
        return 0;
    take_header(skb, packet, (const struct tcphdr *)(ipv6 + 1), sizeof(*ipv6));
    return 1;
}

/* Any other way; 0 where the packet has no TCP header that can be read (counted). */
COLD int read_odd(struct __sk_buff *skb, struct packet *packet)
{
    __u32 offset = tcp_offset(skb);
    struct tcphdr tcp;

    if (!offset) {
        count_place(UPSTAT_PLACE_NOT_TCP);
        return 0;
    }
    if (bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp))) {
        count_place(UPSTAT_PLACE_SHORT_HEADER);
        return 0;
    }
    take_header(skb, packet, &tcp, offset);
    return 1;
}

/* Reads the packet's headers; 0 where that cannot be done. */
static __always_inline int read_packet(struct __sk_buff *skb, struct packet *packet)
{
    return read_plain(skb, packet) || read_odd(skb, packet);
}

/* Loads `want` bytes, 1 to `size`, of the packet; 0 where that fails (counted). 5.10 and 6.1 learn from "is not
 * zero" no lower bound: so it is one less that is tested. The barriers keep clang from merging the steps again. */
static __always_inline int load_bytes(struct __sk_buff *skb, __u32 offset, __u8 *to, __u32 want, __u32 size)
{
    __u32 beyond_first = want - 1;

    asm volatile("" : "+r"(beyond_first));
    if (beyond_first < size) {
        asm volatile("" : "+r"(beyond_first));
        if (!bpf_skb_load_bytes(skb, offset, to, beyond_first + 1))
            return 1;
    }
    count_place(UPSTAT_PLACE_LOAD_FAILED);
    return 0;
}

/* The packet's scratch words, each with one meaning. The verifier follows each value that a variable can have, but
 * knows nothing of what stands here. */
enum scratch {
    HEAD_METHOD,       /* of the request head that was scanned; offsets from its beginning, 0 where there is none: */
    HEAD_END,          /* behind the head */
    HEAD_LENGTH_VALUE, /* the value of Content-Length */
    HEAD_CHUNKED,      /* 1 where there is a Transfer-Encoding */
    OPTION_AT,         /* the TCP option that is looked at */
};

static __always_inline __u32 scratch(const struct __sk_buff *skb, enum scratch which)
{
    return skb->cb[which];
}

static __always_inline void set_scratch(struct __sk_buff *skb, enum scratch which, __u32 value)
{
    skb->cb[which] = value;
}

/* TCP's options take up to 40 bytes. */
#define OPTION_BYTES 40
enum { OPTION_END = 0, OPTION_NONE = 1, OPTION_MPTCP = 30 };

/* Whether the TCP header that ends at `payload` has the option of Multipath TCP. A function of its own, which is
 * verified once. */
__noinline int has_mptcp(struct __sk_buff *skb, __u32 payload, __u32 size)
{
    __u8 options[OPTION_BYTES] = {};

    if (!size || !load_bytes(skb, payload - size, options, size, sizeof(options)))
        return 0;
    set_scratch(skb, OPTION_AT, 0);
    for (int i = 0; i < OPTION_BYTES; i++) {
        __u32 at = scratch(skb, OPTION_AT);
        if (at >= OPTION_BYTES - 1 || options[at] == OPTION_END)
            return 0;
        if (options[at] == OPTION_MPTCP)
            return 1;
        set_scratch(skb, OPTION_AT, at + (options[at] == OPTION_NONE || !options[at + 1] ? 1 : options[at + 1]));
    }
    return 0;
}

#endif
