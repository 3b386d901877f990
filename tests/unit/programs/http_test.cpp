// SPDX-License-Identifier: Apache-2.0
#include "http.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string_view>

namespace {

template <std::size_t size>
std::array<__u8, size> bytes(std::string_view text) {
    std::array<__u8, size> padded{};
    std::memcpy(padded.data(), text.data(), std::min(size, text.size()));
    return padded;
}

int method(std::string_view text) {
    return http_method(bytes<HTTP_OPENING_BYTES>(text).data());
}
int status(std::string_view text) {
    return http_status(bytes<HTTP_STATUS_BYTES>(text).data());
}
enum http_opening opening(std::string_view text) {
    const auto size = std::min<std::size_t>(text.size(), HTTP_OPENING_BYTES);
    return http_opening(bytes<HTTP_OPENING_BYTES>(text).data(), static_cast<__u32>(size));
}
enum http_header header(std::string_view text) {
    return http_header(bytes<HTTP_HEADER_BYTES>(text).data());
}
__u64 length(std::string_view text) {
    return http_length(bytes<HTTP_LENGTH_BYTES>(text).data());
}

TEST(HttpMethod, KnowsTheNineAndCallsOthersExtensions) {
    EXPECT_EQ(method("GET / HTTP/1.1"), UPSTAT_METHOD_GET);
    EXPECT_EQ(method("HEAD / HTTP/1.1"), UPSTAT_METHOD_HEAD);
    EXPECT_EQ(method("POST / HTTP/1.1"), UPSTAT_METHOD_POST);
    EXPECT_EQ(method("PUT / HTTP/1.1"), UPSTAT_METHOD_PUT);
    EXPECT_EQ(method("DELETE / HTTP/1.1"), UPSTAT_METHOD_DELETE);
    EXPECT_EQ(method("CONNECT h:1 HTTP"), UPSTAT_METHOD_CONNECT);
    EXPECT_EQ(method("OPTIONS * HTTP/1"), UPSTAT_METHOD_OPTIONS);
    EXPECT_EQ(method("TRACE / HTTP/1.1"), UPSTAT_METHOD_TRACE);
    EXPECT_EQ(method("PATCH / HTTP/1.1"), UPSTAT_METHOD_PATCH);
    EXPECT_EQ(method("GETS / HTTP/1.1"), UPSTAT_METHOD_EXTENSION);
    EXPECT_EQ(method("PROPFIND / HTTP"), UPSTAT_METHOD_EXTENSION);
    EXPECT_EQ(method("get / HTTP/1.1"), UPSTAT_METHOD_EXTENSION);
}

TEST(HttpMethod, IsATokenAndASpace) {
    for (const auto* const text : {" GET / HTTP/1.1", "GET\t/ HTTP/1.1", "GET", "", "\r\nGET / HTTP/1.1", "{\"a\": 1}",
                                   "AVERYVERYLONGMETHOD / HTTP/1.1", "HTTP/1.1 200 OK"}) {
        EXPECT_EQ(method(text), -1) << text;
    }
}

TEST(HttpMethod, TakesEveryTokenOfTheRfcAndNothingElse) {
    constexpr std::string_view others = "!#$%&'*+-.^_`|~";
    for (int byte = 0; byte < 256; byte++) {
        const bool is_token = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                              (byte >= 'a' && byte <= 'z') || (byte != 0 && others.contains(static_cast<char>(byte)));
        EXPECT_EQ(http_is_token(static_cast<__u8>(byte)) != 0, is_token) << byte;
    }
    EXPECT_EQ(method("PRI / HTTP/1.1"), UPSTAT_METHOD_EXTENSION);
    EXPECT_EQ(method("A#$%&'^`| / HTTP"), UPSTAT_METHOD_EXTENSION);
}

TEST(HttpStatus, TakesWhatGosClientTakes) {
    EXPECT_EQ(status("HTTP/1.1 200 OK"), 200);
    EXPECT_EQ(status("HTTP/1.0 404 Not"), 404);
    EXPECT_EQ(status("HTTP/1.1 204\r\n"), 204);
    EXPECT_EQ(status("HTTP/1.1 204\nA:"), 204);
    EXPECT_EQ(status("HTTP/1.1 100 C"), 100);
    EXPECT_EQ(status("HTTP/1.2 599 x"), 599);
    EXPECT_EQ(status("HTTP/2.0 600 x"), 600);
    EXPECT_EQ(status("HTTP/0.9 999\n\n"), 999);
    EXPECT_EQ(status("HTTP/1.1  200 O"), HTTP_STATUS_SPACES);
    for (const auto* const text :
         {"HTTP/1.a 200 OK", "HTTP/a.1 200 OK", "HTTP/1,1 200 OK", "HTTP/1.10 200 O", "HTTP/1.1 099 No",
          "HTTP/1.1 20 OK ", "HTTP/1.1 2000 O", "HTTP/1.1 2x0 OK", "HTTP/1.1 200\rOK", "HTTP/1.1 200\r\r\n",
          "HTTP/1.1 200\tO", "HTTP/1.1\t200 O", "http/1.1 200 OK", "HTTP/1.1", ""}) {
        EXPECT_EQ(status(text), 0) << text;
    }
}

TEST(HttpInterim, IsEverythingBelow200But101) {
    EXPECT_TRUE(http_is_interim(100));
    EXPECT_FALSE(http_is_interim(101));
    EXPECT_TRUE(http_is_interim(103));
    EXPECT_FALSE(http_is_interim(200));
}

TEST(HttpOpening, TellsProtocolsApart) {
    EXPECT_EQ(opening("GET / HTTP/1.1\r\n"), HTTP_OPENING_REQUEST);
    EXPECT_EQ(opening("PRI * HTTP/2.0\r\n\r\n"), HTTP_OPENING_HTTP2);
    EXPECT_EQ(opening("\x16\x03\x01"), HTTP_OPENING_TLS);
    EXPECT_EQ(opening("\x16\x02\x01"), HTTP_OPENING_OTHER);
    EXPECT_EQ(opening("*1\r\n$4\r\nPING\r\n"), HTTP_OPENING_OTHER);
}

TEST(HttpOpening, WaitsUntilItCanTell) {
    for (const auto* const text : {"G", "GET", "PR", "PRI", "PRI ", "PRI *", "PRI * HT", "PRI * HTT",
                                   "PRI * HTTP/2.0\r", "\x16", "AVERYVERYLONGME"}) {
        EXPECT_EQ(opening(text), HTTP_OPENING_PARTIAL) << text;
    }
    EXPECT_EQ(opening("GET "), HTTP_OPENING_REQUEST);
    EXPECT_EQ(opening("PRI /"), HTTP_OPENING_REQUEST);
    EXPECT_EQ(opening("PRI * HTTP/1"), HTTP_OPENING_REQUEST);
    EXPECT_EQ(opening("PRI * HTTP/2.0\r\n"), HTTP_OPENING_HTTP2);
    EXPECT_EQ(opening("PRI * HTTP/2.1\r\n"), HTTP_OPENING_REQUEST);
    EXPECT_EQ(opening("G\r"), HTTP_OPENING_OTHER);
    EXPECT_EQ(opening("AVERYVERYLONGMET"), HTTP_OPENING_LONG);
}

TEST(HttpHeader, FindsLengthEncodingAndTheEnd) {
    EXPECT_EQ(header("Content-Length: 5"), HTTP_HEADER_LENGTH);
    EXPECT_EQ(header("content-LENGTH:5"), HTTP_HEADER_LENGTH);
    EXPECT_EQ(header("Content-Type: te"), HTTP_HEADER_OTHER);
    EXPECT_EQ(header("Content-Length2:"), HTTP_HEADER_OTHER);
    EXPECT_EQ(header("Transfer-Encoding: chunked"), HTTP_HEADER_ENCODING);
    EXPECT_EQ(header("Transfer-Encodin: chunked"), HTTP_HEADER_OTHER);
    EXPECT_EQ(header("\r\nContent-Length"), HTTP_HEADER_NONE);
    EXPECT_EQ(header("\nContent-Length:"), HTTP_HEADER_NONE);
    EXPECT_EQ(header("\rContent-Length:"), HTTP_HEADER_OTHER);
}

TEST(HttpLength, ReadsTheNumberAndNothingElse) {
    EXPECT_EQ(length(" 1048576\r\nX: 9"), 1048576U);
    EXPECT_EQ(length("0\r\n"), 0U);
    EXPECT_EQ(length(" \t 7\r\n"), 7U);
    EXPECT_EQ(length("\r\n7"), 0U);
    EXPECT_EQ(length(" 123456789012345"), 123456789012345U);
}

TEST(HttpChunkSize, ReadsHexadecimalUpToAnExtensionOrTheEnd) {
    const auto size = [](std::string_view text) { return http_chunk_size(bytes<HTTP_CHUNK_BYTES>(text).data()); };
    EXPECT_EQ(size("0\r\n"), 0);
    EXPECT_EQ(size("1fA\r\n"), 0x1fa);
    EXPECT_EQ(size("10;name=value\r\n"), 0x10);
    EXPECT_EQ(size("7fffffffffff\n"), 0x7fffffffffff);
    for (const auto* const text :
         {"\r\n", "", "x\r\n", "1g\r\n", "-1\r\n", "1234567890123456\r\n", "ffffffffffffffff\r\n"}) {
        EXPECT_EQ(size(text), -1) << text;
    }
}

TEST(HttpEnds, OfHeads) {
    EXPECT_TRUE(http_ends_head(0x0d0a0d0a));
    EXPECT_TRUE(http_ends_head(0x0a0a));
    EXPECT_FALSE(http_ends_head(0x0d0a0d));
    EXPECT_FALSE(http_ends_head(0x0a0d0d0a));
}

}  // namespace
