// SPDX-License-Identifier: Apache-2.0
#include "traefik/rule.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace upstat::traefik {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<RuleMatch> v3(std::string_view rule) {
    return compile_rule(rule, RuleSyntax::v3);
}

const RuleMatch unknown{.exact = false};

TEST(Rule, HostsAndPaths) {
    EXPECT_THAT(v3("Host(`Shop.Example.com`)"), ElementsAre(RuleMatch{.host = "shop.example.com"}));
    EXPECT_THAT(v3("Host(`a.`)"), ElementsAre(RuleMatch{.host = "a"}));
    EXPECT_THAT(v3("PathPrefix(`/a`)"), ElementsAre(RuleMatch{.path = "/a"}));
    EXPECT_THAT(v3(" path ( \"/a\" ) "), ElementsAre(RuleMatch{.path = "/a", .whole = true}));
    EXPECT_THAT(v3(R"(HostRegexp(`^shop\.example\.com$`))"), ElementsAre(RuleMatch{.host = "shop.example.com"}));
}

TEST(Rule, AndOrAndBrackets) {
    EXPECT_THAT(v3("Host(`a`) && PathPrefix(`/x`) || Host(`b`)"),
                ElementsAre(RuleMatch{.host = "a", .path = "/x"}, RuleMatch{.host = "b"}));
    EXPECT_THAT(v3("(Host(`a`) || Host(`b`)) && (PathPrefix(`/x`) || Path(`/y`))"),
                ElementsAre(RuleMatch{.host = "a", .path = "/x"}, RuleMatch{.host = "a", .path = "/y", .whole = true},
                            RuleMatch{.host = "b", .path = "/x"}, RuleMatch{.host = "b", .path = "/y", .whole = true}));
    EXPECT_THAT(v3("Host(`a`) && Host(`b`)"), IsEmpty());
    EXPECT_THAT(v3("PathPrefix(`/a`) && PathPrefix(`/a/b`)"), ElementsAre(RuleMatch{.path = "/a/b"}));
    EXPECT_THAT(v3("PathPrefix(`/a`) && Path(`/a`)"), ElementsAre(RuleMatch{.path = "/a", .whole = true}));
    EXPECT_THAT(v3("Path(`/a`) && PathPrefix(`/a/b`)"), IsEmpty());
    EXPECT_THAT(v3("PathPrefix(`/b`) && PathPrefix(`/a`)"), IsEmpty());
}

TEST(Rule, WhatIsNotKnownIsNotExact) {
    EXPECT_THAT(v3("Host(`a`) && Method(`GET`)"), ElementsAre(RuleMatch{.host = "a", .exact = false}));
    EXPECT_THAT(v3("Host(`a`) && !PathPrefix(`/x`)"), ElementsAre(RuleMatch{.host = "a", .exact = false}));
    EXPECT_THAT(v3("Host(`a`) || Query(`x`, `y`)"), ElementsAre(RuleMatch{.host = "a"}, unknown));
    for (const auto* const rule :
         {"", "Host", "Host(", "Host(`a`", "Host(`a)", "Host(a)", "Host(`a`) &&", "Host(`a`) & Host(`b`)", "Host(`a`))",
          "(Host(`a`)", "Host()", "HostRegexp(`^.+$`)", "HostRegexp(`shop.example.com`)", "Path(`a`)", "Nonsense(`a`)",
          R"(Host("\x61"))", "!Host(`a`)"}) {
        EXPECT_THAT(v3(rule), ElementsAre(unknown)) << rule;
    }
    EXPECT_THAT(v3(std::string(100'000, '(')), ElementsAre(unknown));
    std::string many = "Host(`a`)";
    for (int at = 0; at < 100; at++) {
        many += " || Host(`a" + std::to_string(at) + "`)";
    }
    EXPECT_THAT(v3(many), ElementsAre(unknown));
}

TEST(Rule, TheSyntaxOfV2) {
    const auto v2 = [](std::string_view rule) { return compile_rule(rule, RuleSyntax::v2); };
    EXPECT_THAT(v2("Host(`a`, `b`) && PathPrefix(`/x`)"),
                ElementsAre(RuleMatch{.host = "a", .path = "/x"}, RuleMatch{.host = "b", .path = "/x"}));
    EXPECT_THAT(v2("Path(`/users/{id:[0-9]+}`)"), ElementsAre(RuleMatch{.path = "/users/", .exact = false}));
    EXPECT_THAT(v2("HostRegexp(`a.example.com`)"), ElementsAre(RuleMatch{.host = "a.example.com"}));
    EXPECT_THAT(v2("HostRegexp(`{sub:[a-z]+}.example.com`)"), ElementsAre(unknown));
}

}  // namespace
}  // namespace upstat::traefik
