// SPDX-License-Identifier: Apache-2.0
#include "poll/snapshot.hpp"

#include <gtest/gtest.h>

#include <set>

#include "layout.h"
#include "poll/reader.hpp"

namespace upstat::poll {
namespace {

Total total(const std::string& server, std::uint64_t event, std::uint64_t detail, std::uint64_t method,
            std::uint64_t count) {
    return {.server = server.empty() ? Server{} : parse_server(server).value(),
            .event = event,
            .detail = detail,
            .method = method,
            .count = count};
}

Total request(const std::string& server, std::uint64_t count) {
    return total(server, UPSTAT_REQUEST, 0, 0, count);
}

TEST(Server, ReadsWhatItWrites) {
    for (const auto* const text : {"10.0.0.1:80", "[fd00::1]:8080", "[::1]:1", "0.0.0.0:0", "255.255.255.255:65535"}) {
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

TEST(MethodName, IsTraefiksAndUnlikeAllOthers) {
    std::set<std::string_view> names;
    for (int i = 0; i < UPSTAT_METHODS; i++) {
        names.insert(to_string(static_cast<Method>(i)));
    }
    EXPECT_EQ(names.size(), static_cast<std::size_t>(UPSTAT_METHODS));
    EXPECT_EQ(to_string(Method::extension), "EXTENSION_METHOD");
    EXPECT_EQ(to_string(Method::patch), "PATCH");
}

TEST(ToServers, PutsEveryEventInItsPlace) {
    const std::vector<Total> totals{total("10.0.0.1:80", UPSTAT_RESPONSE, 404, UPSTAT_METHOD_GET, 3),
                                    total("10.0.0.1:80", UPSTAT_RESPONSE, 200, UPSTAT_METHOD_PATCH, 4),
                                    total("10.0.0.1:80", UPSTAT_UNANSWERED, UPSTAT_UNANSWERED_MISSED, 0, 1),
                                    total("10.0.0.1:80", UPSTAT_UNREAD, UPSTAT_UNREAD_OTHER, 0, 2),
                                    total("[::1]:80", UPSTAT_CONNECT, 0, 0, 7),
                                    total("[::1]:80", UPSTAT_CONNECT_FAILURE, UPSTAT_CONNECT_TIMEOUT, 0, 5),
                                    request("10.0.0.1:80", 10)};
    const auto servers = to_servers(totals);

    ASSERT_EQ(servers.size(), 2U);
    const auto& four = servers.at(parse_server("10.0.0.1:80").value());
    EXPECT_EQ(four.requests, 10U);
    EXPECT_EQ(four.responses.at({.code = 404, .method = Method::get}), 3U);
    EXPECT_EQ(four.responses.at({.code = 200, .method = Method::patch}), 4U);
    EXPECT_EQ(four.unanswered.at("missed"), 1U);
    EXPECT_EQ(four.unread.at("other"), 2U);
    EXPECT_EQ(four.response_sum(), 7U);
    EXPECT_EQ(four.outstanding(), 2);
    const auto& six = servers.at(parse_server("[::1]:80").value());
    EXPECT_EQ(six.connects, 7U);
    EXPECT_EQ(six.connect_failures.at("timeout"), 5U);
}

TEST(ToServers, EveryReasonHasItsName) {
    EXPECT_EQ(kernel_unanswered_reasons().size(), std::size_t{UPSTAT_UNANSWERED_REASONS});
    EXPECT_EQ(unread_reasons().size(), std::size_t{UPSTAT_UNREAD_REASONS});
    EXPECT_EQ(connect_failure_reasons().size(), std::size_t{UPSTAT_CONNECT_FAILURES});
    EXPECT_EQ(unanswered_reasons()[UPSTAT_UNANSWERED_MALFORMED], "malformed");
    EXPECT_EQ(unanswered_reasons().back(), "upgraded");
    EXPECT_EQ(unread_reasons()[UPSTAT_UNREAD_UPGRADED], "upgraded");
    EXPECT_EQ(unread_reasons()[UPSTAT_UNREAD_MPTCP], "mptcp");
}

TEST(ToServers, WhatANewerLayoutCountsStaysInTheSums) {
    const std::vector<Total> totals{total("10.0.0.1:80", 99, 1, 0, 3),
                                    total("10.0.0.1:80", UPSTAT_UNANSWERED, UPSTAT_UNANSWERED_REASONS, 0, 1),
                                    total("10.0.0.1:80", UPSTAT_UNREAD, 99, 0, 2),
                                    total("10.0.0.1:80", UPSTAT_RESPONSE, 200, 99, 4), request("10.0.0.1:80", 6)};
    const auto servers = to_servers(totals);
    const auto& server = servers.at(parse_server("10.0.0.1:80").value());
    EXPECT_EQ(server.unanswered.at("unknown"), 1U);
    EXPECT_EQ(server.unread.at("unknown"), 2U);
    EXPECT_EQ(server.responses.at({.code = 200, .method = Method::extension}), 4U);
    EXPECT_EQ(server.outstanding(), 1);
}

TEST(NeverAnswered, IsWhatWasOutstanding) {
    const std::vector<Total> totals{total("10.0.0.1:80", UPSTAT_RESPONSE, 200, UPSTAT_METHOD_GET, 3),
                                    total("10.0.0.1:80", UPSTAT_UNANSWERED, UPSTAT_UNANSWERED_RESET, 0, 1),
                                    request("10.0.0.1:80", 6), request("10.0.0.2:80", 5),
                                    total("10.0.0.2:80", UPSTAT_RESPONSE, 200, UPSTAT_METHOD_GET, 5)};
    const auto counts = never_answered(to_servers(totals));
    EXPECT_EQ(counts, (std::map<Server, std::uint64_t>{{parse_server("10.0.0.1:80").value(), 2}}));
}

TEST(NeverAnswered, ARequestThatOverflowedBelongsToAnAnswerThatDidNot) {
    const std::vector<Total> totals{total("10.0.0.1:80", UPSTAT_RESPONSE, 200, UPSTAT_METHOD_GET, 5), request("", 6)};
    const auto counts = never_answered(to_servers(totals));
    EXPECT_EQ(counts, (std::map<Server, std::uint64_t>{{Server{}, 1}}));
}

}  // namespace
}  // namespace upstat::poll
