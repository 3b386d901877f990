/* SPDX-License-Identifier: GPL-2.0-only */
/* The anchor: a request carries the sequence number at which its response begins (README.md has the whole story). There
 * is one state per socket. Its lock guards it, since two CPUs can deliver to one socket at once; whichever CPU ends the
 * request counts its outcome. */
#ifndef UPSTAT_SOCKET_H
#define UPSTAT_SOCKET_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "http.h"
#include "layout.h"
#include "maps.h"
#include "packet.h"
#include "server.h"
#include "sockets.h"
#include "state.h"

/* A response's bytes that come early and lie behind the window: long interim heads out of order. Created only for the
 * sockets that need it, and deleted when the next request is sent. */
#define SCATTERED_BYTES 4096

struct scattered {
    __u32 begin;                          /* sequence number of bytes[0] */
    __u32 begun;                          /* it is */
    __u64 have[SCATTERED_BYTES / 64 + 1]; /* which bytes are there */
    __u8 bytes[SCATTERED_BYTES + 64];
};

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct scattered);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} scattered SEC(".maps");

/* The next request begins at `seq`. */
static __always_inline void expect_request(struct socket_state *state, __u32 seq)
{
    state->part = PART_REQUEST;
    state->line_size = 0;
    state->next = seq;
    state->seen = seq;
}

/* Creates the state, or resets it when the socket reconnects: the peer, and so the remembered slots, may differ. */
COLD struct socket_state *make_state(struct bpf_sock *sk, enum stage stage)
{
    struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
    const union remembered nothing = {.what = zone};
    __u32 now = bpf_jiffies64() >> UPSTAT_AGE_SHIFT;

    if (!state) {
        count_place(UPSTAT_PLACE_STORAGE_FAILED);
        return 0;
    }
    bpf_spin_lock(&state->lock);
    state->stage = stage;
    state->requested = nothing.word;
    state->answered = 0;
    __builtin_memset(state->responses, 0, sizeof(state->responses));
    state->asked = 0;
    state->born = now;
    state->epoch = 0;
    state->look = 0;
    state->proxies = 0;
    state->reset = state->finished = 0;
    bpf_spin_unlock(&state->lock);
    return state;
}

/* Whose the request is that ends now: enum upstat_whose, and in the bits above a byte the route of a user's; or
 * WHOSE_UNDECIDED, which is a user's from here on. The lock is held. */
static __always_inline __u32 take_whose(struct socket_state *state)
{
    __u8 whose = state->whose;

    if (whose == WHOSE_UNDECIDED)
        state->whose = UPSTAT_USERS;
    return whose == WHOSE_ROUTED ? UPSTAT_USERS | (__u32)state->route << 8 : whose;
}

/* What became of a request that take_whose has told. */
COLD void count_end(const struct bpf_sock *sk, __u32 whose, __u8 event, __u16 detail, __u8 method)
{
    if (whose == WHOSE_UNDECIDED) {
        count_place(UPSTAT_PLACE_HEAD_UNREAD);
        count_request_of(sk, UPSTAT_USERS);
        whose = UPSTAT_USERS;
    }
    count_event_of(sk, whose, event, detail, method);
}

/* A connection that will never be read again. */
COLD void give_up(const struct bpf_sock *sk, struct socket_state *state, enum upstat_unread reason)
{
    bpf_spin_lock(&state->lock);
    int already = state->stage == STAGE_UNREAD;
    int ended = in_flight(state->stage);
    __u32 whose = take_whose(state);
    state->stage = STAGE_UNREAD;
    bpf_spin_unlock(&state->lock);
    if (!already)
        count_event(sk, UPSTAT_UNREAD, reason);
    if (ended)
        count_end(sk, whose, UPSTAT_UNANSWERED, UPSTAT_UNANSWERED_UNPARSED, 0);
}

/* The request in flight, if there is one, will have no response. */
COLD void end_unanswered(const struct bpf_sock *sk, struct socket_state *state, enum upstat_unanswered reason)
{
    bpf_spin_lock(&state->lock);
    int ended = in_flight(state->stage);
    __u32 whose = take_whose(state);
    if (ended)
        state->stage = STAGE_IDLE;
    bpf_spin_unlock(&state->lock);
    if (ended)
        count_end(sk, whose, UPSTAT_UNANSWERED, reason, 0);
}

#endif
