/* SPDX-License-Identifier: GPL-2.0-only */
/* Ingress: the bytes at the anchor, whatever the segments that bring them. */
#ifndef UPSTAT_RESPONSE_H
#define UPSTAT_RESPONSE_H

#include "socket.h"

/* Steps that one segment may take, squared: each reads at least one byte of interim heads, and WINDOW_BYTES at most. So
 * any super-packet of 64 KB is read to its end, and any of 512 KB with heads of the usual length. */
#define RESPONSE_STEPS 512

enum step {
    STEP_WAIT,      /* no more to be read now */
    STEP_AGAIN,     /* an interim head was read on */
    STEP_FINAL,     /* the request is answered; the code is known */
    STEP_TUNNEL,    /* the same, and what follows is no HTTP */
    STEP_MALFORMED, /* the request is unanswered: no status line */
    STEP_UNPARSED,  /* the request is unanswered: bytes of an interim head went by unread */
};

/* Bytes of one segment that fall into the window of its socket. */
struct slice {
    __u32 anchor; /* socket_state.answer when they were cut out */
    __u32 seq;    /* of the first one */
    __u32 size;   /* 0: none */
    __u8 bytes[WINDOW_BYTES];
};

static __always_inline __u64 rotate(__u64 bits, __u32 by)
{
    by &= 63;
    return by ? bits << by | bits >> (64 - by) : bits;
}

/* The first `count` sequence numbers from `seq`, as bits of socket_state.have. */
static __always_inline __u64 bits_at(__u32 seq, __u32 count)
{
    return rotate(count >= 64 ? ~0ULL : (1ULL << count) - 1, seq);
}

/* Puts a slice into the window. The lock is held. */
static __always_inline void keep(struct socket_state *state, const struct slice *slice)
{
    for (__u32 i = 0; i < WINDOW_BYTES; i++) {
        if (i >= slice->size)
            break;
        state->window[(slice->seq + i) % WINDOW_BYTES] = slice->bytes[i];
    }
    if (slice->size)
        state->have |= bits_at(slice->seq, slice->size);
}

/* After a 101, or when a CONNECT was accepted, what follows is no HTTP. */
static __always_inline int is_tunnel(int code, __u8 method)
{
    return code == 101 || (method == UPSTAT_METHOD_CONNECT && code >= 200 && code < 300);
}

/* The response goes on `count` bytes behind the anchor. The lock is held. */
static __always_inline enum step go_on(struct socket_state *state, enum stage stage, __u32 count)
{
    state->stage = stage;
    state->have &= ~bits_at(state->answer, count);
    state->answer += count;
    state->tail = 0;
    return STEP_AGAIN;
}

/* For the iterator alone: the totals are counted elsewhere. The lock is held. */
static __always_inline void count_class(struct socket_state *state, int code)
{
    state->responses[((__u32)code * 41 >> 12) % FIRST_DIGITS]++; /* code / 100, without a division */
}

/* Takes the status line that stands at the anchor; `code` is what http_status says of it, and `code_end` where in it
 * the code ends. The lock is held. */
static __always_inline enum step take_status(struct socket_state *state, int code, __u32 code_end)
{
    if (!code) {
        state->stage = STAGE_IDLE;
        return STEP_MALFORMED;
    }
    if (code == HTTP_STATUS_SPACES || http_is_interim(code)) {
        int spaces = code == HTTP_STATUS_SPACES;
        return go_on(state, spaces ? STAGE_CODE : STAGE_INTERIM, spaces ? HTTP_STATUS_VERSION : code_end);
    }
    int tunnel = is_tunnel(code, state->method);
    state->stage = tunnel ? STAGE_UNREAD : STAGE_IDLE;
    count_class(state, code);
    return tunnel ? STEP_TUNNEL : STEP_FINAL; /* a second look at the code is what the verifier of 5.10 got wrong */
}

/* The bytes up to `end` are not all there: they will come, unless some of them went by. The lock is held. */
static __always_inline enum step wait_or_end(struct socket_state *state, __u32 end)
{
    if (!(state->gaps & RESPONSE_SKIPPED) || (__s32)(end - state->skipped) <= 0)
        return STEP_WAIT;
    state->stage = STAGE_IDLE;
    return STEP_UNPARSED;
}

/* Reads the status line if all of it is in the window; behind its version and spaces, where these were skipped. The
 * lock is held. */
static __always_inline enum step read_status(struct socket_state *state, int *code)
{
    __u8 line[HTTP_STATUS_BYTES] __attribute__((aligned(8)));
    __u32 known = state->stage == STAGE_CODE ? HTTP_STATUS_VERSION : 0;
    __u32 begin = state->answer - known, missing = HTTP_STATUS_BYTES - known;
    __u64 wanted = bits_at(state->answer, missing);

    if ((state->have & wanted) != wanted)
        return wait_or_end(state, state->answer + missing);
#pragma clang loop unroll(disable) /* else the frame is too large for 5.10 */
    for (__u32 i = 0; i < HTTP_STATUS_BYTES; i++)
        line[i] = state->window[(begin + i) % WINDOW_BYTES];
    if (known)
        __builtin_memcpy(line, "HTTP/1.1 ", HTTP_STATUS_VERSION);
    *code = http_status(line);
    return take_status(state, *code, HTTP_STATUS_CODE_END - known);
}

/* Whether a space too many stands at the anchor, in front of the code. The lock is held. */
static __always_inline int at_space(const struct socket_state *state)
{
    __u32 place = state->answer % WINDOW_BYTES;

    return state->stage == STAGE_CODE && state->have >> place & 1 && state->window[place] == ' ';
}

/* Skips what is no status line, as far as its bytes are there without a gap: an interim head to its end, or spaces in
 * front of a code. The lock is held. */
static __always_inline enum step skip_on(struct socket_state *state)
{
    int spaces = state->stage == STAGE_CODE;
    __u32 anchor = state->answer;
    __u32 begin = anchor;

    for (__u32 i = 0; i < WINDOW_BYTES; i++) {
        __u64 bit = 1ULL << (anchor % WINDOW_BYTES);
        __u8 byte = state->window[anchor % WINDOW_BYTES];
        if (!(state->have & bit) || (spaces && byte != ' '))
            break;
        state->have &= ~bit;
        state->tail = state->tail << 8 | byte;
        anchor++;
        if (http_ends_head(state->tail)) {
            state->stage = STAGE_STATUS;
            break;
        }
    }
    state->answer = anchor;
    if (anchor != begin)
        return STEP_AGAIN;
    return wait_or_end(state, anchor + 1);
}

/* What one step brought is counted. */
static __always_inline void count_step(const struct bpf_sock *sk, struct socket_state *state, enum step step, int code,
                                       __u8 method, __u32 whose)
{
    if (step == STEP_MALFORMED)
        count_end(sk, whose, UPSTAT_UNANSWERED, UPSTAT_UNANSWERED_MALFORMED, 0);
    if (step == STEP_UNPARSED)
        count_end(sk, whose, UPSTAT_UNANSWERED, UPSTAT_UNANSWERED_UNPARSED, 0);
    if (step != STEP_FINAL && step != STEP_TUNNEL)
        return;
    if (unlikely(whose != UPSTAT_USERS))
        count_end(sk, whose, UPSTAT_RESPONSE, code, method);
    else
        count_response(sk, &state->answered, code, method);
    if (unlikely(step == STEP_TUNNEL))
        count_event(sk, UPSTAT_UNREAD, UPSTAT_UNREAD_UPGRADED);
}

/* Cuts out of the segment what falls into the window; 0 where nothing does or it cannot be read. */
static __always_inline int cut(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq, struct slice *slice)
{
    __s32 ahead = (__s32)(slice->anchor - seq); /* bytes of the payload before the anchor */
    __u32 from = ahead > 0 ? ahead : 0;
    __u32 gap = ahead > 0 ? 0 : seq - slice->anchor; /* bytes between the anchor and the payload */

    slice->seq = seq + from;
    slice->size = 0;
    if (from >= length || gap >= WINDOW_BYTES)
        return 1;
    __u32 size = length - from;
    if (size > WINDOW_BYTES - gap)
        size = WINDOW_BYTES - gap;
    if (!load_bytes(skb, payload + from, slice->bytes, size, WINDOW_BYTES))
        return 0;
    slice->size = size;
    return 1;
}

/* Whether `anchor` is where a request waits still: another CPU may have read it to its end, and the next request may
 * fly. The lock is held. */
static __always_inline int waits_at(const struct socket_state *state, __u32 anchor)
{
    return state->answer == anchor && in_flight(state->stage);
}

/* Bytes from `seq` on went by and cannot be read if they turn out to be needed. */
static __always_inline void note_skipped(struct socket_state *state, __u32 anchor, __u32 seq)
{
    bpf_spin_lock(&state->lock);
    if (waits_at(state, anchor)) {
        if (!(state->gaps & RESPONSE_SKIPPED) || (__s32)(seq - state->skipped) < 0)
            state->skipped = seq;
        state->gaps |= RESPONSE_SKIPPED;
    }
    bpf_spin_unlock(&state->lock);
}

/* Notes that bytes are scattered, from the anchor on; 0 where the request no longer waits there. */
static __always_inline int begin_scattered(struct socket_state *state, struct scattered *kept, __u32 anchor)
{
    bpf_spin_lock(&state->lock);
    int waits = waits_at(state, anchor);
    if (waits) {
        if (!kept->begun)
            kept->begin = anchor;
        kept->begun = 1;
        state->gaps |= RESPONSE_SCATTERED;
    }
    bpf_spin_unlock(&state->lock);
    return waits;
}

/* Marks `size` bytes, 1 to 64, as kept from `place` on. */
static __always_inline void mark_kept(struct socket_state *state, struct scattered *kept, __u32 place, __u32 size)
{
    __u64 bits = size == 64 ? ~0ULL : (1ULL << size) - 1;
    __u32 word = place / 64, shift = place % 64;

    bpf_spin_lock(&state->lock);
    kept->have[word] |= bits << shift;
    kept->have[word + 1] |= shift ? bits >> (64 - shift) : 0;
    bpf_spin_unlock(&state->lock);
}

/* Copies the segment's bytes from the packet's offset `at` on, which begin at `seq`; 0 where not all of them were kept.
 */
static __always_inline int copy_scattered(struct __sk_buff *skb, struct socket_state *state, struct scattered *kept,
                                          __u32 at, __u32 length, __u32 seq, __u32 anchor)
{
    for (__u32 done = 0; done < SCATTERED_BYTES && done < length; done += 64) {
        __u32 place = seq + done - kept->begin;
        __u32 left = length - done;
        __u32 size = left < 64 ? left : 64;
        if (place >= SCATTERED_BYTES) {
            note_skipped(state, anchor, seq + done);
            return 0;
        }
        asm volatile("" : "+r"(place)); /* keeps the masks, which the verifier needs */
        place &= SCATTERED_BYTES - 1;
        if (!load_bytes(skb, at + done, kept->bytes + place, size, 64))
            return 0;
        mark_kept(state, kept, place, size);
        if (left < 64) /* else the verifier goes on from every end, each time to the last turn */
            break;
    }
    return 1;
}

/* Keeps the segment's bytes from the packet's offset `at` on, which begin at `seq`, in the socket's other storage. A
 * function of its own, which is verified once. */
__noinline int scatter(struct __sk_buff *skb, __u32 at, __u32 length, __u32 seq, __u32 anchor)
{
    struct socket_state *state;
    struct scattered *kept;
    struct bpf_sock *sk = skb->sk;

    if (!(state = state_of(sk)))
        return 0;
    kept = bpf_sk_storage_get(&scattered, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
    if (!kept) {
        count_place(UPSTAT_PLACE_STORAGE_FAILED);
        note_skipped(state, anchor, seq);
        return 0;
    }
    if (!begin_scattered(state, kept, anchor))
        return 0;
    __u32 read = kept->begin - seq; /* bytes that another CPU has brought and read in the meantime */
    if ((__s32)read > 0) {
        if (read >= length)
            return 1;
        at += read;
        seq += read;
        length -= read;
    }
    asm volatile("" : "+r"(at), "+r"(seq), "+r"(length)); /* else the loop is verified once for each way to here */
    return copy_scattered(skb, state, kept, at, length, seq, anchor);
}

/* Brings what was scattered and has its turn now into the window. A function of its own, which is verified once. */
__noinline int gather(struct __sk_buff *skb)
{
    struct socket_state *state;
    struct scattered *kept;
    struct bpf_sock *sk = skb->sk;

    if (!(state = state_of(sk)) || !(kept = bpf_sk_storage_get(&scattered, sk, 0, 0)))
        return 0;
    bpf_spin_lock(&state->lock);
    for (__u32 i = 0; i < WINDOW_BYTES; i++) {
        __u32 seq = state->answer + i, place = seq - kept->begin;
        if (place >= SCATTERED_BYTES)
            break;
        asm volatile("" : "+r"(place));
        place &= SCATTERED_BYTES - 1;
        if (!(kept->have[place / 64] >> (place % 64) & 1))
            continue;
        state->window[seq % WINDOW_BYTES] = kept->bytes[place];
        state->have |= 1ULL << (seq % WINDOW_BYTES);
    }
    bpf_spin_unlock(&state->lock);
    return 1;
}

/* The segment's bytes behind the window are kept elsewhere, where a gap is in front of them; the others are read in the
 * steps to come. */
static __always_inline void keep_rest(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq, __u32 anchor)
{
    __u32 window_end = anchor + WINDOW_BYTES;
    __s32 inside = (__s32)(window_end - seq); /* bytes of the payload in front of the window's end */

    if ((__s32)(seq - anchor) <= 0 || inside >= (__s32)length)
        return;
    if (inside < 0)
        inside = 0;
    scatter(skb, payload + inside, length - inside, seq + inside, anchor);
}

/* One step on the way that takes everything: the segment's part of the window is kept there, and what can be read is
 * read; 1 when there may be more. A function of its own, which is verified once for all its calls. */
__noinline int read_piece(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq)
{
    struct slice slice = {};
    struct socket_state *state;
    struct bpf_sock *sk = skb->sk;
    enum step step = STEP_AGAIN;
    __u32 whose = UPSTAT_USERS;
    int code = 0;

    if (!(state = state_of(sk)))
        return 0;
    if (*(volatile __u8 *)&state->gaps & RESPONSE_SCATTERED)
        gather(skb);
    slice.anchor = *(volatile __u32 *)&state->answer;
    if (!in_flight(*(volatile __u8 *)&state->stage) || !cut(skb, payload, length, seq, &slice))
        return 0;
    bpf_spin_lock(&state->lock);
    __u8 method = state->method;
    if (waits_at(state, slice.anchor)) {
        keep(state, &slice);
        step = state->stage == STAGE_INTERIM || at_space(state) ? skip_on(state) : read_status(state, &code);
        if (!in_flight(state->stage))
            whose = take_whose(state);
    }
    __u32 anchor = state->answer;
    bpf_spin_unlock(&state->lock);
    count_step(sk, state, step, code, method, whose);
    if (step == STEP_WAIT) {
        keep_rest(skb, payload, length, seq, anchor);
        /* Another CPU may have read on in the meantime, and have found nothing yet of what was kept just now. */
        return *(volatile __u32 *)&state->answer != anchor;
    }
    return step == STEP_AGAIN;
}

/* The common way: the whole status line stands in this segment, and is final. STEP_WAIT where it does not. */
static __always_inline enum step read_whole(struct __sk_buff *skb, const struct bpf_sock *sk,
                                            struct socket_state *state, const struct packet *packet, __u32 anchor)
{
    __u32 ahead = anchor - packet->seq;
    __u8 line[HTTP_STATUS_BYTES] __attribute__((aligned(8)));
    enum step step = STEP_WAIT;

    if (ahead >= packet->length || packet->length - ahead < sizeof(line) ||
        bpf_skb_load_bytes(skb, packet->payload + ahead, line, sizeof(line)))
        return STEP_WAIT;
    int code = http_status(line);
    if (unlikely(code == HTTP_STATUS_SPACES || (code && http_is_interim(code))))
        return STEP_WAIT;
    bpf_spin_lock(&state->lock);
    __u8 method = state->method;
    if (state->answer == anchor && state->stage == STAGE_STATUS)
        step = take_status(state, code, HTTP_STATUS_CODE_END);
    __u32 whose = step == STEP_WAIT ? UPSTAT_USERS : take_whose(state);
    bpf_spin_unlock(&state->lock);
    count_step(sk, state, step, code, method, whose);
    return step;
}

/* So many steps; 1 when there may be more. A function of its own, which is verified once for all its calls. */
__noinline int read_pieces(struct __sk_buff *skb, __u32 payload, __u32 length, __u32 seq)
{
    for (int i = 0; i < RESPONSE_STEPS; i++)
        if (!read_piece(skb, payload, length, seq))
            return 0;
    return 1;
}

/* A response in pieces, or behind interim ones. */
COLD void receive_pieces(struct __sk_buff *skb, const struct bpf_sock *sk, struct socket_state *state,
                         const struct packet *packet)
{
    for (int i = 0; i < RESPONSE_STEPS; i++)
        if (!read_pieces(skb, packet->payload, packet->length, packet->seq))
            return;
    count_place(UPSTAT_PLACE_STEPS_OUT);
    end_unanswered(sk, state, UPSTAT_UNANSWERED_UNPARSED);
}

/* Payload from a server with a request in flight. */
static __always_inline void receive_payload(struct __sk_buff *skb, const struct bpf_sock *sk,
                                            struct socket_state *state, const struct packet *packet)
{
    __u32 anchor = *(volatile __u32 *)&state->answer;

    if ((__s32)(anchor - packet->seq) >= (__s32)packet->length)
        return; /* bytes from before the response */
    enum step step = read_whole(skb, sk, state, packet, anchor);
    if (unlikely(step == STEP_WAIT))
        receive_pieces(skb, sk, state, packet);
}

/* Whether the kernel will take a RST: it must stand at the next byte that is awaited (RFC 5961), which is known while a
 * request is in flight. Else it is the kernel's own word that must do, where no other event will tell. */
static __always_inline int takes_reset(struct bpf_sock *sk, struct socket_state *state, const struct packet *packet)
{
    const struct bpf_tcp_sock *tcp = state->watched ? 0 : bpf_tcp_sock(sk);

    bpf_spin_lock(&state->lock);
    __u32 ahead = packet->seq - state->answer;
    int known = in_flight(state->stage) && state->stage != STAGE_SYN && !state->gaps;
    __u64 before = bits_at(state->answer, ahead), through = bits_at(state->answer, ahead + 1);
    int taken = ahead < WINDOW_BYTES && (state->have & through) == before;
    bpf_spin_unlock(&state->lock);
    return known ? taken : !tcp || packet->seq == tcp->rcv_nxt;
}

#endif
