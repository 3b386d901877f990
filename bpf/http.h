/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* HTTP/1 as far as counting needs it: pure functions over bytes, compiled for the kernel and for the host's tests. */
#ifndef UPSTAT_HTTP_H
#define UPSTAT_HTTP_H

#include "layout.h"

#define HTTP_INLINE static inline __attribute__((always_inline))

/* "HTTP/1.1 200\r\n": a status line is known by its first 14 bytes. No head is shorter: "HTTP/1.1 200\n\n". */
#define HTTP_STATUS_BYTES 14
/* Of these, version and one space; and up to the code's end. */
#define HTTP_STATUS_VERSION 9
#define HTTP_STATUS_CODE_END 12
/* http_status: more than one space stands in front of the code. */
#define HTTP_STATUS_SPACES (-1)
/* What a connection sends is known by its first bytes: a method of up to 15 letters and a space, or HTTP/2's preface.
 */
#define HTTP_OPENING_BYTES 16

/* The first byte of a TLS handshake; the version follows, whose first byte is 3. */
#define HTTP_TLS 0x16

enum http_opening {
    HTTP_OPENING_REQUEST,
    HTTP_OPENING_TLS,
    HTTP_OPENING_HTTP2,
    HTTP_OPENING_LONG, /* a method that is longer than these bytes, or no HTTP */
    HTTP_OPENING_OTHER,
    HTTP_OPENING_PARTIAL, /* more bytes are needed to tell */
};

/* Eight bytes as the number whose most significant byte is the first: comparable in one step, and read in one where the
 * compiler knows that they are aligned. */
HTTP_INLINE __u64 http_word(const __u8 *bytes)
{
    __u64 word;
    __builtin_memcpy(&word, bytes, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

#define HTTP_WORD(a, b, c, d, e, f, g, h)                                                                              \
    ((__u64)(a) << 56 | (__u64)(b) << 48 | (__u64)(c) << 40 | (__u64)(d) << 32 | (__u64)(e) << 24 | (__u64)(f) << 16 | \
     (__u64)(g) << 8 | (__u64)(h))

HTTP_INLINE int http_is_capital(__u8 byte)
{
    return byte >= 'A' && byte <= 'Z';
}

HTTP_INLINE int http_is_digit(__u8 byte)
{
    return byte >= '0' && byte <= '9';
}

/* The bytes of a token (RFC 9110, 5.6.2), a bit each: letters, digits and !#$%&'*+-.^_`|~ */
#define HTTP_TOKENS_BELOW_64 0x03ff6cfa00000000ULL
#define HTTP_TOKENS_FROM_64 0x57ffffffc7fffffeULL

/* A byte of a method. */
HTTP_INLINE int http_is_token(__u8 byte)
{
    __u64 tokens = byte < 64 ? HTTP_TOKENS_BELOW_64 : HTTP_TOKENS_FROM_64;

    return byte < 128 && tokens >> (byte & 63) & 1;
}

/* The method that HTTP_OPENING_BYTES bytes begin with, as enum upstat_method; -1 where they begin with none, or with
 * one of more than 15 letters. */
HTTP_INLINE int http_method(const __u8 *bytes)
{
    __u64 word = http_word(bytes);

    if (word >> 32 == HTTP_WORD(0, 0, 0, 0, 'G', 'E', 'T', ' '))
        return UPSTAT_METHOD_GET;
    if (word >> 24 == HTTP_WORD(0, 0, 0, 'H', 'E', 'A', 'D', ' '))
        return UPSTAT_METHOD_HEAD;
    if (word >> 24 == HTTP_WORD(0, 0, 0, 'P', 'O', 'S', 'T', ' '))
        return UPSTAT_METHOD_POST;
    if (word >> 32 == HTTP_WORD(0, 0, 0, 0, 'P', 'U', 'T', ' '))
        return UPSTAT_METHOD_PUT;
    if (word >> 8 == HTTP_WORD(0, 'D', 'E', 'L', 'E', 'T', 'E', ' '))
        return UPSTAT_METHOD_DELETE;
    if (word == HTTP_WORD('C', 'O', 'N', 'N', 'E', 'C', 'T', ' '))
        return UPSTAT_METHOD_CONNECT;
    if (word == HTTP_WORD('O', 'P', 'T', 'I', 'O', 'N', 'S', ' '))
        return UPSTAT_METHOD_OPTIONS;
    if (word >> 16 == HTTP_WORD(0, 0, 'T', 'R', 'A', 'C', 'E', ' '))
        return UPSTAT_METHOD_TRACE;
    if (word >> 16 == HTTP_WORD(0, 0, 'P', 'A', 'T', 'C', 'H', ' '))
        return UPSTAT_METHOD_PATCH;
    for (int i = 0; i < HTTP_OPENING_BYTES; i++) {
        if (bytes[i] == ' ')
            return i > 0 ? UPSTAT_METHOD_EXTENSION : -1;
        if (!http_is_token(bytes[i]))
            return -1;
    }
    return -1;
}

/* The same, but -1 too for PRI: it is a method like any other, but HTTP/2's preface begins with it, and that must be
 * looked at more closely. */
HTTP_INLINE int http_plain_method(const __u8 *bytes)
{
    return http_word(bytes) >> 32 == HTTP_WORD(0, 0, 0, 0, 'P', 'R', 'I', ' ') ? -1 : http_method(bytes);
}

/* Whether `size` bytes, 1 to HTTP_OPENING_BYTES, begin HTTP/2's preface as far as they go (RFC 9113, 3.4). */
HTTP_INLINE int http_begins_preface(const __u8 *bytes, __u32 size)
{
    __u64 first = http_word(bytes) ^ HTTP_WORD('P', 'R', 'I', ' ', '*', ' ', 'H', 'T');
    __u64 second = http_word(bytes + 8) ^ HTTP_WORD('T', 'P', '/', '2', '.', '0', '\r', '\n');

    if (size <= 8)
        return first >> ((64 - 8 * size) & 63) == 0;
    return first == 0 && second >> ((128 - 8 * size) & 63) == 0;
}

/* What the first `size` bytes that a connection sends say, up to HTTP_OPENING_BYTES; zeros stand behind them. */
HTTP_INLINE enum http_opening http_opening(const __u8 *bytes, __u32 size)
{
    if (bytes[0] == HTTP_TLS && (size < 2 || bytes[1] == 0x03))
        return size < 2 ? HTTP_OPENING_PARTIAL : HTTP_OPENING_TLS;
    if (size && http_begins_preface(bytes, size))
        return size < HTTP_OPENING_BYTES ? HTTP_OPENING_PARTIAL : HTTP_OPENING_HTTP2;
    if (http_method(bytes) >= 0)
        return HTTP_OPENING_REQUEST;
    for (__u32 i = 0; i < HTTP_OPENING_BYTES; i++) {
        if (i >= size)
            return HTTP_OPENING_PARTIAL;
        if (!http_is_token(bytes[i]))
            return HTTP_OPENING_OTHER;
    }
    return HTTP_OPENING_LONG;
}

/* "HTTP/1.1", or any digits there, as Go's client takes it. */
HTTP_INLINE int http_is_version(const __u8 *bytes)
{
    __u64 word = http_word(bytes);

    if (word == HTTP_WORD('H', 'T', 'T', 'P', '/', '1', '.', '1'))
        return 1;
    return word >> 24 == HTTP_WORD(0, 0, 0, 'H', 'T', 'T', 'P', '/') && http_is_digit(bytes[5]) && bytes[6] == '.' &&
           http_is_digit(bytes[7]);
}

/* The code of the status line that HTTP_STATUS_BYTES bytes begin, 100 to 999; 0 where they begin none, or
 * HTTP_STATUS_SPACES. Just what Go's client takes, but for codes below 100, which Traefik never hands on. */
HTTP_INLINE int http_status(const __u8 *line)
{
    if (!http_is_version(line) || line[8] != ' ')
        return 0;
    if (line[9] == ' ')
        return HTTP_STATUS_SPACES;
    if (line[12] != ' ' && line[12] != '\n' && (line[12] != '\r' || line[13] != '\n'))
        return 0;
    for (int i = 9; i < 12; i++)
        if (!http_is_digit(line[i]))
            return 0;
    int code = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    return code >= 100 ? code : 0;
}

/* A response that another one follows on the same request. 101 is final: what follows is no HTTP. */
HTTP_INLINE int http_is_interim(int code)
{
    return code < 200 && code != 101;
}

/* Whether the last bytes of a stream, the newest lowest, end a head. As Go reads heads, a bare LF ends a line too. */
HTTP_INLINE int http_ends_head(__u64 last)
{
    return (last & 0xffffff) == 0x0a0d0a || (last & 0xffff) == 0x0a0a;
}

/* A header line is told by its first 18 bytes: "Transfer-Encoding:" is the longest. */
#define HTTP_HEADER_BYTES 18
/* The offset of Content-Length's value in its line. */
#define HTTP_LENGTH_VALUE 15

enum http_header {
    HTTP_HEADER_OTHER,
    HTTP_HEADER_NONE,     /* an empty line: the head ends here */
    HTTP_HEADER_LENGTH,   /* Content-Length: */
    HTTP_HEADER_ENCODING, /* Transfer-Encoding:, of which only chunked is in use */
};

/* What the HTTP_HEADER_BYTES behind a line's end begin; zeros where there are fewer. */
HTTP_INLINE enum http_header http_header(const __u8 *line)
{
    const __u64 lower = 0x2020202020202020;

    if (line[0] == '\n' || (line[0] == '\r' && line[1] == '\n'))
        return HTTP_HEADER_NONE;
    __u64 first = http_word(line) | lower, second = http_word(line + 8) | lower;
    if (first == HTTP_WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-') &&
        second >> 8 == HTTP_WORD(0, 'l', 'e', 'n', 'g', 't', 'h', ':'))
        return HTTP_HEADER_LENGTH;
    if (first == HTTP_WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r') &&
        second == HTTP_WORD('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n') && (line[16] | 0x20) == 'g' && line[17] == ':')
        return HTTP_HEADER_ENCODING;
    return HTTP_HEADER_OTHER;
}

/* A mark is told by a line's first 19 bytes: "X-Forwarded-Server:" is the longest. */
#define HTTP_MARK_BYTES 19

/* What a head says of who made it: a bit for each. */
enum http_mark {
    HTTP_MARK_PROXIED = 1, /* X-Forwarded-Server or X-Forwarded-For: Traefik sends on what a user asked */
    HTTP_MARK_METHOD = 2,  /* X-Forwarded-Method */
    HTTP_MARK_URI = 4,     /* X-Forwarded-Uri: with the one before, forwardAuth asks */
};

/* The mark that the HTTP_MARK_BYTES behind a line's end are; 0 for any other line. */
HTTP_INLINE int http_mark(const __u8 *line)
{
    const __u64 lower = 0x2020202020202020;
    __u64 first = http_word(line) | lower, second = http_word(line + 8) | lower;

    if (first != HTTP_WORD('x', '-', 'f', 'o', 'r', 'w', 'a', 'r'))
        return 0;
    if (second == HTTP_WORD('d', 'e', 'd', '-', 's', 'e', 'r', 'v'))
        return (line[16] | 0x20) == 'e' && (line[17] | 0x20) == 'r' && line[18] == ':' ? HTTP_MARK_PROXIED : 0;
    if (second == HTTP_WORD('d', 'e', 'd', '-', 'f', 'o', 'r', ':'))
        return HTTP_MARK_PROXIED;
    if (second == HTTP_WORD('d', 'e', 'd', '-', 'm', 'e', 't', 'h'))
        return (line[16] | 0x20) == 'o' && (line[17] | 0x20) == 'd' && line[18] == ':' ? HTTP_MARK_METHOD : 0;
    return second == HTTP_WORD('d', 'e', 'd', '-', 'u', 'r', 'i', ':') ? HTTP_MARK_URI : 0;
}

/* The bytes that Traefik sends on as they came, in a target's path and in a host, a bit each: unreserved ones,
 * sub-delimiters and /:@ (RFC 3986). For any other there are two ways to write it. */
#define HTTP_PATH_BELOW_64 0x2fffffd200000000ULL
#define HTTP_PATH_FROM_64 0x47fffffe87ffffffULL
#define HTTP_HOST_BELOW_64 0x3ff600000000000ULL
#define HTTP_HOST_FROM_64 0x7fffffe87fffffeULL

HTTP_INLINE int http_is_plain_path(__u8 byte)
{
    return byte < 128 && (byte < 64 ? HTTP_PATH_BELOW_64 : HTTP_PATH_FROM_64) >> (byte & 63) & 1;
}

HTTP_INLINE int http_is_plain_host(__u8 byte)
{
    return byte < 128 && (byte < 64 ? HTTP_HOST_BELOW_64 : HTTP_HOST_FROM_64) >> (byte & 63) & 1;
}

/* The offset of Host's value in its line. */
#define HTTP_HOST_VALUE 5

/* Whether a line's first bytes are "Host:"; zeros stand behind them. */
HTTP_INLINE int http_is_host(const __u8 *line)
{
    return (http_word(line) | 0x2020202000000000ULL) >> 24 == HTTP_WORD(0, 0, 0, 'h', 'o', 's', 't', ':');
}

#define HTTP_LENGTH_BYTES 16

/* The number that the value of a Content-Length begins with. At most 15 digits are read. */
HTTP_INLINE __u64 http_length(const __u8 *value)
{
    __u64 length = 0;
    int digits = 0;
    for (int i = 0; i < HTTP_LENGTH_BYTES; i++) {
        if (value[i] >= '0' && value[i] <= '9') {
            length = length * 10 + (value[i] - '0');
            digits++;
        } else if (digits || (value[i] != ' ' && value[i] != '\t')) {
            break;
        }
    }
    return length;
}

/* The bytes in front of a chunk's end of line that are looked at: 15 digits are more than any size. */
#define HTTP_CHUNK_BYTES 16

/* The size that a chunk's first line says, of which the first HTTP_CHUNK_BYTES are here; -1 where it says none. */
HTTP_INLINE __s64 http_chunk_size(const __u8 *line)
{
    __u64 size = 0;
    for (int i = 0; i < HTTP_CHUNK_BYTES; i++) {
        __u8 byte = line[i], lower = byte | 0x20;
        if (byte >= '0' && byte <= '9')
            size = size << 4 | (byte - '0');
        else if (lower >= 'a' && lower <= 'f')
            size = size << 4 | (lower - 'a' + 10);
        else
            return i > 0 && (byte == '\r' || byte == '\n' || byte == ';' || byte == ' ' || byte == '\t') ? size : -1;
    }
    return -1;
}

#endif
