/* SPDX-License-Identifier: GPL-2.0-only */
/* Egress: which segment begins a request, and where the next one will. The socket lock is held in the kernel, so
 * only one CPU is here at a time for one socket; the state's lock is against the ingress side. */
#ifndef UPSTAT_REQUEST_H
#define UPSTAT_REQUEST_H

#include "socket.h"

/* How far into its first segment a request's head is followed. Go writes Content-Length before other headers. */
#define HEAD_BYTES 1024
#define HEAD_CHUNK 128
/* A head that does not end there, or chunks, are read line by line: so many bytes in a step, so many steps a segment.
 */
#define LINE_PIECE 32
#define LINE_STEPS 256

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

/* Whether one of eight bytes is the end of a line. */
static __always_inline int has_line_end(__u64 word)
{
    __u64 zero_where_it_is = word ^ 0x0a0a0a0a0a0a0a0a;

    return ((zero_where_it_is - 0x0101010101010101) & ~zero_where_it_is & 0x8080808080808080) != 0;
}

/* Whether a line with this first byte can be one that read_header looks for. */
static __always_inline int may_matter(__u8 byte)
{
    return byte == 'C' || byte == 'c' || byte == 'T' || byte == 't' || byte == '\r' || byte == '\n';
}

/* Looks at the lines that end within the eight bytes of `word`, which stand at `at` in the head; 1 when one of them
 * ends it. A function of its own, which is verified once for all its calls. */
__noinline int scan_word(struct __sk_buff *skb, __u64 word, __u32 offset, __u32 available, __u32 at)
{
    word = bpf_be64_to_cpu(word); /* its first byte highest */
    for (__u32 i = 1; i <= 8; i++) {
        __u8 byte = word >> 56;
        word <<= 8;
        if (byte == '\n' && (i == 8 || may_matter(word >> 56)) && read_header(skb, offset, available, at + i))
            return 1;
    }
    return 0;
}

/* Follows the request's head at `offset` through one segment; 1 when its end was found. */
__noinline int scan_head(struct __sk_buff *skb, __u32 offset, __u32 available)
{
    __u64 words[HEAD_CHUNK / 8] = {};

    skb->cb[HEAD_END] = skb->cb[HEAD_LENGTH_VALUE] = skb->cb[HEAD_CHUNKED] = 0;
    for (__u32 done = 0; done < HEAD_BYTES && done < available; done += HEAD_CHUNK) {
        __u32 size = available - done < HEAD_CHUNK ? available - done : HEAD_CHUNK;
        if (!load_bytes(skb, offset + done, (__u8 *)words, size, HEAD_CHUNK))
            return 0;
        for (__u32 i = 0; i < HEAD_CHUNK / 8; i++) /* what stands behind `size` is old, and read_header refuses it */
            if (has_line_end(words[i]) && scan_word(skb, words[i], offset, available, done + i * 8))
                return 1;
    }
    return 0;
}

/* The value of the Content-Length that a scan found. */
static __always_inline __u64 content_length(struct __sk_buff *skb, __u32 offset)
{
    __u8 value[HTTP_LENGTH_BYTES] = {};
    __u32 at = skb->cb[HEAD_LENGTH_VALUE];
    __u32 left = skb->cb[HEAD_END] - at; /* in the head, and so in the packet */
    __u32 size = left < sizeof(value) ? left : sizeof(value);

    return at && load_bytes(skb, offset + at, value, size, sizeof(value)) ? http_length(value) : 0;
}

/* Numbers further apart than this are not compared: sequence numbers turn over at four times as much. */
#define STRIDE (1U << 30)

/* Behind `next` come `length` bytes of a body, or of a chunk and the end of its line. */
static __always_inline void pass_body(struct socket_state *state, __u64 length)
{
    __u32 stride = length < STRIDE ? length : STRIDE;

    state->next += stride;
    state->length = length - stride;
    state->part = length > stride ? PART_BODY : state->chunked ? PART_CHUNK : PART_REQUEST;
}

/* What a line, whole and in state->line as far as it matters, says of where the request ends. */
static __always_inline void take_line(struct socket_state *state)
{
    __s64 size;

    state->line_size = 0;
    if (state->part == PART_CHUNK) {
        size = http_chunk_size(state->line);
        if (size > 0) {
            pass_body(state, size + 2);
            return;
        }
        state->part = size == 0 ? PART_TRAILER : PART_OPEN;
        if (size < 0)
            count_place(UPSTAT_PLACE_FRAMING_UNKNOWN);
        return;
    }
    switch (http_header(state->line)) {
    case HTTP_HEADER_NONE:
        if (state->part == PART_HEAD)
            pass_body(state, state->chunked ? 0 : state->length);
        else
            state->part = PART_REQUEST;
        return;
    case HTTP_HEADER_LENGTH:
        if (state->part == PART_HEAD)
            state->length = http_length(state->line + HTTP_LENGTH_VALUE);
        return;
    case HTTP_HEADER_ENCODING:
        if (state->part == PART_HEAD)
            state->chunked = 1;
        return;
    default:
        return;
    }
}

static __always_inline int in_lines(__u8 part)
{
    return part == PART_HEAD || part == PART_CHUNK || part == PART_TRAILER;
}

/* A line, or an opening, that is put together in state->line begins, or goes on. */
static __always_inline void go_on_with_line(struct socket_state *state)
{
    if (state->line_size == 0)
        __builtin_memset(state->line, 0, LINE_BYTES);
}

/* One more byte of it; those beyond LINE_BYTES do not matter. */
static __always_inline void put_byte(struct socket_state *state, __u8 byte)
{
    __u32 at = state->line_size;

    if (at >= LINE_BYTES)
        return;
    state->line_size = at + 1;
    asm volatile("" : "+r"(at)); /* keeps the mask, which the verifier needs */
    state->line[at % LINE_BYTES] = byte;
}

/* Reads on in the line at `next`; 1 when there may be more of the request in this segment. A function of its own, which
 * is verified once for all its calls. */
__noinline int read_line(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq)
{
    __u8 bytes[LINE_PIECE] = {};
    struct socket_state *state;
    struct bpf_sock *sk = skb->sk;
    __u32 from, size;
    int ended = 0;

    if (!sk || !(sk = bpf_sk_fullsock(sk)) || !(state = bpf_sk_storage_get(&sockets, sk, 0, 0)))
        return 0;
    from = state->next - seq;
    if (!in_lines(state->part) || from >= length)
        return 0;
    size = length - from < LINE_PIECE ? length - from : LINE_PIECE;
    if (!load_bytes(skb, payload + from, bytes, size, LINE_PIECE))
        return 0;
    go_on_with_line(state);
    for (__u32 i = 0; i < LINE_PIECE && !ended; i++) {
        asm volatile("" : "+r"(size)); /* else clang tests i != the smaller one, of which 5.10 and 6.1 learn no bound */
        if (i >= size)
            break;
        put_byte(state, bytes[i]);
        state->next++;
        ended = bytes[i] == '\n';
    }
    if (ended)
        take_line(state);
    return 1;
}

/* Follows the request from `next` on, through this segment. A function of its own, which is verified once for all its
 * calls. */
__noinline int read_lines(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq)
{
    struct socket_state *state;
    struct bpf_sock *sk = skb->sk;

    for (int i = 0; i < LINE_STEPS; i++)
        if (!read_line(skb, payload, length, seq))
            break;
    if (!sk || !(sk = bpf_sk_fullsock(sk)) || !(state = bpf_sk_storage_get(&sockets, sk, 0, 0)))
        return 0;
    __s32 left = (__s32)(seq + length - state->next);
    /* The lines are too many for one segment's steps, or went by before the ones in front of them. */
    if (in_lines(state->part) && (left > 0 || (__s32)(state->seen - state->next) > 0)) {
        count_place(UPSTAT_PLACE_FRAMING_UNKNOWN);
        state->part = PART_OPEN;
        if (left > 0)
            state->next += left;
        if ((__s32)(state->seen - state->next) > 0)
            state->next = state->seen;
    }
    if ((__s32)(state->seen - state->next) < 0)
        state->seen = state->next;
    return 1;
}

/* Where the request ends that begins at `begin` in the payload, as far as this segment tells. */
static __always_inline void frame(struct __sk_buff *skb, struct socket_state *state, const struct packet *packet,
                                  __u32 begin)
{
    __u32 offset = packet->payload + begin;

    state->line_size = 0;
    state->chunked = 0;
    state->length = 0;
    state->next = packet->seq + begin;
    if (!scan_head(skb, offset, packet->length - begin)) {
        state->part = PART_HEAD;
    } else {
        state->chunked = skb->cb[HEAD_CHUNKED];
        state->next += skb->cb[HEAD_END];
        pass_body(state, state->chunked ? 0 : content_length(skb, offset));
    }
}

/* The request in flight is longer than its head said, or its end could not be told: all that is sent before its answer
 * belongs to it. */
static __always_inline void leave_open(struct socket_state *state, const struct packet *packet)
{
    __u32 end = packet->seq + packet->length;

    if (state->part != PART_OPEN)
        count_place(UPSTAT_PLACE_FRAMING_UNKNOWN);
    state->part = PART_OPEN;
    state->line_size = 0;
    if ((__s32)(end - state->next) > 0)
        state->next = end;
    if ((__s32)(state->next - state->seen) > 0)
        state->seen = state->next;
}

/* A request's first segment is here. Its answer will begin at the number that this very segment acknowledges, since
 * Traefik sends no request before the last answer was read whole. */
static __always_inline void start(struct __sk_buff *skb, const struct bpf_sock *sk, struct socket_state *state,
                                  const struct packet *packet, int method)
{
    count_request(sk); /* before the answer can be counted */
    bpf_spin_lock(&state->lock);
    int missed = in_flight(state->stage);
    state->stage = packet->syn ? STAGE_SYN : STAGE_STATUS;
    state->method = method;
    state->answer = packet->ack_seq;
    state->have = 0;
    int was_scattered = state->flags & ANSWER_SCATTERED;
    state->flags &= ~(ANSWER_SKIPPED | ANSWER_SCATTERED);
    bpf_spin_unlock(&state->lock);
    if (was_scattered)
        bpf_sk_storage_delete(&scattered, (struct bpf_sock *)sk);
    if (missed)
        count_event(sk, UPSTAT_UNANSWERED, UPSTAT_UNANSWERED_MISSED, 0);
    if ((__s32)(state->seen - packet->seq) < 0)
        state->seen = packet->seq;
    if (in_lines(state->part))
        read_lines(skb, packet->payload, packet->length, packet->seq);
    if (state->part == PART_REQUEST && (__s32)(packet->seq + packet->length - state->next) > 0)
        leave_open(state, packet);
}

/* Reads the opening of a request byte by byte, as its segments bring it; 1 when all of it is in state->line. A function
 * of its own, which is verified once. */
__noinline int read_opening(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq)
{
    struct socket_state *state;
    struct bpf_sock *sk = skb->sk;
    __u8 bytes[HTTP_OPENING_BYTES] = {};
    __u32 from, size;

    if (!sk || !(sk = bpf_sk_fullsock(sk)) || !(state = bpf_sk_storage_get(&sockets, sk, 0, 0)))
        return 0;
    from = state->next - seq;
    if (from >= length)
        return 0;
    size = length - from < sizeof(bytes) ? length - from : sizeof(bytes);
    if (!load_bytes(skb, payload + from, bytes, size, sizeof(bytes)))
        return 0;
    go_on_with_line(state);
    for (__u32 i = 0; i < HTTP_OPENING_BYTES; i++) {
        asm volatile("" : "+r"(size)); /* as in read_line */
        if (i >= size)
            break;
        put_byte(state, bytes[i]);
        state->next++;
        if ((!http_is_token(bytes[i]) && bytes[i] != HTTP_TLS) || state->line_size >= HTTP_OPENING_BYTES)
            return 1;
    }
    return 0;
}

/* An opening that came in pieces is whole. */
static __always_inline void start_in_pieces(struct __sk_buff *skb, const struct bpf_sock *sk,
                                            struct socket_state *state, const struct packet *packet,
                                            const __u8 *opening)
{
    state->part = PART_HEAD;
    state->chunked = 0;
    state->length = 0;
    start(skb, sk, state, packet, http_method(opening));
}

/* What the payload says from `begin` on, on a connection that is at the beginning of a request. */
static __always_inline void send_opening(struct __sk_buff *skb, const struct bpf_sock *sk, struct socket_state *state,
                                         const struct packet *packet, __u32 begin)
{
    __u8 bytes[HTTP_OPENING_BYTES] = {};
    __u32 size = packet->length - begin < sizeof(bytes) ? packet->length - begin : sizeof(bytes);
    int pieces = state->line_size != 0;

    if (!pieces && !load_bytes(skb, packet->payload + begin, bytes, size, sizeof(bytes)))
        return;
    enum http_opening opening = pieces ? HTTP_OPENING_PARTIAL : http_opening(bytes, size);
    if (opening == HTTP_OPENING_PARTIAL) {
        if (!read_opening(skb, packet->payload, packet->length, packet->seq))
            return;
        __builtin_memcpy(bytes, state->line, sizeof(bytes));
        opening = http_opening(bytes, HTTP_OPENING_BYTES);
        pieces = 1;
    }
    if (opening == HTTP_OPENING_REQUEST) {
        if (pieces) {
            start_in_pieces(skb, sk, state, packet, bytes);
        } else {
            frame(skb, state, packet, begin);
            start(skb, sk, state, packet, http_method(bytes));
        }
    } else if (opening == HTTP_OPENING_TLS) {
        give_up(sk, state, UPSTAT_UNREAD_TLS);
    } else if (opening == HTTP_OPENING_HTTP2) {
        give_up(sk, state, UPSTAT_UNREAD_HTTP2);
    } else if (state->stage == STAGE_FRESH) {
        give_up(sk, state, UPSTAT_UNREAD_OTHER);
    } else {
        leave_open(state, packet); /* the last request was longer than its head said */
    }
}

/* The number of bytes in the payload before `seq`; negative where the payload begins behind it. */
static __always_inline __s32 position(const struct packet *packet, __u32 seq)
{
    return (__s32)(seq - packet->seq);
}

/* Payload that begins behind `next`: what stands between was lost before it came here, and will be sent again, but this
 * will not. */
static __always_inline void skip(struct socket_state *state, const struct packet *packet)
{
    __u32 end = packet->seq + packet->length;

    count_place(UPSTAT_PLACE_REQUEST_GAP);
    if ((__s32)(end - state->seen) > 0 || (__s32)(state->seen - state->next) < 0)
        state->seen = end;
}

/* Whether what is sent while a request is in flight begins another: only where the first one's end is known. */
static __always_inline int begins_another(struct __sk_buff *skb, const struct socket_state *state,
                                          const struct packet *packet, __u32 begin)
{
    __u8 bytes[HTTP_OPENING_BYTES] = {};
    __u32 size = packet->length - begin < sizeof(bytes) ? packet->length - begin : sizeof(bytes);

    return state->part == PART_REQUEST && load_bytes(skb, packet->payload + begin, bytes, size, sizeof(bytes)) &&
           http_opening(bytes, size) == HTTP_OPENING_REQUEST;
}

/* Payload on a connection to a server. */
static __always_inline void send_payload(struct __sk_buff *skb, const struct bpf_sock *sk, struct socket_state *state,
                                         const struct packet *packet)
{
    int flies = in_flight(state->stage);
    __s32 begin = position(packet, state->next);

    if (begin < (__s32)packet->length && state->part == PART_BODY) {
        state->seen = packet->seq;
        pass_body(state, state->length);
        begin = position(packet, state->next);
    }
    if (begin >= (__s32)packet->length)
        return; /* body of a known length, or sent before */
    if (begin < 0) {
        if (flies && (in_lines(state->part) || state->part == PART_OPEN))
            leave_open(state, packet);
        else
            skip(state, packet);
    } else if (in_lines(state->part)) {
        read_lines(skb, packet->payload, packet->length, packet->seq);
    } else if (flies && !begins_another(skb, state, packet, begin)) {
        leave_open(state, packet);
    } else {
        send_opening(skb, sk, state, packet, begin);
    }
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
        expect_request(state, packet->seq);
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
