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

enum stage {
    STAGE_FRESH,   /* connected by this host, nothing sent yet */
    STAGE_IDLE,    /* speaks HTTP/1, no request in flight */
    STAGE_SYN,     /* a request in flight in the SYN (TCP Fast Open): the SYN-ACK will say where its response begins */
    STAGE_STATUS,  /* a request in flight, its status line awaited */
    STAGE_INTERIM, /* a request in flight, inside the head of an interim response */
    STAGE_CLIENT,  /* accepted by this host: not a server's */
    STAGE_UNREAD,  /* never looked at again */
    STAGE_CODE,    /* a request in flight, more spaces or its response's code awaited behind version and space */
};

/* What became of a response's bytes that came early and lie behind the window. */
enum gap {
    RESPONSE_SKIPPED = 1,   /* from `skipped` on they were not kept */
    RESPONSE_SCATTERED = 2, /* they are kept in the socket's other storage */
};

/* socket_state.whose: enum upstat_whose, or this. The request is not counted yet; it will be when its head has been
 * read, or as a user's when it ends before that. */
#define WHOSE_UNDECIDED 255

/* What stands at socket_state.next. */
enum part {
    PART_REQUEST, /* the next request */
    PART_OPEN,    /* more of a request whose end could not be told; once it is answered, the next one */
    PART_HEAD,    /* a line of the request's head, or the rest of it */
    PART_BODY,    /* `length` more bytes of a long body, or of a long chunk */
    PART_CHUNK,   /* a chunk's first line, or the rest of it */
    PART_TRAILER, /* a line behind the last chunk, or the rest of it */
    PART_LONG,    /* a fresh connection's first line, behind 16 letters: a request's, or another protocol's */
};

/* A response's bytes that come early are kept, up to this far from the anchor. */
#define WINDOW_BYTES 64

/* A line of a request is told by its first bytes: "Content-Length: " and 16 digits. */
#define LINE_BYTES 32

/* Of two versions that have the same members, one goes on with the other's state: what changes its meaning changes its
 * name. What every packet needs comes first, in one cache line. */
struct socket_state {
    struct bpf_spin_lock lock;
    __u32 next; /* egress only: sequence number of the next byte of the request, or of the next request, to be read */
    union {
        /* One word. Egress writes it at once and without the lock when a request starts: ingress does not touch
         * these while none is in flight. */
        __u64 flight;
        struct {
            __u32 answer; /* in flight: the anchor, which is the sequence number of the response's next byte */
            __u8 stage;   /* enum stage */
            __u8 method;  /* enum upstat_method */
            __u8 gaps;    /* enum gap */
            __u8 whose;   /* enum upstat_whose, or WHOSE_UNDECIDED */
        };
    };
    __u64 have;      /* which bytes of the window are there; bit and byte of sequence number s stand at s % 64 */
    __u64 requested; /* where this socket's last request was counted: union remembered */
    __u64 answered;  /* and its last response */
    /* Each is set once, by whoever sees it. */
    __u8 watched;  /* sockops will tell of its end */
    __u8 reset;    /* the peer sent a RST */
    __u8 finished; /* the peer sent a FIN */
    /* From here to `line`: only for egress, which runs under the socket's own lock. */
    __u8 part;      /* enum part */
    __u8 chunked;   /* the request has Transfer-Encoding; PART_LONG: the method has ended */
    __u8 line_size; /* bytes of `line` that are there; PART_LONG: of all that is read, up to 255 */
    __u8 look;      /* what its server's record says: enum upstat_look, and above that the health check's method */
    __u8 marks;     /* of the request's head that is read: enum http_mark */
    __u32 seen;     /* the end of the furthest segment that went by unread, because `next` was not in it */
    __u32 epoch;    /* of the record that `look` is from */
    __u64 length;   /* PART_HEAD: what Content-Length said; PART_BODY: bytes of the body from `next` on;
                       PART_LONG: the last eight bytes, the newest lowest */
    __u8 line[LINE_BYTES] __attribute__((aligned(8)));
    __u32 skipped; /* see RESPONSE_SKIPPED */
    __u32 tail;    /* the last bytes of an interim head, the newest lowest */
    __u8 window[WINDOW_BYTES];
};

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct socket_state);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} sockets SEC(".maps");

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

/* The socket's state; 0 where it has none. Packets come here with full sockets only. */
static __always_inline struct socket_state *state_of(struct bpf_sock *sk)
{
    return sk ? bpf_sk_storage_get(&sockets, sk, 0, 0) : 0;
}

static __always_inline int in_flight(__u8 stage)
{
    const __u32 stages = 1U << STAGE_SYN | 1U << STAGE_STATUS | 1U << STAGE_INTERIM | 1U << STAGE_CODE;

    return stages >> (stage & 31) & 1;
}

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
    if (!state) {
        count_place(UPSTAT_PLACE_STORAGE_FAILED);
        return 0;
    }
    bpf_spin_lock(&state->lock);
    state->stage = stage;
    state->requested = state->answered = 0;
    state->epoch = 0;
    state->look = 0;
    state->reset = state->finished = 0;
    bpf_spin_unlock(&state->lock);
    return state;
}

/* Whose the request is that ends now. An undecided one is a user's from here on. The lock is held. */
static __always_inline __u8 take_whose(struct socket_state *state)
{
    __u8 whose = state->whose;

    if (whose == WHOSE_UNDECIDED)
        state->whose = UPSTAT_USERS;
    return whose;
}

/* What became of a request that take_whose has told. */
COLD void count_end(const struct bpf_sock *sk, __u8 whose, __u8 event, __u16 detail, __u8 method)
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
    __u8 whose = take_whose(state);
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
    __u8 whose = take_whose(state);
    if (ended)
        state->stage = STAGE_IDLE;
    bpf_spin_unlock(&state->lock);
    if (ended)
        count_end(sk, whose, UPSTAT_UNANSWERED, reason, 0);
}

#endif
