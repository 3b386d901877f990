/* SPDX-License-Identifier: GPL-2.0-only */
/* Egress: by which route a request came, where several lead to its server. Traefik tells them by the host and the path,
 * and sends both on; so the agent compiles its routers' rules to two maps. What they, or the bytes, leave open is told
 * as no route. Only servers whose record asks for it are looked at. */
#ifndef UPSTAT_ROUTE_H
#define UPSTAT_ROUTE_H

#include "head.h"
#include "http.h"
#include "layout.h"
#include "maps.h"

/* The agent gives numbers to tables and tries, writes them, and only then the records that name them: what is in force
 * is never changed. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, struct upstat_route_host_key);
    __type(value, struct upstat_route_host);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} route_hosts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 262144);
    __type(key, struct upstat_route_path_key);
    __type(value, struct upstat_route_path);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} route_paths SEC(".maps");

/* Where the keys are put together: the stack is too small. Belongs to whoever has the head buffer of this CPU. */
struct route_keys {
    struct upstat_route_host_key host;
    struct upstat_route_path_key path;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct route_keys);
} route_keys SEC(".maps");

static __always_inline struct route_keys *route_keys_here(void)
{
    const __u32 only = 0;
    return bpf_map_lookup_elem(&route_keys, &only);
}

/* What is read of a head for its route lies in front of this byte. */
#define ROUTE_HEAD (HEAD_CHUNK - 128)

/* read_path_at: the path ends here. Beside the number of its bytes. */
#define PATH_ENDS 256

/* Puts the path that begins at a byte of the buffer, as far as it can be told, into its key: the number of its bytes. A
 * function of its own, which is verified once, wherever the path begins. */
__noinline int read_path_at(__u32 begin)
{
    struct head_buffer *buffer = head_buffer_here();
    struct route_keys *keys = route_keys_here();
    __u32 known;

    if (!buffer || !keys || begin > HTTP_OPENING_BYTES)
        return 0;
    const __u8 *bytes = (const __u8 *)buffer->words + begin;
    if (bytes[0] != '/') /* as in OPTIONS * */
        return 0;
    for (known = 0; known < UPSTAT_ROUTE_BYTES; known++) {
        __u8 byte = bytes[known];
        if (byte == ' ' || byte == '?') {
            keys->path.path[known] = ' ';
            return (known + 1) | PATH_ENDS;
        }
        if (!http_is_plain_path(byte))
            break;
        keys->path.path[known] = byte;
    }
    return known;
}

/* The same for the path of the head that is in the buffer. */
static __always_inline int read_path(void)
{
    struct head_buffer *buffer = head_buffer_here();
    __u32 begin = 0;

    if (!buffer)
        return 0;
    const __u8 *bytes = (const __u8 *)buffer->words;
    while (begin < HTTP_OPENING_BYTES && bytes[begin] != ' ')
        begin++;
    return read_path_at(begin + 1);
}

/* Where the value of a Host line begins that begins in a word, at `at` in the buffer, behind another one; 0 where none
 * does. A function of its own, which is verified once. */
__noinline int host_in(__u64 before, __u64 word, __u32 at)
{
    __u64 begins = line_begins(before, word);
    struct head_buffer *buffer = head_buffer_here();

    for (int i = 0; i < 8 && begins && buffer; i++) {
        __u64 place = at + index_of(begins);
        asm volatile("" : "+r"(place)); /* as in read_fields */
        if (place >= ROUTE_HEAD)
            break;
        if (http_is_host((const __u8 *)buffer->words + place))
            return place + HTTP_HOST_VALUE;
        begins &= begins - 1;
    }
    return 0;
}

/* Where the value of the Host line begins in the buffer, of which `size` bytes are a head's; 0 where it is not there. A
 * function of its own, which is verified once. */
__noinline int find_host(__u32 size)
{
    struct head_buffer *buffer = head_buffer_here();
    __u64 before = 0;
    int place = 0;

    if (!buffer)
        return 0;
    for (__u32 at = 0; at < ROUTE_HEAD && at < size && !place; at += 8) {
        __u64 word = __le64_to_cpu(buffer->words[at / 8]);
        __u64 begins = may_equal(word, '\n') << 8 | may_equal(before, '\n') >> 56;
        if ((begins & may_equal(word | ONES * 0x20, 'h') & ONES << 7) != 0)
            place = host_in(before, word, at);
        before = word;
    }
    return place;
}

/* Whether a line ends at `bytes`, or behind a port. */
static __always_inline int ends_host(const __u8 *bytes)
{
    int at = 0;

    if (bytes[0] == ':')
        for (at = 1; at < 6; at++)
            if (!http_is_digit(bytes[at]))
                break;
    return bytes[at] == '\r' || bytes[at] == '\n';
}

/* Puts the host at `place` in the buffer into its key; 0 where it is not plainly one: an IPv6 address, one with a dot
 * behind it, one that is too long or goes on elsewhere. A function of its own, which is verified once. */
__noinline int read_host(__u32 place)
{
    struct head_buffer *buffer = head_buffer_here();
    struct route_keys *keys = route_keys_here();
    __u8 last = '.';

    if (!buffer || !keys || place > ROUTE_HEAD)
        return 0;
    const __u8 *bytes = (const __u8 *)buffer->words + place;
    bytes += bytes[0] == ' ';
    __builtin_memset(keys->host.host, 0, UPSTAT_ROUTE_BYTES);
    for (__u32 i = 0; i <= UPSTAT_ROUTE_BYTES; i++) {
        __u8 byte = bytes[i];
        if (!http_is_plain_host(byte))
            return last != '.' && ends_host(bytes + i);
        if (i == UPSTAT_ROUTE_BYTES)
            break;
        last = byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
        keys->host.host[i] = last;
    }
    return 0;
}

/* The route that the path tells in a trie. What was not read of it may not matter. */
static __always_inline __u16 route_of_path(struct route_keys *keys, __u16 paths)
{
    int known = read_path();
    __u32 size = known & (PATH_ENDS - 1);
    const struct upstat_route_path *path;

    keys->path.paths = paths;
    keys->path.bits = 8 * (sizeof(keys->path.paths) + size);
    path = bpf_map_lookup_elem(&route_paths, &keys->path);
    return path && (known & PATH_ENDS || size >= path->longest) ? path->route : 0;
}

/* The route that is told by the head of which `size` bytes are in the buffer; 0 for none, -1 where its host is not read
 * or the table has none that it could be. */
COLD int look_up_route(__u16 table, __u32 size)
{
    struct route_keys *keys = route_keys_here();
    __u32 place = find_host(size);
    const struct upstat_route_host *host;

    if (!keys || !place || !read_host(place))
        return -1;
    keys->host.table = table;
    host = bpf_map_lookup_elem(&route_hosts, &keys->host);
    if (!host) {
        __builtin_memset(keys->host.host, 0, UPSTAT_ROUTE_BYTES);
        host = bpf_map_lookup_elem(&route_hosts, &keys->host);
    }
    if (!host)
        return -1;
    return host->paths ? route_of_path(keys, host->paths) : host->route;
}

/* The route by which the request came whose head is at `offset`, `size` bytes of which are there; 0 where that is not
 * told, -1 where its host is not read or known. Go writes the target and the host first, so these stand in a head's
 * first bytes. */
COLD int route_of(struct __sk_buff *skb, __u16 table, __u32 offset, __u32 size)
{
    struct head_buffer *buffer = head_buffer_here();
    __u32 load = size < HEAD_LOAD ? size : HEAD_LOAD;
    int route = -1;

    if (buffer && load && acquire_buffer(buffer)) {
        if (fill_buffer(skb, buffer, offset, load))
            route = look_up_route(table, load);
        release_buffer(buffer);
    }
    return route;
}

#endif
