// SPDX-License-Identifier: Apache-2.0
#include "judge/worst.hpp"

#include <gtest/gtest.h>

namespace upstat::judge {
namespace {

const measure::CodeSet& four_hundreds() {
    static const auto codes = measure::CodeSet::compile("4..").value();
    return codes;
}

const poll::Server first = poll::parse_server("10.0.0.1:80").value();
const poll::Server second = poll::parse_server("10.0.0.2:80").value();
const poll::Server elsewhere = poll::parse_server("[fd00::1]:80").value();

poll::Snapshot snapshot(std::map<poll::Server, poll::ResponseCounts> responses) {
    poll::Snapshot result;
    for (auto& [server, counts] : responses) {
        result.servers[server].responses = std::move(counts);
    }
    return result;
}

TEST(WorstTest, IsTheServerAndCodeThatGrewMost) {
    const auto before =
        snapshot({{first, {{{404, poll::Method::get}, 1000}}}, {second, {{{404, poll::Method::get}, 5}}}});
    const auto after = snapshot({{first, {{{200, poll::Method::get}, 9999}, {{404, poll::Method::get}, 1010}}},
                                 {second, {{{404, poll::Method::get}, 15}, {{429, poll::Method::get}, 11}}},
                                 {elsewhere, {{{404, poll::Method::get}, 500}}}});
    EXPECT_EQ(worst(responses_of(before), after, {first, second}, four_hundreds()),
              (Worst{.server = "10.0.0.2:80", .code = 429, .count = 11}));
    EXPECT_EQ(worst(responses_of(before), after, {elsewhere}, four_hundreds()),
              (Worst{.server = "[fd00::1]:80", .code = 404, .count = 500}));
}

TEST(WorstTest, AddsTheMethodsUp) {
    const auto after = snapshot(
        {{first, {{{404, poll::Method::get}, 3}, {{404, poll::Method::post}, 3}, {{403, poll::Method::get}, 5}}}});
    EXPECT_EQ(worst({}, after, {first}, four_hundreds()), (Worst{.server = "10.0.0.1:80", .code = 404, .count = 6}));
}

TEST(WorstTest, TakesTheSmallerOnATie) {
    const auto after = snapshot({{second, {{{404, poll::Method::get}, 3}}},
                                 {first, {{{410, poll::Method::get}, 3}, {{404, poll::Method::get}, 3}}}});
    EXPECT_EQ(worst({}, after, {second, first}, four_hundreds()),
              (Worst{.server = "10.0.0.1:80", .code = 404, .count = 3}));
}

TEST(WorstTest, IsNothingWithoutSuchAnswers) {
    const auto same = snapshot({{first, {{{404, poll::Method::get}, 3}, {{200, poll::Method::get}, 3}}}});
    EXPECT_EQ(worst(responses_of(same), same, {first, second}, four_hundreds()), std::nullopt);
    EXPECT_EQ(worst({}, same, {}, four_hundreds()), std::nullopt);
}

TEST(WorstTest, WhatCameByRoutesIsEachBackendsOwn) {
    const std::vector<attribute::BackendName> names{"a@f", "", {"a@f", 3}};
    const poll::Routed before{{first, {{1, {{{404, poll::Method::get}, 100}}}}}};
    const poll::Routed after{{first, {{1, {{{404, poll::Method::get}, 105}}}, {2, {{{404, poll::Method::get}, 9}}}}},
                             {second,
                              {{1, {{{404, poll::Method::get}, 7}, {{200, poll::Method::get}, 50}}},
                               {3, {{{404, poll::Method::get}, 1}}},
                               {4, {{{404, poll::Method::get}, 8}}}}}};
    const auto routed = routed_since(before, after, names);
    ASSERT_EQ(routed.size(), 2);
    EXPECT_EQ(worst(routed.at("a@f"), four_hundreds()), (Worst{.server = "10.0.0.2:80", .code = 404, .count = 7}));
    EXPECT_EQ(worst(routed.at({"a@f", 3}), four_hundreds())->count, 1);
    EXPECT_EQ(worst(routed_since(after, after, names).at("a@f"), four_hundreds()), std::nullopt);
}

TEST(PastTest, RemembersRoutesAsItRemembersServers) {
    Past past(std::chrono::seconds(10));
    auto now = snapshot({});
    for (int second = 0; second <= 20; second += 10) {
        now.at = Time(std::chrono::seconds(second));
        now.routed[first][1][{404, poll::Method::get}] = 100U + static_cast<unsigned>(second);
        past.add(now);
    }
    EXPECT_EQ(past.routed().at(first).at(1).at({404, poll::Method::get}), 110);
}

TEST(WorstTest, CountsFromZeroWhereTheTotalsWereMadeAnew) {
    const auto before = snapshot({{first, {{{404, poll::Method::get}, 1000}}}});
    const auto after = snapshot({{first, {{{404, poll::Method::get}, 7}}}});
    EXPECT_EQ(worst(responses_of(before), after, {first}, four_hundreds())->count, 7);
}

}  // namespace
}  // namespace upstat::judge
