/* SPDX-License-Identifier: GPL-2.0-only */
/* Egress: whose a request is. Most are users' requests, which Traefik sends on. To some servers it also sends its own:
 * health checks, what forwardAuth asks, and others. What it sends on has an X-Forwarded-Server and an X-Forwarded-For
 * (some settings leave one of them out), and what it sends by itself has neither. What forwardAuth asks has an
 * X-Forwarded-Method and an X-Forwarded-Uri besides, and goes by connections of its own. Only servers whose record asks
 * for it are looked at. */
#ifndef UPSTAT_WHOSE_H
#define UPSTAT_WHOSE_H

#include "head.h"
#include "http.h"
#include "layout.h"
#include "maps.h"
#include "route.h"
#include "server.h"
#include "socket.h"

COLD void look_up_record(const struct bpf_sock *sk, struct socket_state *state, __u32 epoch)
{
    struct upstat_server_key server;
    const struct upstat_record *record;

    server_of(sk, &server);
    record = bpf_map_lookup_elem(&records, &server);
    state->look = record ? record->look : 0;
    state->checks = record ? record->checks : 0;
    state->table = record ? record->table : 0;
    state->epoch = epoch;
}

/* Whether this server's requests must be looked at. */
static __always_inline int is_looked_at(const struct bpf_sock *sk, struct socket_state *state)
{
    const __u32 only = 0;
    const volatile __u32 *epoch = bpf_map_lookup_elem(&records_epoch, &only);
    __u32 now = epoch ? *epoch : 0;

    if (unlikely(now != state->epoch))
        look_up_record(sk, state, now);
    return state->look;
}

/* Whose a request is whose head has been read to its end. A user whom Traefik trusts can send what forwardAuth sends;
 * but not on a connection that has carried a user's request, since forwardAuth has connections of its own. */
static __always_inline __u8 whose_is(struct socket_state *state, int method)
{
    const __u8 asks = HTTP_MARK_METHOD | HTTP_MARK_URI;
    int may_ask = (state->marks & asks) == asks;

    if (state->look & UPSTAT_LOOK_AUTH && may_ask && !state->proxies)
        return UPSTAT_PROBE_FORWARD_AUTH;
    if (state->marks & HTTP_MARK_PROXIED) {
        state->proxies |= !may_ask;
        return UPSTAT_USERS;
    }
    return state->checks >> (method & 15) & 1 ? UPSTAT_PROBE_HEALTH_CHECK : UPSTAT_PROBE_OTHER;
}

/* The marks of the lines that begin in a word, at `at` in the buffer, behind another one. A function of its own, which
 * is verified once for all its calls. */
__noinline int read_marks(__u64 before, __u64 word, __u32 at)
{
    __u64 begins = line_begins(before, word);
    struct head_buffer *buffer = head_buffer_here();
    int marks = 0;

    for (int i = 0; i < 8 && begins && buffer; i++) {
        __u64 place = at + index_of(begins);
        asm volatile("" : "+r"(place)); /* as in read_fields */
        if (place >= HEAD_CHUNK)
            break;
        marks |= http_mark((const __u8 *)buffer->words + place);
        begins &= begins - 1;
    }
    return marks;
}

/* Whether a line that read_marks looks for may begin in a word behind another one. No branch, as in may_matter. */
static __always_inline int may_mark(__u64 before, __u64 word)
{
    __u64 begins = may_equal(word, '\n') << 8 | may_equal(before, '\n') >> 56;

    return (begins & may_equal(word | ONES * 0x20, 'x') & ONES << 7) != 0;
}

/* The marks in one chunk of a head, `left` bytes of which are at `offset` + `done`; -1 where it cannot be read. A
 * function of its own, which is verified once for all its calls. */
__noinline int scan_marks(struct __sk_buff *skb, __u32 offset, __u32 done, __u32 left)
{
    struct head_buffer *buffer = head_buffer_here();
    __u32 size = left < HEAD_LOAD ? left : HEAD_LOAD;
    int marks = 0;

    if (!buffer || !size)
        return -1;
    __u64 before = done ? __le64_to_cpu(buffer->words[HEAD_CHUNK / 8 - 1]) : 0;
    if (!fill_buffer(skb, buffer, offset + done, size))
        return -1;
    for (__u32 at = 0; at < HEAD_CHUNK && at < size; at += 8) {
        __u64 word = __le64_to_cpu(buffer->words[at / 8]);
        if (may_mark(before, word))
            marks |= read_marks(before, word, at);
        before = word;
    }
    return marks;
}

/* The marks of a head of `size` bytes, which scan_head has found whole; -1 where it cannot be read here and now. */
COLD int marks_of(struct __sk_buff *skb, __u32 offset, __u32 size)
{
    struct head_buffer *buffer = head_buffer_here();
    int marks = 0;

    if (!buffer || !acquire_buffer(buffer))
        return -1;
    for (__u32 done = 0; done < HEAD_CHUNKS * HEAD_CHUNK && done < size && marks >= 0; done += HEAD_CHUNK) {
        int more = scan_marks(skb, offset, done, size - done);
        marks = more < 0 ? -1 : marks | more;
    }
    release_buffer(buffer);
    return marks;
}

/* The marks of a request are read line by line from here on. */
static __always_inline __u8 begin_undecided(struct socket_state *state)
{
    state->marks = 0;
    return WHOSE_UNDECIDED;
}

static __always_inline __u8 with_marks(struct socket_state *state, __u8 marks, int method)
{
    state->marks = marks;
    return whose_is(state, method);
}

/* What socket_state.whose is for a request of whose. */
static __always_inline __u8 with_route(const struct socket_state *state, __u8 whose)
{
    return whose == UPSTAT_USERS && state->route ? WHOSE_ROUTED : whose;
}

/* What socket_state.whose is for the request that begins at `offset`, `size` bytes of whose head are there, as far as
 * this segment tells. */
static __always_inline __u8 look_at_head(struct __sk_buff *skb, struct socket_state *state, __u32 offset, __u32 size,
                                         enum head head)
{
    int route = state->look & UPSTAT_LOOK_ROUTE ? route_of(skb, state->table, offset, size) : 0;
    __u8 whose = UPSTAT_USERS;

    state->route = route < 0 ? 0 : route;
    if (state->look & UPSTAT_LOOK_WHOSE) {
        int marks = head == HEAD_WHOLE ? marks_of(skb, offset, size) : -1;
        whose = marks < 0 ? begin_undecided(state) : with_marks(state, marks, scratch(skb, HEAD_METHOD));
    }
    if (route < 0 && (whose == UPSTAT_USERS || whose == WHOSE_UNDECIDED))
        count_place(UPSTAT_PLACE_ROUTE_UNREAD);
    return with_route(state, whose);
}

/* The same for a request of which too little is there, or that cannot be looked through: its route is not told. */
static __always_inline __u8 look_at_pieces(struct socket_state *state)
{
    state->route = 0;
    if (state->look & UPSTAT_LOOK_ROUTE)
        count_place(UPSTAT_PLACE_ROUTE_UNREAD);
    return state->look & UPSTAT_LOOK_WHOSE ? begin_undecided(state) : UPSTAT_USERS;
}

/* Counts a request that look_at_head has told of; one that is undecided waits. */
COLD void count_looked_at(const struct bpf_sock *sk, struct socket_state *state, __u8 whose)
{
    if (whose == WHOSE_ROUTED)
        count_request(sk, &state->requested);
    else if (whose != WHOSE_UNDECIDED)
        count_request_of(sk, whose);
}

/* The head of an undecided request has ended, or cannot be followed: it is counted now, unless its end was first. */
COLD void decide(const struct bpf_sock *sk, struct socket_state *state)
{
    int followed = state->part != PART_OPEN;

    bpf_spin_lock(&state->lock);
    int undecided = state->whose == WHOSE_UNDECIDED;
    __u8 whose = undecided && followed ? whose_is(state, state->method) : UPSTAT_USERS;
    if (undecided)
        state->whose = with_route(state, whose);
    bpf_spin_unlock(&state->lock);
    if (!undecided)
        return;
    count_request_of(sk, whose);
    if (!followed)
        count_place(UPSTAT_PLACE_HEAD_UNREAD);
}

#endif
