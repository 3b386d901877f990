/* SPDX-License-Identifier: GPL-2.0-only */
/* Egress: looking through a request's head in the segment that begins it, a chunk at a time in a per-CPU buffer. */
#ifndef UPSTAT_HEAD_H
#define UPSTAT_HEAD_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "http.h"
#include "maps.h"
#include "packet.h"

/* A request's head is looked through in its first segment, a chunk at a time, of which HEAD_CHUNKS are looked at.
 * Behind a chunk, HEAD_AHEAD bytes are loaded with it, for the line that begins in front of them. */
#define HEAD_LOAD 1024
#define HEAD_AHEAD 32
#define HEAD_CHUNK (HEAD_LOAD - HEAD_AHEAD)
#define HEAD_CHUNKS 5
_Static_assert(HEAD_AHEAD >= HTTP_HEADER_BYTES && HEAD_AHEAD >= HTTP_MARK_BYTES, "a line that begins here can be told");

/* Per-CPU scratch buffer for scanning a request head: the BPF stack is too small. A program that preempts the buffer's
 * owner falls back to reading line by line. Not pinned: it holds nothing between runs. */
struct head_buffer {
    __u64 users;
    __u64 words[HEAD_LOAD / 8 + HEAD_AHEAD / 8 + 1]; /* and so many zeros behind the last byte of what is left */
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct head_buffer);
} head_buffers SEC(".maps");

static __always_inline struct head_buffer *head_buffer_here(void)
{
    const __u32 only = 0;
    return bpf_map_lookup_elem(&head_buffers, &only);
}

static __always_inline void release_buffer(struct head_buffer *buffer)
{
    __sync_fetch_and_add(&buffer->users, -1);
}

/* 0 where another program uses it. Programs on one CPU interrupt each other anywhere. One that finds no other user
 * behind its own addition is alone, and any that comes before it releases the buffer finds a user. */
static __always_inline int acquire_buffer(struct head_buffer *buffer)
{
    __sync_fetch_and_add(&buffer->users, 1);
    if (unlikely(*(volatile __u64 *)&buffer->users != 1)) {
        release_buffer(buffer);
        return 0;
    }
    return 1;
}

enum head {
    HEAD_NONE,  /* no request begins here, or too little of one to tell; or it must be read line by line */
    HEAD_BEGUN, /* its end is not in this segment, or too far away */
    HEAD_WHOLE,
};

#define ONES 0x0101010101010101ULL

/* SWAR byte search (Mycroft's haszero), the first byte lowest: bit 7 of each byte that equals `byte`. False positives
 * are possible above the first match, so callers confirm with equal(). */
static __always_inline __u64 may_equal(__u64 word, __u8 byte)
{
    return (word ^ ONES * byte) - ONES;
}

/* The same without false positives. */
static __always_inline __u64 equal(__u64 word, __u8 byte)
{
    const __u64 low = ONES * 0x7f;

    word ^= ONES * byte;
    return ~(((word & low) + low) | word | low);
}

/* Whether a line that take_field looks for may begin in a word behind another one: with a C, a T or its own end. No
 * branch, since where lines end no CPU foresees. */
static __always_inline int may_matter(__u64 before, __u64 word)
{
    __u64 ends = may_equal(word, '\n'), letters = word | ONES * 0x20;
    __u64 begins = ends << 8 | may_equal(before, '\n') >> 56;

    return (begins & (ends | may_equal(word, '\r') | may_equal(letters, 'c') | may_equal(letters, 't')) & ONES << 7) !=
           0;
}

/* Which of eight bytes the lowest one of such marks stands for. */
static __always_inline __u32 index_of(__u64 marks)
{
    return ((((marks & -marks) - 1) & ONES) * ONES >> 56) - 1;
}

/* What a line says that begins at the head's byte `at`; 1 when the head ends with it. */
static __always_inline int take_field(struct __sk_buff *skb, const __u8 *line, __u32 at)
{
    switch (http_header(line)) {
    case HTTP_HEADER_NONE:
        set_scratch(skb, HEAD_END, at + (line[0] == '\r' ? 2 : 1));
        return 1;
    case HTTP_HEADER_LENGTH:
        set_scratch(skb, HEAD_LENGTH_VALUE, at + HTTP_LENGTH_VALUE);
        return 0;
    case HTTP_HEADER_ENCODING:
        set_scratch(skb, HEAD_CHUNKED, 1);
        return 0;
    default:
        return 0;
    }
}

/* Bit 7 of each byte of a word, behind another one, at which a line begins. */
static __always_inline __u64 line_begins(__u64 before, __u64 word)
{
    return equal(word, '\n') << 8 | equal(before, '\n') >> 56;
}

/* Fills the buffer from the packet, with zeros behind it, where no line ends; 0 where that fails. */
static __always_inline int fill_buffer(struct __sk_buff *skb, struct head_buffer *buffer, __u32 offset, __u32 size)
{
    for (__u32 i = 0; i <= HEAD_AHEAD / 8; i++)
        buffer->words[size / 8 + i] = 0;
    return load_bytes(skb, offset, (__u8 *)buffer->words, size, HEAD_LOAD);
}

/* Looks at the lines that begin in a word, at `at` in the buffer, behind another one; 1 when the head ends with one of
 * them. The buffer's first byte is the head's byte `done`. A function of its own, which is verified once for all its
 * calls. */
__noinline int read_fields(struct __sk_buff *skb, __u64 before, __u64 word, __u32 done, __u32 at)
{
    __u64 begins = line_begins(before, word);
    struct head_buffer *buffer = head_buffer_here();

    for (int i = 0; i < 8 && begins && buffer; i++) {
        __u64 place = at + index_of(begins);
        asm volatile("" : "+r"(place)); /* else 5.10 and 6.1 learn no bound of what is kept on the stack meanwhile */
        if (place >= HEAD_CHUNK)
            return 0;
        if (take_field(skb, (const __u8 *)buffer->words + place, done + place))
            return 1;
        begins &= begins - 1;
    }
    return 0;
}

/* Follows a request's head, `left` bytes of which are at `offset` + `done`, through one chunk; its enum head. A
 * function of its own, which is verified once for all its calls. */
__noinline int scan_chunk(struct __sk_buff *skb, __u32 offset, __u32 done, __u32 left)
{
    struct head_buffer *buffer = head_buffer_here();
    __u32 size = left < HEAD_LOAD ? left : HEAD_LOAD;

    if (!buffer || !size)
        return HEAD_NONE;
    __u64 before = done ? __le64_to_cpu(buffer->words[HEAD_CHUNK / 8 - 1]) : 0;
    if (!fill_buffer(skb, buffer, offset + done, size))
        return HEAD_NONE;
    if (!done) {
        int method = http_plain_method(__builtin_assume_aligned(buffer->words, 8));
        if (method < 0)
            return HEAD_NONE;
        set_scratch(skb, HEAD_METHOD, method);
    }
    for (__u32 at = 0; at < HEAD_CHUNK && at < size; at += 8) {
        __u64 word = __le64_to_cpu(buffer->words[at / 8]);
        if (may_matter(before, word) && read_fields(skb, before, word, done, at))
            return HEAD_WHOLE;
        before = word;
    }
    return HEAD_BEGUN;
}

/* Follows the request's head at `offset` through one segment; its enum head, and HEAD_NONE too where it cannot be
 * looked through here and now. */
static __always_inline enum head scan_head(struct __sk_buff *skb, __u32 offset, __u32 available)
{
    struct head_buffer *buffer = head_buffer_here();
    enum head head = HEAD_BEGUN;

    if (!buffer || !acquire_buffer(buffer))
        return HEAD_NONE;
    set_scratch(skb, HEAD_LENGTH_VALUE, 0);
    set_scratch(skb, HEAD_CHUNKED, 0);
    for (__u32 done = 0; done < HEAD_CHUNKS * HEAD_CHUNK && done < available && head == HEAD_BEGUN; done += HEAD_CHUNK)
        head = scan_chunk(skb, offset, done, available - done);
    release_buffer(buffer);
    return head;
}

/* The value of the Content-Length that a scan found at HEAD_LENGTH_VALUE. */
COLD __u64 content_length(struct __sk_buff *skb, __u32 offset)
{
    __u8 value[HTTP_LENGTH_BYTES] = {};
    __u32 at = scratch(skb, HEAD_LENGTH_VALUE);
    __u32 left = scratch(skb, HEAD_END) - at; /* in the head, and so in the packet */
    __u32 size = left < sizeof(value) ? left : sizeof(value);

    return load_bytes(skb, offset + at, value, size, sizeof(value)) ? http_length(value) : 0;
}

#endif
