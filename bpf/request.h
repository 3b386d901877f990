/* SPDX-License-Identifier: GPL-2.0-only */
/* Egress: which segment begins a request, and where the next one will. The socket lock is held in the kernel, so
 * only one CPU is here at a time for one socket; the state's lock is against the ingress side. */
#ifndef UPSTAT_REQUEST_H
#define UPSTAT_REQUEST_H

#include "socket.h"

/* How far into its first segment a request's head is followed. Go writes Content-Length before other headers. */
#define HEAD_BYTES 1024
#define HEAD_CHUNK 128

/* Where a request ends, told from the segment that it begins in. */
struct framing {
    __u32 next; /* see socket_state.next */
    __u8 flags; /* REQUEST_CHUNKED, REQUEST_OPEN or 0 */
    __u64 sent; /* see socket_state.sent */
};

/* What is found in a request's head: offsets from its beginning, 0 where there is none. Kept in the packet's scratch
 * words, since the verifier would follow each value that a variable can have. */
enum { HEAD_END, HEAD_LENGTH_VALUE, HEAD_CHUNKED };

/* Looks at the line that begins at `at` in the head at `offset`, of which `available` bytes are here. A function of its
 * own, which is verified once for all its calls. */
__noinline int read_header(struct __sk_buff *skb, __u32 offset, __u32 available, __u32 at)
{
    __u8 line[HTTP_HEADER_BYTES] = {};
    __u32 left = available - at;

    if (at >= available || !load_bytes(skb, offset + at, line, left < sizeof(line) ? left : sizeof(line), sizeof(line)))
        return 0;
    switch (http_header(line)) {
    case HTTP_HEADER_NONE:
        skb->cb[HEAD_END] = at + (line[0] == '\r' ? 2 : 1);
        return 1;
    case HTTP_HEADER_LENGTH:
        skb->cb[HEAD_LENGTH_VALUE] = at + HTTP_LENGTH_VALUE;
        return 0;
    case HTTP_HEADER_ENCODING:
        skb->cb[HEAD_CHUNKED] = 1;
        return 0;
    default:
        return 0;
    }
}

/* Follows the request's head at `offset` through one segment; 1 when its end was found. */
__noinline int scan_head(struct __sk_buff *skb, __u32 offset, __u32 available)
{
    __u8 chunk[HEAD_CHUNK];

    skb->cb[HEAD_END] = skb->cb[HEAD_LENGTH_VALUE] = skb->cb[HEAD_CHUNKED] = 0;
    for (__u32 done = 0; done < HEAD_BYTES; done += HEAD_CHUNK) {
        if (done >= available)
            return 0;
        __u32 size = available - done < HEAD_CHUNK ? available - done : HEAD_CHUNK;
        if (!load_bytes(skb, offset + done, chunk, size, HEAD_CHUNK))
            return 0;
        for (__u32 i = 0; i < HEAD_CHUNK; i++) {
            if (i >= size)
                break;
            if (chunk[i] == '\n' && read_header(skb, offset, available, done + i + 1))
                return 1;
        }
    }
    return 0;
}

/* The last bytes sent, the newest lowest, after those of `before` and the payload. */
static __always_inline __u64 last_bytes(struct __sk_buff *skb, const struct packet *packet, __u64 before)
{
    __u8 bytes[5];
    __u32 size = packet->length < sizeof(bytes) ? packet->length : sizeof(bytes);

    if (!load_bytes(skb, packet->payload + packet->length - size, bytes, size, sizeof(bytes)))
        return 0;
    for (__u32 i = 0; i < sizeof(bytes); i++)
        if (i < size)
            before = before << 8 | bytes[i];
    return before;
}

/* A GET or HEAD whose segment ends with an empty line is whole: Traefik sends no body with it. Spares the scan. */
static __always_inline int is_whole(__u64 last, int method)
{
    return (method == UPSTAT_METHOD_GET || method == UPSTAT_METHOD_HEAD) && http_ends_lines(last);
}

/* The value of the Content-Length that a scan found. */
static __always_inline __u32 content_length(struct __sk_buff *skb, __u32 offset)
{
    __u8 value[HTTP_LENGTH_BYTES] = {};
    __u32 at = skb->cb[HEAD_LENGTH_VALUE];
    __u32 left = skb->cb[HEAD_END] - at; /* in the head, and so in the packet */
    __u32 size = left < sizeof(value) ? left : sizeof(value);

    return at && load_bytes(skb, offset + at, value, size, sizeof(value)) ? (__u32)http_length(value) : 0;
}

static __always_inline struct framing frame(struct __sk_buff *skb, const struct packet *packet, __u32 begin, int method)
{
    struct framing framing = {.next = packet->seq + packet->length, .sent = last_bytes(skb, packet, 0)};
    __u32 offset = packet->payload + begin;

    if (is_whole(framing.sent, method))
        return framing;
    if (!scan_head(skb, offset, packet->length - begin)) {
        count_place(UPSTAT_PLACE_FRAMING_UNKNOWN);
        framing.flags = REQUEST_OPEN;
    } else if (skb->cb[HEAD_CHUNKED]) {
        framing.flags = http_ends_chunks(framing.sent) ? 0 : REQUEST_CHUNKED;
    } else {
        framing.next = packet->seq + begin + skb->cb[HEAD_END] + content_length(skb, offset);
    }
    return framing;
}

/* A request begins at `begin` in the payload. Its answer will begin at the number that this very segment
 * acknowledges, since Traefik sends no request before the last answer was read whole. */
static __always_inline void send_request(struct __sk_buff *skb, const struct bpf_sock *sk, struct socket_state *state,
                                         const struct packet *packet, __u32 begin, int method)
{
    struct framing framing = frame(skb, packet, begin, method);

    count_request(sk); /* before the answer can be counted */
    bpf_spin_lock(&state->lock);
    int missed = in_flight(state->stage);
    state->stage = STAGE_STATUS;
    state->method = method;
    state->answer = packet->ack_seq;
    state->next = framing.next;
    state->sent = framing.sent;
    state->have = 0;
    state->flags = (state->flags & ~(REQUEST_CHUNKED | REQUEST_OPEN | ANSWER_SKIPPED)) | framing.flags;
    bpf_spin_unlock(&state->lock);
    if (missed)
        count_event(sk, UPSTAT_UNANSWERED, UPSTAT_UNANSWERED_MISSED, 0);
}

/* The number of bytes in the payload before `seq`; negative where the payload begins behind it. */
static __always_inline __s32 position(const struct packet *packet, __u32 seq)
{
    return (__s32)(seq - packet->seq);
}

/* Payload at or behind the end of a request whose end could not be told, or which ends with its last chunk. */
static __always_inline void send_body(struct __sk_buff *skb, struct socket_state *state, const struct packet *packet)
{
    __u32 end = packet->seq + packet->length;
    __u64 sent = state->flags & REQUEST_CHUNKED ? last_bytes(skb, packet, state->sent) : 0;
    int ended = http_ends_chunks(sent);

    bpf_spin_lock(&state->lock);
    state->sent = sent;
    if ((__s32)(end - state->next) > 0)
        state->next = end;
    if (ended)
        state->flags &= ~REQUEST_CHUNKED;
    bpf_spin_unlock(&state->lock);
}

/* What the payload says from `begin` on, on a connection that is at the beginning of a request. */
static __always_inline void send_opening(struct __sk_buff *skb, const struct bpf_sock *sk, struct socket_state *state,
                                         const struct packet *packet, __u32 begin)
{
    __u8 bytes[HTTP_OPENING_BYTES] = {};
    __u32 size = packet->length - begin < sizeof(bytes) ? packet->length - begin : sizeof(bytes);

    if (!load_bytes(skb, packet->payload + begin, bytes, size, sizeof(bytes)))
        return;
    switch (http_opening(bytes)) {
    case HTTP_OPENING_REQUEST:
        send_request(skb, sk, state, packet, begin, http_method(bytes));
        return;
    case HTTP_OPENING_TLS:
        give_up(sk, state, UPSTAT_UNREAD_TLS);
        return;
    case HTTP_OPENING_HTTP2:
        give_up(sk, state, UPSTAT_UNREAD_HTTP2);
        return;
    default:
        if (state->stage == STAGE_FRESH) {
            give_up(sk, state, UPSTAT_UNREAD_OTHER);
            return;
        }
        /* Where the next request should begin stands something else: its predecessor was longer than its head said. */
        bpf_spin_lock(&state->lock);
        state->flags |= REQUEST_OPEN;
        bpf_spin_unlock(&state->lock);
        count_place(UPSTAT_PLACE_FRAMING_UNKNOWN);
        send_body(skb, state, packet);
    }
}

/* Whether what is sent now can only be more of the last request's body, whose length is not known. A chunked body that
 * was answered early may have ended with trailers: then the next bytes, if they begin a request, are one. */
static __always_inline int continues(const struct socket_state *state, __u8 stage)
{
    if (state->flags & REQUEST_CHUNKED)
        return in_flight(stage) || !http_ends_lines(state->sent);
    return state->flags & REQUEST_OPEN && in_flight(stage);
}

/* Payload on a connection to a server. */
static __always_inline void send_payload(struct __sk_buff *skb, const struct bpf_sock *sk, struct socket_state *state,
                                         const struct packet *packet)
{
    __u8 stage = state->stage;
    __s32 begin = stage == STAGE_FRESH ? 0 : position(packet, state->next);

    if (begin >= (__s32)packet->length)
        return; /* body of a known length, or sent before */
    if (continues(state, stage)) {
        send_body(skb, state, packet);
        return;
    }
    if (begin < 0) { /* what stands at `next` was lost before it came here, and will be sent again */
        count_place(UPSTAT_PLACE_REQUEST_GAP);
        return;
    }
    send_opening(skb, sk, state, packet, begin);
}

/* The state of a connection that is older than the programs, made at the first payload seen of it: a server's if a
 * request begins there. 0 where that cannot be told yet. */
static __always_inline struct socket_state *recognise(struct __sk_buff *skb, struct bpf_sock *sk,
                                                      const struct packet *packet)
{
    __u8 bytes[HTTP_OPENING_BYTES] = {};
    __u32 size = packet->length < sizeof(bytes) ? packet->length : sizeof(bytes);
    __u16 port = sk->src_port;
    struct socket_state *state;

    if (bpf_map_lookup_elem(&listening, &port))
        return make_state(sk, STAGE_CLIENT, 0);
    if (!load_bytes(skb, packet->payload, bytes, size, sizeof(bytes)))
        return 0;
    /* In the middle of a body anything can stand; a method of three capitals at least seldom does. */
    if (http_method(bytes) < 0 || !http_is_capital(bytes[0]) || !http_is_capital(bytes[1]) ||
        !http_is_capital(bytes[2])) {
        count_place(UPSTAT_PLACE_UNKNOWN_STREAM);
        return 0;
    }
    state = make_state(sk, STAGE_IDLE, 0);
    if (state)
        state->next = packet->seq;
    return state;
}

/* The end of a connection of which sockops will not tell. */
static __always_inline void end_unwatched(const struct bpf_sock *sk, struct socket_state *state)
{
    end_unanswered(sk, state,
                   state->flags & SOCKET_RESET      ? UPSTAT_UNANSWERED_RESET
                   : state->flags & SOCKET_FINISHED ? UPSTAT_UNANSWERED_CLOSED
                                                    : UPSTAT_UNANSWERED_ABORTED);
}

#endif
