// SPDX-License-Identifier: Apache-2.0
#include "measure/worst.hpp"

#include <gtest/gtest.h>

namespace upstat {
namespace {

const CodeSet& four_hundreds() {
    static const auto codes = CodeSet::compile("4..").value();
    return codes;
}

const Server first = parse_server("10.0.0.1:80").value();
const Server second = parse_server("10.0.0.2:80").value();
const Server elsewhere = parse_server("[fd00::1]:80").value();

Snapshot snapshot(std::map<Server, Answers> answers) {
    Snapshot result;
    for (auto& [server, counts] : answers) {
        result.servers[server].answers = std::move(counts);
    }
    return result;
}

TEST(WorstTest, IsTheServerAndCodeThatGrewMost) {
    const auto before = snapshot({{first, {{{404, Method::get}, 1000}}}, {second, {{{404, Method::get}, 5}}}});
    const auto after = snapshot({{first, {{{200, Method::get}, 9999}, {{404, Method::get}, 1010}}},
                                 {second, {{{404, Method::get}, 15}, {{429, Method::get}, 11}}},
                                 {elsewhere, {{{404, Method::get}, 500}}}});
    EXPECT_EQ(worst(answers_of(before), after, {first, second}, four_hundreds()),
              (Worst{.server = "10.0.0.2:80", .code = 429, .count = 11}));
    EXPECT_EQ(worst(answers_of(before), after, {elsewhere}, four_hundreds()),
              (Worst{.server = "[fd00::1]:80", .code = 404, .count = 500}));
}

TEST(WorstTest, AddsTheMethodsUp) {
    const auto after =
        snapshot({{first, {{{404, Method::get}, 3}, {{404, Method::post}, 3}, {{403, Method::get}, 5}}}});
    EXPECT_EQ(worst({}, after, {first}, four_hundreds()), (Worst{.server = "10.0.0.1:80", .code = 404, .count = 6}));
}

TEST(WorstTest, TakesTheSmallerOnATie) {
    const auto after =
        snapshot({{second, {{{404, Method::get}, 3}}}, {first, {{{410, Method::get}, 3}, {{404, Method::get}, 3}}}});
    EXPECT_EQ(worst({}, after, {second, first}, four_hundreds()),
              (Worst{.server = "10.0.0.1:80", .code = 404, .count = 3}));
}

TEST(WorstTest, IsNothingWithoutSuchAnswers) {
    const auto same = snapshot({{first, {{{404, Method::get}, 3}, {{200, Method::get}, 3}}}});
    EXPECT_EQ(worst(answers_of(same), same, {first, second}, four_hundreds()), std::nullopt);
    EXPECT_EQ(worst({}, same, {}, four_hundreds()), std::nullopt);
}

TEST(WorstTest, CountsFromZeroWhereTheTotalsWereMadeAnew) {
    const auto before = snapshot({{first, {{{404, Method::get}, 1000}}}});
    const auto after = snapshot({{first, {{{404, Method::get}, 7}}}});
    EXPECT_EQ(worst(answers_of(before), after, {first}, four_hundreds())->count, 7);
}

}  // namespace
}  // namespace upstat
