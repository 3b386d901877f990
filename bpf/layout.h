/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Every type that the kernel programs and the agent share, once. Types and constants only. */
#ifndef UPSTAT_LAYOUT_H
#define UPSTAT_LAYOUT_H

#include <linux/bpf.h>
#include <linux/types.h>

#ifdef __cplusplus
#define _Static_assert static_assert
#endif

/* Changes whenever a pinned map would be misread by code of another version. */
#define UPSTAT_LAYOUT_VERSION 3

/* Numbers of events, reasons, methods and places are only ever appended: an agent of another version reads pinned maps
 * by the names of their keys' members, and these numbers have no names there. */

/* What happened. The meaning of total_key.detail stands behind each. */
enum upstat_event {
    UPSTAT_RESPONSE = 1,        /* status code, 101 or 200 to 999; method is set */
    UPSTAT_UNANSWERED = 2,      /* enum upstat_unanswered */
    UPSTAT_UNREAD = 3,          /* enum upstat_unread; counts connections */
    UPSTAT_CONNECT = 4,         /* 0 */
    UPSTAT_CONNECT_FAILURE = 5, /* enum upstat_connect_failure */
    UPSTAT_REQUEST = 6,         /* 0; only in the overflow map: the requests map has its own */
};

/* As Traefik labels them: whatever is not named here is EXTENSION_METHOD. */
enum upstat_method {
    UPSTAT_METHOD_EXTENSION = 0,
    UPSTAT_METHOD_GET,
    UPSTAT_METHOD_HEAD,
    UPSTAT_METHOD_POST,
    UPSTAT_METHOD_PUT,
    UPSTAT_METHOD_DELETE,
    UPSTAT_METHOD_CONNECT,
    UPSTAT_METHOD_OPTIONS,
    UPSTAT_METHOD_TRACE,
    UPSTAT_METHOD_PATCH,
    UPSTAT_METHODS,
};

/* Below, a list has a line for each number: its name here, its label in the metrics, and what it means. The agent makes
 * its tables from the same lines, so a new reason or place is one line at the end of its list. */
#define UPSTAT_LABEL(name, label, meaning) label,

/* Why a request will never have a response. */
#define UPSTAT_UNANSWERED_LIST(X)                                                                                      \
    X(RESET, "reset", "the server reset the connection")                                                               \
    X(CLOSED, "closed", "the server closed it")                                                                        \
    X(ABORTED, "aborted", "this host gave the connection up: cancelled, timed out")                                    \
    X(MALFORMED, "malformed", "what came back is not an HTTP/1 status line")                                           \
    X(UNPARSED, "unparsed", "an interim head that cannot be followed: too long or too scattered")                      \
    X(MISSED, "missed", "the next request was sent although no response was seen: our error")
#define UPSTAT_UNANSWERED_NUMBER(name, label, meaning) UPSTAT_UNANSWERED_##name,
enum upstat_unanswered { UPSTAT_UNANSWERED_LIST(UPSTAT_UNANSWERED_NUMBER) UPSTAT_UNANSWERED_REASONS };

/* Why a connection to a server cannot be read. */
#define UPSTAT_UNREAD_LIST(X)                                                                                          \
    X(TLS, "tls", "it begins with a TLS handshake")                                                                    \
    X(HTTP2, "http2", "cleartext HTTP/2 by prior knowledge")                                                           \
    X(UPGRADED, "upgraded", "after a 101 or an answered CONNECT: a tunnel")                                            \
    X(OTHER, "other", "the first bytes are neither HTTP/1, HTTP/2 nor TLS")                                            \
    X(MPTCP, "mptcp", "Multipath TCP agreed upon: the stream may be spread over several connections")
#define UPSTAT_UNREAD_NUMBER(name, label, meaning) UPSTAT_UNREAD_##name,
enum upstat_unread { UPSTAT_UNREAD_LIST(UPSTAT_UNREAD_NUMBER) UPSTAT_UNREAD_REASONS };

/* Why a connection did not come about. */
#define UPSTAT_CONNECT_FAILURE_LIST(X)                                                                                 \
    X(REFUSED, "refused", "the SYN was answered by a reset")                                                           \
    X(TIMEOUT, "timeout", "given up after at least one retransmitted SYN")
#define UPSTAT_CONNECT_FAILURE_NUMBER(name, label, meaning) UPSTAT_CONNECT_##name,
enum upstat_connect_failure { UPSTAT_CONNECT_FAILURE_LIST(UPSTAT_CONNECT_FAILURE_NUMBER) UPSTAT_CONNECT_FAILURES };

/* Requests that Traefik makes by itself, and is not asked for by a user. They are counted apart. */
#define UPSTAT_PROBE_LIST(X)                                                                                           \
    X(HEALTH_CHECK, "health-check", "with the method of the health check that Traefik makes at this server")           \
    X(FORWARD_AUTH, "forward-auth", "a forwardAuth middleware asks whether a user may pass")                           \
    X(OTHER, "other", "whatever else did not come to Traefik by HTTP: providers, traces, a shell beside it")
#define UPSTAT_PROBE_NUMBER(name, label, meaning) UPSTAT_PROBE_##name,
/* Whose a request is. */
enum upstat_whose { UPSTAT_USERS, UPSTAT_PROBE_LIST(UPSTAT_PROBE_NUMBER) UPSTAT_WHOSE };

/* What a connection to a server is about, and since when it is. */
#define UPSTAT_SOCKET_LIST(X)                                                                                          \
    X(CONNECTING, "connecting", "the server has not accepted it yet; since its SYN")                                   \
    X(IDLE, "idle", "no request waits; since the server's last byte")                                                  \
    X(WAITING, "waiting", "a request waits for its response; since it was sent")                                       \
    X(TUNNEL, "tunnel", "after a 101 or an answered CONNECT; since the server's last byte")                            \
    X(UNREAD, "unread", "TLS or another protocol; since the server's last byte")                                       \
    X(CLOSING, "closing", "one end has closed it; since the server's last byte")
#define UPSTAT_SOCKET_NUMBER(name, label, meaning) UPSTAT_SOCKET_##name,
enum upstat_socket_state { UPSTAT_SOCKET_LIST(UPSTAT_SOCKET_NUMBER) UPSTAT_SOCKET_STATES };

/* Places where a kernel program had to skip or failed; each has a counter. */
#define UPSTAT_PLACE_LIST(X)                                                                                           \
    X(NOT_TCP, "not_tcp", "skip: not TCP over IP")                                                                     \
    X(SHORT_HEADER, "short_header", "a header that cannot be read")                                                    \
    X(LOAD_FAILED, "load_failed", "payload that cannot be read")                                                       \
    X(STORAGE_FAILED, "storage_failed", "no memory for a socket's state: net.core.optmem_max")                         \
    X(TOTALS_FULL, "totals_full", "an event that found no room in its map; counted in the overflow map")               \
    X(CALLBACK_REFUSED, "callback_refused", "a socket whose end will not be reported")                                 \
    X(STEPS_OUT, "steps_out", "interim heads too long for one segment's steps")                                        \
    X(REQUEST_GAP, "request_gap", "skip: a segment beyond the request that is awaited; its head will come again")      \
    X(UNKNOWN_STREAM, "unknown_stream", "skip: an old connection, seen in the middle of something")                    \
    X(FRAMING_UNKNOWN, "framing_unknown", "a request whose end could not be told from its head")                       \
    X(NO_SOCKET, "no_socket", "skip: a packet without a full socket, such as a reset that the kernel sends")           \
    X(OVERFLOW_FULL, "overflow_full", "an event that found no room there either: lost")                                \
    X(HEAD_UNREAD, "head_unread", "a head that could not be read to its end, to tell whose it is: a user's")           \
    X(PROBE_MEMORY, "probe_memory", "the probe could not read what the proxy had parsed: not counted")                 \
    X(PROBE_NAME, "probe_name", "the probe found no server's name, or one that is too long; in the overflow map")      \
    X(PROBE_EMPTY, "probe_empty", "the probe found no program of its zone: not counted")                               \
    X(PROBE_SERIES, "probe_series",                                                                                    \
      "a server that shows too many codes and methods to the probe; in the overflow map")                              \
    X(OTHERS_SOCKET, "others_socket", "skip: a socket of another process in the cgroup that Traefik shares")           \
    X(ROUTE_FULL, "route_full", "a response whose route found no room; counted for its server")                        \
    X(ROUTE_UNREAD, "route_unread",                                                                                    \
      "skip: a user's request whose host is not plain, or in no table; counted for its server")                        \
    X(SHARE_FULL, "share_full", "an event whose Traefik has its share of the map; counted in the overflow map")
#define UPSTAT_PLACE_NUMBER(name, label, meaning) UPSTAT_PLACE_##name,
enum upstat_place { UPSTAT_PLACE_LIST(UPSTAT_PLACE_NUMBER) UPSTAT_PLACES };

/* What is known of the connections that have a local port. Each is set once and never taken back, so that no order of
 * writers loses one. */
struct upstat_port {
    __u8 accepted; /* clients' connections were, or a listener waits for them */
    __u8 opened;   /* a server's connection was, from this port: each one's own state tells what it is */
};

/* The value of the ports map. A port that a listener holds is never given to an outgoing connection; but two network
 * namespaces, two addresses or two times can differ. */
struct upstat_ports {
    __u8 any[64]; /* by port % 64: not zero where one of those ports was accepted on. One line of the CPU's cache, which
                     spares most packets of servers' connections a look at the next. */
    struct upstat_port by_number[65536];
};

/* The tables that count by key: a hash says which slot a key has, an array holds the counts by slot. */
enum upstat_table {
    UPSTAT_TOTALS,
    UPSTAT_REQUESTS,
    UPSTAT_TABLES,
};

/* How many slots a table has given away: the last one's number. Or how many of them a zone has. */
struct upstat_slots {
    struct bpf_spin_lock lock;
    __u32 given;
};

/* Zones have a share of each table. Those beyond this number share their shares; so many Traefiks are counted at most.
 */
#define UPSTAT_SHARES 1024

/* A zone is given no slot when it has so many times what is left, and fewer where no backend lists the server. */
#define UPSTAT_SHARE_LISTED 9
#define UPSTAT_SHARE_UNLISTED 1

/* A server as one Traefik speaks to it. IPv4 stands as an IPv4-mapped IPv6 address, so each server has one key. */
struct upstat_server_key {
    __u8 address[16] __attribute__((aligned(4))); /* network order */
    __u16 port;                                   /* host order */
    __u16 zone;                                   /* the number of that Traefik: see maps.h */
};

/* The key of the totals map. */
struct upstat_total_key {
    struct upstat_server_key server;
    __u16 detail; /* see enum upstat_event */
    __u8 event;   /* enum upstat_event */
    __u8 method;  /* enum upstat_method; zero where the event has none, and where the request is no user's */
    __u8 whose;   /* enum upstat_whose */
    __u8 padding; /* zero */
    __u16 route;  /* of a user's response: see route.h; zero where it is not told */
};

/* The key of the requests map. */
struct upstat_request_key {
    struct upstat_server_key server;
    __u8 whose;      /* enum upstat_whose */
    __u8 padding[3]; /* zero */
};

/* What the requests to a server must be looked at for. */
enum upstat_look {
    UPSTAT_LOOK_WHOSE = 1, /* they may be Traefik's own */
    UPSTAT_LOOK_AUTH = 4,  /* it is where a forwardAuth middleware asks */
    UPSTAT_LOOK_ROUTE = 8, /* they come by several routes, which are counted apart */
};

/* What the agent tells of a server that a backend lists; the value of the records map. Without one, all its requests
 * are users', and it is given slots last. */
struct upstat_record {
    __u16 look;   /* enum upstat_look */
    __u16 checks; /* the methods of its health checks: the bit 1 << enum upstat_method for each */
    __u16 table;  /* UPSTAT_LOOK_ROUTE: which routes there are */
};

/* Longer ones are not told from each other. */
#define UPSTAT_ROUTE_BYTES 62

/* The key of the map route_hosts: a host as clients name it, in a table. */
struct upstat_route_host_key {
    __u16 table;
    char host[UPSTAT_ROUTE_BYTES]; /* in lower case, zeros behind it; none: any host that the table does not name */
};

/* What a host tells. */
struct upstat_route_host {
    __u16 route; /* zero: none */
    __u16 paths; /* not zero: it is the path that tells */
};

/* The key of the map route_paths, a trie: what a path begins with. A space ends a path, which no path has. */
struct upstat_route_path_key {
    __u32 bits; /* of all that follows */
    __u16 paths;
    char path[UPSTAT_ROUTE_BYTES];
};

struct upstat_route_path {
    __u16 route;   /* zero: none */
    __u16 longest; /* bytes of the longest path in the trie that begins with this one */
};

/* How many processes can count in shared cgroups, and nanoseconds in a clock tick. */
#define UPSTAT_MEMBERS 1024
#define UPSTAT_TICK 10000000

/* A process that counts in a shared cgroup; the value of the members map, by its number (tgid). */
struct upstat_member {
    __u64 start; /* clock ticks from the boot to its start */
    __u32 zone;  /* as in upstat_server_key */
    __u32 padding;
};

/* Whose a socket is; the value of the owners map. */
struct upstat_owner {
    __u64 start;     /* of the process, as in upstat_member; 0 where it is not known */
    __u32 tgid;      /* the process that made the socket; 0 where it is not known */
    __u32 epoch;     /* of the members, when the socket was no member's; 0 before it was looked at */
    __u32 member_of; /* the member's zone + 1; 0 as long as it is no member's */
    __u32 padding;
};

/* Responses by class: 2xx to 5xx. */
#define UPSTAT_CLASSES 4

/* A connection's age is kept in so many jiffies, so that 32 bits last for years. */
#define UPSTAT_AGE_SHIFT 5

/* A connection to a server, as the iterator over the map of sockets says it. Never pinned. */
struct upstat_socket {
    __u64 number; /* tells it from the others of one walk, and nothing else: a walk can meet one twice */
    struct upstat_server_key server;
    __u16 local_port; /* host order */
    __u8 state;       /* enum upstat_socket_state */
    __u8 joined;      /* it is older than what is known of it */
    __u32 responses[UPSTAT_CLASSES];
    __u32 lasting; /* jiffies in this state */
    __u32 age;     /* jiffies >> UPSTAT_AGE_SHIFT */
};

/* A sample's path has at most one byte less. */
#define UPSTAT_SAMPLE_BYTES 128
/* Status codes are below this, a power of two. */
#define UPSTAT_CODES 1024

/* The key of the map samples: a place in a server's ring. Never pinned, nor are the next two. */
struct upstat_sample_key {
    struct upstat_server_key server;
    __u32 slot;
};

/* A request whose response had one of the codes that are asked for. */
struct upstat_sample {
    __u64 time; /* of the response, in ns of the boot clock */
    __u16 code;
    __u8 method; /* enum upstat_method */
    __u8 cut;    /* the path goes on */
    __u32 size;  /* bytes of the path */
    __u8 path[UPSTAT_SAMPLE_BYTES];
};

/* The value of the map sampling. */
struct upstat_sampling {
    __u32 lost;               /* samples that found no room */
    __u8 codes[UPSTAT_CODES]; /* 1: asked for */
};

/* The longest host of a URL: a name of 253 bytes, a colon and a port. */
#define UPSTAT_HOST_BYTES 259

/* The key of the map `probed`: what a proxy says of a response. Whoever changes it changes UPSTAT_LAYOUT_VERSION, since
 * the map is made later than the others of its generation. */
struct upstat_probed_key {
    char host[264]; /* of the URL: a name or an address, with a port or not; zeros behind it */
    __u16 port;     /* that of the URL's scheme, where the host has none */
    __u16 zone;     /* as in upstat_server_key */
    __u16 detail;   /* as in upstat_total_key, and the next two */
    __u8 event;
    __u8 method;
};

_Static_assert(sizeof(struct upstat_probed_key) == 272, "no hidden padding in a map key");
_Static_assert(sizeof(struct upstat_server_key) == 20, "no hidden padding in a map key");
_Static_assert(sizeof(struct upstat_total_key) == 28, "no hidden padding in a map key");
_Static_assert(sizeof(struct upstat_request_key) == 24, "no hidden padding in a map key");
_Static_assert(sizeof(struct upstat_sample_key) == sizeof(struct upstat_server_key) + sizeof(__u32),
               "no hidden padding in a map key");
_Static_assert(sizeof(struct upstat_route_host_key) == 64, "no hidden padding in a map key");
_Static_assert(sizeof(struct upstat_route_path_key) == 68, "no hidden padding in a map key");

#endif
