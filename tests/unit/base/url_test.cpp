// SPDX-License-Identifier: Apache-2.0
#include "base/url.hpp"

#include <gtest/gtest.h>

namespace upstat {
namespace {

struct Parts {
    std::string scheme;
    HostPort address;

    bool operator==(const Parts&) const = default;
};

Parts parts(const std::string& text) {
    const auto url = parse_url(text);
    return url ? Parts{.scheme = url->scheme, .address = url->address} : Parts{};
}

TEST(Url, IsTakenApart) {
    EXPECT_EQ(parts("http://a.b/c?d"), (Parts{.scheme = "http", .address = {.host = "a.b", .port = 80}}));
    EXPECT_EQ(parts("HTTPS://u:p@a"), (Parts{.scheme = "https", .address = {.host = "a", .port = 443}}));
    EXPECT_EQ(parts("h2c://[fd00::1]:8"), (Parts{.scheme = "h2c", .address = {.host = "fd00::1", .port = 8}}));
    EXPECT_EQ(parts("h2c://a").address.port, 80);
    EXPECT_EQ(parts("other://a").address.port, 0);
}

TEST(Url, NeedsASchemeAndAHost) {
    for (const auto* const wrong :
         {"", "a", "a:80", "//a", "http://", "http://a:70000", "http://a b", "http:/a", "http://[::1"}) {
        EXPECT_FALSE(parse_url(wrong)) << wrong;
    }
}

TEST(Url, HttpIsAskedFor) {
    EXPECT_TRUE(parse_http_url("http://a"));
    EXPECT_TRUE(parse_http_url("https://a/b"));
    const auto wrong = parse_http_url("h2c://a");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().message, "\"h2c://a\" is not an http or https URL");
    EXPECT_EQ(wrong.error().kind, Error::Kind::usage);
}

TEST(Url, APathGoesBehindItsOwn) {
    const auto behind = [](const std::string& text) { return with_path(parse_url(text).value(), "/x/y").value().text; };
    EXPECT_EQ(behind("http://a:9091"), "http://a:9091/x/y");
    EXPECT_EQ(behind("https://u:p%40@a/prefix//?q=1"), "https://u:p%40@a/prefix/x/y?q=1");
    EXPECT_FALSE(with_path(parse_url("http://a").value(), std::string(9'000'000, 'x')));
}

TEST(Url, IsShownWithoutItsPassword) {
    EXPECT_EQ(without_password("http://me:secret@a:1/b@c?d"), "http://a:1/b@c?d");
    EXPECT_EQ(without_password("ftp://me:secret@a/b"), "ftp://a/b");
    EXPECT_EQ(without_password("http://me:sec@ret@[::1"), "[::1");
    EXPECT_EQ(without_password("http://:secret@a"), "http://a/");
    EXPECT_EQ(without_password("http://a"), "http://a") << "as it was written";
    EXPECT_EQ(without_password("no url"), "no url");
    EXPECT_EQ(parse_http_url("ftp://me:secret@a").error().message, "\"ftp://a/\" is not an http or https URL");
}

TEST(Url, HasATextToBeAskedByAndOneToBeSaid) {
    const auto url = parse_url("http://me:secret@a:1/b").value();
    EXPECT_EQ(url.text, "http://me:secret@a:1/b");
    EXPECT_EQ(url.shown, "http://a:1/b");
    EXPECT_EQ(parse_url("HTTP://a:1").value().shown, "HTTP://a:1") << "as it was written";
    const auto behind = with_path(url, "/c").value();
    EXPECT_EQ(behind.text, "http://me:secret@a:1/b/c");
    EXPECT_EQ(behind.shown, "http://a:1/b/c");
}

TEST(RequestUri, IsWhatAlertmanagerTakes) {
    for (const auto* const text :
         {"http://h", "https://h:1/a/b", "http://h/%20", "http://[::1]:9479", "http://u:p@h/?a=b"}) {
        EXPECT_TRUE(is_request_uri(text)) << text;
    }
    for (const auto* const text : {"", "h:1", "ftp://h", "http://edge 1:9479", "http://a%zz:1", "http://100%:1",
                                   "http://h/%2", "http://\xc3\xbc/1", "http://h/\n", "http://"}) {
        EXPECT_FALSE(is_request_uri(text)) << text;
    }
}

}  // namespace
}  // namespace upstat
