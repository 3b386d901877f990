/* SPDX-License-Identifier: GPL-2.0-only */
/* Egress: which segment begins a request, and where the next one will. The socket lock is held in the kernel, so
 * only one CPU is here at a time for one socket; the state's lock is against the ingress side. */
#ifndef UPSTAT_REQUEST_H
#define UPSTAT_REQUEST_H

#include "head.h"
#include "socket.h"
#include "whose.h"

/* A head that does not end there, or chunks, are read line by line: so many bytes in a step at most, and so many steps,
 * squared, in a segment. Each reads at least one byte, so any super-packet of 64 KB is read to its end. */
#define LINE_PIECE 32
#define LINE_STEPS 512
/* So many steps for a line that does not end: 64 KB. */
#define LONG_STEPS 2048

/* Numbers further apart than this are not compared: sequence numbers turn over at four times as much. */
#define STRIDE (1U << 30)

/* Behind `next` come `length` bytes of a body, or of a chunk and the end of its line. */
static __always_inline void pass_body(struct socket_state *state, __u64 length)
{
    __u32 stride = length < STRIDE ? length : STRIDE;

    state->next += stride;
    if (length > stride)
        state->length = length - stride;
    state->part = length > stride ? PART_BODY : state->chunked ? PART_CHUNK : PART_REQUEST;
}

/* What a line, whole and in state->line as far as it matters, says of where the request ends. */
static __always_inline void take_line(struct socket_state *state)
{
    __s64 size;

    state->line_size = 0;
    if (state->part == PART_HEAD && state->look)
        state->marks |= http_mark(state->line);
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
    __u32 from, size;
    int ended = 0;

    if (!(state = state_of(skb->sk)))
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

/* So many steps; 1 when there may be more. A function of its own, which is verified once for all its calls. */
__noinline int read_some_lines(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq)
{
    for (int i = 0; i < LINE_STEPS; i++)
        if (!read_line(skb, payload, length, seq))
            return 0;
    return 1;
}

/* Follows the request from `next` on, through this segment. A function of its own, which is verified once for all its
 * calls. */
__noinline int read_lines(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq)
{
    struct socket_state *state;

    for (int i = 0; i < LINE_STEPS; i++)
        if (!read_some_lines(skb, payload, length, seq))
            break;
    if (!(state = state_of(skb->sk)))
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

/* Where the request ends that begins at `begin` in the payload, as far as scan_head has found out. */
static __always_inline void frame(struct __sk_buff *skb, struct socket_state *state, const struct packet *packet,
                                  __u32 begin, enum head head)
{
    state->line_size = 0;
    state->chunked = 0;
    state->next = packet->seq + begin;
    if (head == HEAD_BEGUN) {
        state->length = 0;
        state->part = PART_HEAD;
    } else {
        state->chunked = scratch(skb, HEAD_CHUNKED);
        state->next += scratch(skb, HEAD_END);
        int has_length = scratch(skb, HEAD_LENGTH_VALUE) && !state->chunked;
        pass_body(state, has_length ? content_length(skb, packet->payload + begin) : 0);
    }
}

/* The request in flight is longer than its head said, or its end could not be told: all that is sent before its
 * response belongs to it. */
COLD void leave_open(const struct bpf_sock *sk, struct socket_state *state, const struct packet *packet)
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
    decide(sk, state);
}

/* A request whose response was not seen, or not all of whose bytes could be kept in order, is no longer in flight. */
COLD void clear_flight(struct bpf_sock *sk, struct socket_state *state)
{
    bpf_spin_lock(&state->lock);
    int missed = in_flight(state->stage);
    int was_scattered = state->gaps & RESPONSE_SCATTERED;
    __u32 whose = take_whose(state);
    state->stage = STAGE_IDLE;
    state->gaps = 0;
    bpf_spin_unlock(&state->lock);
    if (was_scattered)
        bpf_sk_storage_delete(&scattered, sk);
    if (missed)
        count_end(sk, whose, UPSTAT_UNANSWERED, UPSTAT_UNANSWERED_MISSED, 0);
}

/* The end of a connection of which sockops will not tell. */
static __always_inline void end_unwatched(const struct bpf_sock *sk, struct socket_state *state)
{
    end_unanswered(sk, state,
                   state->reset      ? UPSTAT_UNANSWERED_RESET
                   : state->finished ? UPSTAT_UNANSWERED_CLOSED
                                     : UPSTAT_UNANSWERED_ABORTED);
}

/* On such a connection a RST may have crossed the request that flies now, and nothing will tell of it again. The lock
 * is passed, so that either this sees the RST or who sees the RST sees the request. */
COLD void end_if_reset(const struct bpf_sock *sk, struct socket_state *state)
{
    bpf_spin_lock(&state->lock);
    int reset = state->reset;
    bpf_spin_unlock(&state->lock);
    if (reset)
        end_unwatched(sk, state);
}

/* A request's first segment is here. Its response will begin at the number that this very segment acknowledges, since
 * Traefik sends no request before the previous response was read whole. */
static __always_inline void start(struct __sk_buff *skb, struct bpf_sock *sk, struct socket_state *state,
                                  const struct packet *packet, int method, __u8 whose)
{
    const struct socket_state flying = {.answer = packet->ack_seq,
                                        .stage = packet->flags & TCP_SYN ? STAGE_SYN : STAGE_STATUS,
                                        .method = method,
                                        .whose = whose};

    /* Before the response can be counted. */
    if (unlikely(whose != UPSTAT_USERS))
        count_looked_at(sk, state, whose);
    else
        count_request(sk, &state->requested);
    if (unlikely(in_flight(state->stage) || state->gaps))
        clear_flight(sk, state);
    state->have = 0;
    state->asked = bpf_jiffies64();
    *(volatile __u64 *)&state->flight = flying.flight;
    if (unlikely(!state->watched))
        end_if_reset(sk, state);
    if ((__s32)(state->seen - packet->seq) < 0)
        state->seen = packet->seq;
    if (unlikely(in_lines(state->part)))
        read_lines(skb, packet->payload, packet->length, packet->seq);
    if (state->part == PART_OPEN ||
        (state->part == PART_REQUEST && (__s32)(packet->seq + packet->length - state->next) > 0))
        leave_open(sk, state, packet);
    else if (unlikely(whose == WHOSE_UNDECIDED) && state->part != PART_HEAD)
        decide(sk, state);
}

/* Reads the opening of a request byte by byte, as its segments bring it; 1 when all of it is in state->line. A function
 * of its own, which is verified once. */
__noinline int read_opening(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq)
{
    struct socket_state *state;
    __u8 bytes[HTTP_OPENING_BYTES] __attribute__((aligned(8))) = {};
    __u32 from, size;

    if (!(state = state_of(skb->sk)))
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
        if (state->line_size >= HTTP_OPENING_BYTES ||
            (!http_is_token(bytes[i]) && bytes[i] != HTTP_TLS && !http_begins_preface(state->line, state->line_size)))
            return 1;
    }
    return 0;
}

/* An opening that came in pieces, or before a head that must be read line by line, is whole. */
static __always_inline void start_in_pieces(struct __sk_buff *skb, struct bpf_sock *sk, struct socket_state *state,
                                            const struct packet *packet, const __u8 *opening)
{
    int method = http_method(opening);

    state->part = PART_HEAD;
    state->chunked = 0;
    state->length = 0;
    start(skb, sk, state, packet, method < 0 ? UPSTAT_METHOD_EXTENSION : method,
          is_looked_at(sk, state) ? look_at_pieces(state) : UPSTAT_USERS);
}

/* No other protocol's first line is longer: an SSH banner has up to 255 bytes (RFC 4253). */
#define BANNER_BYTES 255

/* Takes the next byte of a fresh connection's first line that began with HTTP_OPENING_BYTES letters. A request's, once
 * its method has ended, and HTTP's version is there or the line is longer than any banner. */
static __always_inline enum http_opening take_letter(struct socket_state *state, __u8 byte)
{
    state->next++;
    state->length = state->length << 8 | byte;
    if (state->line_size < BANNER_BYTES)
        state->line_size++;
    if (byte == ' ')
        state->chunked = 1;
    else if (state->chunked ? byte == '\n' : !http_is_token(byte))
        return HTTP_OPENING_OTHER;
    if (state->length == HTTP_WORD(' ', 'H', 'T', 'T', 'P', '/', '1', '.') ||
        (state->chunked && state->line_size == BANNER_BYTES))
        return HTTP_OPENING_REQUEST;
    return HTTP_OPENING_LONG;
}

/* Reads on in such a line; HTTP_OPENING_LONG when more of it may be in this segment. A function of its own, which is
 * verified once for all its calls. */
__noinline int read_letters(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq)
{
    enum http_opening opening = HTTP_OPENING_LONG;
    __u8 bytes[LINE_PIECE] = {};
    struct socket_state *state;
    __u32 from, size;

    if (!(state = state_of(skb->sk)))
        return HTTP_OPENING_PARTIAL;
    from = state->next - seq;
    if (from >= length)
        return HTTP_OPENING_PARTIAL;
    size = length - from < LINE_PIECE ? length - from : LINE_PIECE;
    if (!load_bytes(skb, payload + from, bytes, size, LINE_PIECE))
        return HTTP_OPENING_PARTIAL;
    for (__u32 i = 0; i < LINE_PIECE && opening == HTTP_OPENING_LONG; i++) {
        asm volatile("" : "+r"(size)); /* as in read_line */
        if (i >= size)
            break;
        opening = take_letter(state, bytes[i]);
    }
    return opening;
}

/* The same, through this segment: each step but the last takes LINE_PIECE bytes. */
__noinline int read_long_line(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq)
{
    int opening = HTTP_OPENING_LONG;

    for (int i = 0; i < LONG_STEPS && opening == HTTP_OPENING_LONG; i++)
        opening = read_letters(skb, payload, length, seq);
    return opening;
}

/* http_opening, once for all that ask. */
COLD enum http_opening opening_of(const __u8 *bytes, __u32 size)
{
    return http_opening(bytes, size);
}

/* What stands at `begin`, whose first HTTP_OPENING_BYTES are all letters: one method, where a request is due. On a
 * fresh connection it may be an SSH banner, too. */
static __always_inline enum http_opening long_opening(struct __sk_buff *skb, struct socket_state *state,
                                                      const struct packet *packet)
{
    if (state->stage != STAGE_FRESH)
        return state->part == PART_REQUEST ? HTTP_OPENING_REQUEST : HTTP_OPENING_OTHER;
    if (state->part != PART_LONG) {
        if (!state->line_size) /* else these bytes came in pieces, and were passed */
            state->next += HTTP_OPENING_BYTES;
        state->part = PART_LONG;
        state->line_size = HTTP_OPENING_BYTES;
        state->chunked = 0;
        state->length = 0;
    }
    enum http_opening opening = read_long_line(skb, packet->payload, packet->length, packet->seq);
    state->line[0] = ' '; /* the rest of a request's line is no header */
    if (opening == HTTP_OPENING_REQUEST)
        state->line_size = LINE_BYTES;
    return opening;
}

/* What the payload says from `begin` on, where scan_head has looked through no head; HTTP_OPENING_PARTIAL where that is
 * not known yet. `bytes`, which are zero, will be the first ones. */
static __always_inline enum http_opening opening_at(struct __sk_buff *skb, struct socket_state *state,
                                                    const struct packet *packet, __u32 begin, __u8 *bytes)
{
    __u32 size = packet->length - begin < HTTP_OPENING_BYTES ? packet->length - begin : HTTP_OPENING_BYTES;
    enum http_opening opening = HTTP_OPENING_PARTIAL;

    if (state->part == PART_LONG)
        return long_opening(skb, state, packet);
    if (!state->line_size) {
        if (!load_bytes(skb, packet->payload + begin, bytes, size, HTTP_OPENING_BYTES))
            return HTTP_OPENING_PARTIAL;
        opening = opening_of(bytes, size);
    }
    if (opening == HTTP_OPENING_PARTIAL) {
        if (!read_opening(skb, packet->payload, packet->length, packet->seq))
            return HTTP_OPENING_PARTIAL;
        __builtin_memcpy(bytes, state->line, HTTP_OPENING_BYTES);
        opening = opening_of(bytes, HTTP_OPENING_BYTES);
    }
    return opening == HTTP_OPENING_LONG ? long_opening(skb, state, packet) : opening;
}

/* The same, and what follows from it. Only a fresh connection is given up for what it sends: on any other, clients
 * choose what that is. */
COLD void send_other(struct __sk_buff *skb, struct bpf_sock *sk, struct socket_state *state,
                     const struct packet *packet, __u32 begin)
{
    __u8 bytes[HTTP_OPENING_BYTES] __attribute__((aligned(8))) = {};
    enum http_opening opening = opening_at(skb, state, packet, begin, bytes);

    if (opening == HTTP_OPENING_PARTIAL || opening == HTTP_OPENING_LONG)
        return;
    if (opening == HTTP_OPENING_REQUEST)
        start_in_pieces(skb, sk, state, packet, bytes);
    else if (state->stage != STAGE_FRESH)
        leave_open(sk, state, packet); /* the last request was longer than its head said */
    else if (opening == HTTP_OPENING_TLS)
        give_up(sk, state, UPSTAT_UNREAD_TLS);
    else if (opening == HTTP_OPENING_HTTP2)
        give_up(sk, state, UPSTAT_UNREAD_HTTP2);
    else
        give_up(sk, state, UPSTAT_UNREAD_OTHER);
}

/* What the payload says from `begin` on, on a connection that is at the beginning of a request. */
static __always_inline void send_opening(struct __sk_buff *skb, struct bpf_sock *sk, struct socket_state *state,
                                         const struct packet *packet, __u32 begin)
{
    enum head head = HEAD_NONE;
    __u8 whose = UPSTAT_USERS;

    if (!state->line_size)
        head = scan_head(skb, packet->payload + begin, packet->length - begin);
    if (unlikely(head == HEAD_NONE)) {
        send_other(skb, sk, state, packet, begin);
        return;
    }
    if (unlikely(is_looked_at(sk, state))) {
        whose = look_at_head(skb, state, packet->payload + begin,
                             head == HEAD_WHOLE ? scratch(skb, HEAD_END) : packet->length - begin, head);
        head = whose == WHOSE_UNDECIDED ? HEAD_BEGUN : head; /* it is read line by line */
    }
    frame(skb, state, packet, begin, head);
    start(skb, sk, state, packet, scratch(skb, HEAD_METHOD), whose);
}

/* The number of bytes in the payload before `seq`; negative where the payload begins behind it. */
static __always_inline __s32 position(const struct packet *packet, __u32 seq)
{
    return (__s32)(seq - packet->seq);
}

/* Payload that begins behind `next`: what stands between was lost before it came here, and will be sent again, but this
 * will not. */
COLD void skip(struct socket_state *state, const struct packet *packet)
{
    __u32 end = packet->seq + packet->length;

    count_place(UPSTAT_PLACE_REQUEST_GAP);
    if ((__s32)(end - state->seen) > 0 || (__s32)(state->seen - state->next) < 0)
        state->seen = end;
}

/* Whether what is sent while a request is in flight begins another: only where the first one's end is known. */
COLD int begins_another(struct __sk_buff *skb, const struct socket_state *state, const struct packet *packet,
                        __u32 begin)
{
    __u8 bytes[HTTP_OPENING_BYTES] __attribute__((aligned(8))) = {};
    __u32 size = packet->length - begin < sizeof(bytes) ? packet->length - begin : sizeof(bytes);

    if (state->part != PART_REQUEST || !load_bytes(skb, packet->payload + begin, bytes, size, sizeof(bytes)))
        return 0;
    enum http_opening opening = opening_of(bytes, size);
    return opening == HTTP_OPENING_REQUEST || opening == HTTP_OPENING_LONG;
}

/* Whether this was sent before: by a connection without a state, before the programs came. */
static __always_inline int is_sent_again(struct bpf_sock *sk, const struct packet *packet)
{
    const struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);

    return !tcp || (__s32)(packet->seq - tcp->snd_nxt) < 0; /* the kernel moves it once the segment has left */
}

/* Whether a new segment begins a request, where it is not known what stands there. In the middle of a body anything
 * can; a method of three capitals at least seldom does. */
COLD int begins_anywhere(struct __sk_buff *skb, struct bpf_sock *sk, const struct packet *packet)
{
    __u8 bytes[HTTP_OPENING_BYTES] __attribute__((aligned(8))) = {};
    __u32 size = packet->length < sizeof(bytes) ? packet->length : sizeof(bytes);

    return load_bytes(skb, packet->payload, bytes, size, sizeof(bytes)) && !is_sent_again(sk, packet) &&
           http_method(bytes) >= 0 && http_is_capital(bytes[0]) && http_is_capital(bytes[1]) &&
           http_is_capital(bytes[2]);
}

/* Payload that begins behind `next`: 1 where it begins a request all the same, since what stands between went by while
 * the programs were away. The server has acknowledged it, so it will not come again. */
COLD int find_again(struct __sk_buff *skb, struct bpf_sock *sk, struct socket_state *state, const struct packet *packet)
{
    const struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);

    if (!tcp || (__s32)(tcp->snd_una - state->next) <= 0 || !begins_anywhere(skb, sk, packet))
        return 0;
    expect_request(state, packet->seq);
    return 1;
}

/* Payload on a connection to a server. */
static __always_inline void send_payload(struct __sk_buff *skb, struct bpf_sock *sk, struct socket_state *state,
                                         const struct packet *packet)
{
    int flies = in_flight(state->stage);
    __s32 begin = position(packet, state->next);

    if (begin < (__s32)packet->length && state->part == PART_BODY) {
        state->seen = packet->seq;
        pass_body(state, state->length);
        begin = position(packet, state->next);
    }
    if (begin >= 0 && begin < (__s32)packet->length && in_lines(state->part)) {
        read_lines(skb, packet->payload, packet->length, packet->seq);
        if (state->part == PART_OPEN)
            leave_open(sk, state, packet);
        else if (unlikely(state->whose == WHOSE_UNDECIDED) && state->part != PART_HEAD)
            decide(sk, state);
        if (state->part != PART_REQUEST)
            return;
        begin = position(packet, state->next);
    }
    if (begin >= (__s32)packet->length)
        return; /* body of a known length, or sent before */
    if (begin < 0 && find_again(skb, sk, state, packet))
        begin = 0;
    if (begin < 0) {
        if (flies && (in_lines(state->part) || state->part == PART_OPEN))
            leave_open(sk, state, packet);
        else
            skip(state, packet);
    } else if (flies && !begins_another(skb, state, packet, begin)) {
        leave_open(sk, state, packet);
    } else {
        send_opening(skb, sk, state, packet, begin);
    }
}

/* The state of a connection that is older than the programs, made at the first new payload seen of it: a server's if a
 * request begins there. 0 where that cannot be told yet. */
COLD struct socket_state *recognise(struct __sk_buff *skb, struct bpf_sock *sk, const struct packet *packet)
{
    struct socket_state *state;

    if (!begins_anywhere(skb, sk, packet)) {
        count_place(UPSTAT_PLACE_UNKNOWN_STREAM);
        return 0;
    }
    state = make_state(sk, STAGE_IDLE);
    if (state)
        expect_request(state, packet->seq);
    return state;
}

#endif
