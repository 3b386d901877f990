// SPDX-License-Identifier: Apache-2.0
#include "base/host_port.hpp"

#include <gtest/gtest.h>

namespace upstat {
namespace {

TEST(HostPort, IsReadAndWritten) {
    for (const auto* const text : {"127.0.0.1:9479", "[fd00::1]:80", "host.example:0", ":65535"}) {
        const auto parsed = parse_host_port(text);
        ASSERT_TRUE(parsed) << text;
        EXPECT_EQ(to_string(*parsed), text);
    }
    EXPECT_EQ(parse_host_port("[::1]:90"), (HostPort{.host = "::1", .port = 90}));
}

TEST(HostPort, NothingElseIsOne) {
    for (const auto* const text : {"", "host", "host:", "host:x", "host:65536", "host:-1", "host:+1", "host: 1",
                                   "host:80/path", "::1:80", "[::1]", "[::1"}) {
        EXPECT_FALSE(parse_host_port(text)) << text;
    }
}

TEST(HostPort, AListenerOnEveryAddressIsReachedByTheLoopback) {
    const auto reached = [](std::string_view text) {
        return to_string(reached_locally(parse_host_port(text).value()));
    };
    EXPECT_EQ(reached(":9479"), "127.0.0.1:9479");
    EXPECT_EQ(reached("0.0.0.0:9479"), "127.0.0.1:9479");
    EXPECT_EQ(reached("[::]:9479"), "[::1]:9479");
    EXPECT_EQ(reached("10.0.0.1:9479"), "10.0.0.1:9479");
    EXPECT_EQ(reached("[fd00::1]:9479"), "[fd00::1]:9479");
}

TEST(HostPort, KnowsTheLoopback) {
    for (const auto* const host : {"localhost", "LocalHost", "a.localhost", "localhost.", "127.0.0.1", "127.255.0.9",
                                   "::1", "::ffff:127.0.0.1"}) {
        EXPECT_TRUE(is_loopback(host)) << host;
    }
    for (const auto* const host : {"", "localhost.example", "notlocalhost", "128.0.0.1", "10.127.0.1", "::", "::2",
                                   "::ffff:10.0.0.1", "127.0.0.1.example"}) {
        EXPECT_FALSE(is_loopback(host)) << host;
    }
}

}  // namespace
}  // namespace upstat
