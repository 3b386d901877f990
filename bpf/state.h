/* SPDX-License-Identifier: GPL-2.0-only */
/* What is known of one connection: types only, for the programs that keep it and the one that shows it. */
#ifndef UPSTAT_STATE_H
#define UPSTAT_STATE_H

#include <linux/bpf.h>

#include "layout.h"

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
/* Or this: a user's, and it is known by which route it came. */
#define WHOSE_ROUTED 254

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

/* Responses are counted by their code's first digit, modulo this: 2xx to 5xx have a place each, and no branch is needed
 * for the others. */
#define FIRST_DIGITS 8

/* Of two versions that have the same members, one goes on with the other's state: what changes its meaning changes its
 * name. What every packet needs comes first, in one cache line: the kernel's own 8 bytes and 56 of these. Behind it
 * comes what a request and its response touch once, for the iterator (sockets.bpf.c). */
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
            __u8 whose;   /* enum upstat_whose, WHOSE_UNDECIDED or WHOSE_ROUTED */
        };
    };
    __u64 have;      /* which bytes of the window are there; bit and byte of sequence number s stand at s % 64 */
    __u64 requested; /* where this socket's last request was counted, and its zone: union remembered */
    __u64 answered;  /* and its last response */
    /* Each is set once, by whoever sees it. */
    __u8 watched;  /* sockops will tell of its end */
    __u8 reset;    /* the peer sent a RST */
    __u8 finished; /* the peer sent a FIN */
    /* From here to `line`, but for `responses`: only for egress, which runs under the socket's own lock. */
    __u8 part;      /* enum part */
    __u8 chunked;   /* the request has Transfer-Encoding; PART_LONG: the method has ended */
    __u8 line_size; /* bytes of `line` that are there; PART_LONG: of all that is read, up to 255 */
    __u8 look;      /* what its server's record says: enum upstat_look */
    __u8 marks;     /* of the request's head that is read: enum http_mark */
    __u32 seen;     /* the end of the furthest segment that went by unread, because `next` was not in it */
    __u32 epoch;    /* of the record that `look` is from */
    __u32 responses[FIRST_DIGITS]; /* that came on this connection; guarded by the lock */
    __u32 asked;                   /* when the last request began, in jiffies */
    __u32 born;                    /* when this state was made, in jiffies >> UPSTAT_AGE_SHIFT */
    __u64 length;                  /* PART_HEAD: what Content-Length said; PART_BODY: bytes of the body from `next`
                                      on; PART_LONG: the last eight bytes, the newest lowest */
    __u8 line[LINE_BYTES] __attribute__((aligned(8)));
    __u32 skipped; /* see RESPONSE_SKIPPED */
    __u32 tail;    /* the last bytes of an interim head, the newest lowest */
    __u16 table;   /* what its server's record says: the table of routes */
    __u16 route;   /* egress writes it before `flight`: by which the request in flight came, where `whose` says so */
    __u8 window[WINDOW_BYTES];
    __u16 checks; /* what its server's record says: the methods of health checks; for egress only, as the next one */
    __u8 proxies; /* a user's request was on this connection: forwardAuth asks on others */
};

/* Where a socket was counted last: it spares the next one the look-up by key. One word, since two CPUs can be at it. */
union remembered {
    __u64 word;
    struct {
        __u32 slot;
        __u16 generation; /* whose slot: another one's programs may have been at this socket */
        __u16 what;       /* for a response, see response_mark; for a request its zone, there from the beginning */
    };
};

static __always_inline int in_flight(__u8 stage)
{
    const __u32 stages = 1U << STAGE_SYN | 1U << STAGE_STATUS | 1U << STAGE_INTERIM | 1U << STAGE_CODE;

    return stages >> (stage & 31) & 1;
}

#endif
