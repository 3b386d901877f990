// SPDX-License-Identifier: Apache-2.0
#include "poll/snapshot.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "poll/reader.hpp"

namespace upstat {
namespace {

upstat_server_key key_of(const std::string& text) {
    const auto server = parse_server(text).value();
    upstat_server_key key{};
    std::memcpy(key.address, server.address.data(), server.address.size());
    key.port = server.port;
    return key;
}

Total total(const std::string& server, upstat_event event, std::uint16_t detail, std::uint8_t method,
            std::uint64_t count) {
    return {.key = {.server = key_of(server), .detail = detail, .event = static_cast<__u8>(event), .method = method},
            .count = count};
}

TEST(Server, ReadsWhatItWrites) {
    for (const auto* const text : {"10.0.0.1:80", "[fd00::1]:8080", "[::1]:1", "255.255.255.255:65535"}) {
        EXPECT_EQ(to_string(parse_server(text).value()), text);
    }
}

TEST(Server, MappedAddressIsItsIPv4) {
    EXPECT_EQ(to_string(parse_server("[::ffff:10.0.0.1]:80").value()), "10.0.0.1:80");
}

TEST(Server, RefusesWhatIsNoAddressAndPort) {
    for (const auto* const text : {"", "10.0.0.1", "10.0.0.1:", "10.0.0.1:x", "10.0.0.1:65536", "10.0.0.1:80x",
                                   "::1:80", "host:80", "[::1]", "[::1:80"}) {
        EXPECT_FALSE(parse_server(text)) << text;
    }
}

TEST(MethodName, ReadsWhatItWrites) {
    for (int i = 0; i < UPSTAT_METHODS; i++) {
        const auto method = static_cast<Method>(i);
        EXPECT_EQ(parse_method(to_string(method)), method);
    }
    EXPECT_EQ(to_string(Method::extension), "EXTENSION_METHOD");
    EXPECT_FALSE(parse_method("PROPFIND"));
}

TEST(ToServers, PutsEveryEventInItsPlace) {
    const std::vector<Total> totals{total("10.0.0.1:80", UPSTAT_ANSWER, 404, UPSTAT_METHOD_GET, 3),
                                    total("10.0.0.1:80", UPSTAT_ANSWER, 200, UPSTAT_METHOD_PATCH, 4),
                                    total("10.0.0.1:80", UPSTAT_UNANSWERED, UPSTAT_UNANSWERED_MISSED, 0, 1),
                                    total("10.0.0.1:80", UPSTAT_UNREAD, UPSTAT_UNREAD_OTHER, 0, 2),
                                    total("[::1]:80", UPSTAT_CONNECT, 0, 0, 7),
                                    total("[::1]:80", UPSTAT_CONNECT_FAILURE, UPSTAT_CONNECT_TIMEOUT, 0, 5)};
    const std::vector<RequestTotal> requests{{.key = key_of("10.0.0.1:80"), .count = 10}};
    const auto servers = to_servers(totals, requests);

    ASSERT_EQ(servers.size(), 2U);
    const auto& four = servers.at(parse_server("10.0.0.1:80").value());
    EXPECT_EQ(four.requests, 10U);
    EXPECT_EQ(four.answers.at({.code = 404, .method = Method::get}), 3U);
    EXPECT_EQ(four.answers.at({.code = 200, .method = Method::patch}), 4U);
    EXPECT_EQ(four.unanswered.at("missed"), 1U);
    EXPECT_EQ(four.unread.at("other"), 2U);
    EXPECT_EQ(four.answered(), 7U);
    EXPECT_EQ(four.outstanding(), 2);
    const auto& six = servers.at(parse_server("[::1]:80").value());
    EXPECT_EQ(six.connects, 7U);
    EXPECT_EQ(six.connect_failures.at("timeout"), 5U);
}

TEST(ToServers, EveryReasonHasItsName) {
    EXPECT_EQ(unanswered_reasons().size(), std::size_t{UPSTAT_UNANSWERED_REASONS});
    EXPECT_EQ(unread_reasons().size(), std::size_t{UPSTAT_UNREAD_REASONS});
    EXPECT_EQ(connect_failure_reasons().size(), std::size_t{UPSTAT_CONNECT_FAILURES});
    EXPECT_EQ(unanswered_reasons()[UPSTAT_UNANSWERED_MALFORMED], "malformed");
    EXPECT_EQ(unread_reasons()[UPSTAT_UNREAD_UPGRADED], "upgraded");
}

TEST(ToServers, LeavesOutWhatANewerLayoutCounts) {
    const std::vector<Total> totals{total("10.0.0.1:80", static_cast<upstat_event>(99), 1, 0, 3),
                                    total("10.0.0.1:80", UPSTAT_UNANSWERED, 99, 0, 1),
                                    total("10.0.0.1:80", UPSTAT_ANSWER, 200, 99, 1)};
    const auto servers = to_servers(totals, {});
    EXPECT_EQ(servers.at(parse_server("10.0.0.1:80").value()), ServerTotals{});
}

}  // namespace
}  // namespace upstat
