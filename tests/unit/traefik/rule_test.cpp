// SPDX-License-Identifier: Apache-2.0
#include "traefik/rule.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace upstat::traefik {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using attribute::RouteMatch;

const RouteMatch unknown{.exact = false};

TEST(Rule, HostsAndPaths) {
    EXPECT_THAT(compile_rule("Host(`Shop.Example.com`)"), ElementsAre(RouteMatch{.host = "shop.example.com"}));
    EXPECT_THAT(compile_rule("Host(`a.`)"), ElementsAre(RouteMatch{.host = "a"}));
    EXPECT_THAT(compile_rule("PathPrefix(`/a`)"), ElementsAre(RouteMatch{.path = "/a"}));
    EXPECT_THAT(compile_rule(" path ( \"/a\" ) "), ElementsAre(RouteMatch{.path = "/a", .whole = true}));
    EXPECT_THAT(compile_rule(R"(HostRegexp(`^shop\.example\.com$`))"),
                ElementsAre(RouteMatch{.host = "shop.example.com", .exact = false}))
        << "Traefik 2 reads it as a template";
}

TEST(Rule, AndOrAndBrackets) {
    EXPECT_THAT(compile_rule("Host(`a`) && PathPrefix(`/x`) || Host(`b`)"),
                ElementsAre(RouteMatch{.host = "a", .path = "/x"}, RouteMatch{.host = "b"}));
    EXPECT_THAT(
        compile_rule("(Host(`a`) || Host(`b`)) && (PathPrefix(`/x`) || Path(`/y`))"),
        ElementsAre(RouteMatch{.host = "a", .path = "/x"}, RouteMatch{.host = "a", .path = "/y", .whole = true},
                    RouteMatch{.host = "b", .path = "/x"}, RouteMatch{.host = "b", .path = "/y", .whole = true}));
    EXPECT_THAT(compile_rule("Host(`a`) && Host(`b`)"), IsEmpty());
    EXPECT_THAT(compile_rule("PathPrefix(`/a`) && PathPrefix(`/a/b`)"), ElementsAre(RouteMatch{.path = "/a/b"}));
    EXPECT_THAT(compile_rule("PathPrefix(`/a`) && Path(`/a`)"), ElementsAre(RouteMatch{.path = "/a", .whole = true}));
    EXPECT_THAT(compile_rule("Path(`/a`) && PathPrefix(`/a/b`)"), IsEmpty());
    EXPECT_THAT(compile_rule("PathPrefix(`/b`) && PathPrefix(`/a`)"), IsEmpty());
}

TEST(Rule, WhatIsNotKnownIsNotExact) {
    EXPECT_THAT(compile_rule("Host(`a`) && Method(`GET`)"), ElementsAre(RouteMatch{.host = "a", .exact = false}));
    EXPECT_THAT(compile_rule("Host(`a`) && !PathPrefix(`/x`)"), ElementsAre(RouteMatch{.host = "a", .exact = false}));
    EXPECT_THAT(compile_rule("Host(`a`) || Query(`x`, `y`)"), ElementsAre(RouteMatch{.host = "a"}, unknown));
    for (const auto* const rule :
         {"", "Host", "Host(", "Host(`a`", "Host(`a)", "Host(a)", "Host(`a`) &&", "Host(`a`) & Host(`b`)", "Host(`a`))",
          "(Host(`a`)", "Host()", "HostRegexp(`^.+$`)", "HostRegexp(`shop.example.com`)", "Path(`a`)", "Nonsense(`a`)",
          R"(Host("\x61"))", "!Host(`a`)"}) {
        EXPECT_THAT(compile_rule(rule), ElementsAre(unknown)) << rule;
    }
    EXPECT_THAT(compile_rule(std::string(100'000, '(')), ElementsAre(unknown));
    std::string many = "Host(`a`)";
    for (int at = 0; at < 100; at++) {
        many += " || Host(`a" + std::to_string(at) + "`)";
    }
    EXPECT_THAT(compile_rule(many), ElementsAre(unknown));
}

TEST(Rule, WhatIsSentInTwoWaysIsNotExact) {
    EXPECT_THAT(compile_rule("Path(`/caf\xc3\xa9`)"), ElementsAre(RouteMatch{.path = "/caf", .exact = false}));
    EXPECT_THAT(compile_rule("PathPrefix(`/a%20b`)"), ElementsAre(RouteMatch{.path = "/a", .exact = false}));
    EXPECT_THAT(compile_rule("Path(`/a b`)"), ElementsAre(RouteMatch{.path = "/a", .exact = false}));
    EXPECT_THAT(compile_rule("Path(`/a?b`)"), ElementsAre(RouteMatch{.path = "/a", .exact = false}));
    for (const auto* const rule :
         {"Host(`*.example.com`)", "Host(`b\xc3\xbc.de`)", "Host(`a b`)", "Host(`.`)", "Host(``)", "Host(`a..`)",
          "Host(`[::1]`)", "HostRegexp(`^Shop$`)", R"(HostRegexp(`^a\.$`))", "HostRegexp(`^$`)", "HostRegexp(`^`)",
          R"(HostRegexp(`^\d$`))"}) {
        EXPECT_THAT(compile_rule(rule), ElementsAre(unknown)) << rule;
    }
}

TEST(Rule, TheSyntaxOfV2) {
    EXPECT_THAT(compile_rule("Host(`a`, `b`) && PathPrefix(`/x`)"),
                ElementsAre(RouteMatch{.host = "a", .path = "/x"}, RouteMatch{.host = "b", .path = "/x"}));
    EXPECT_THAT(compile_rule("Path(`/users/{id:[0-9]+}`)"), ElementsAre(RouteMatch{.path = "/users/", .exact = false}));
    EXPECT_THAT(compile_rule("HostRegexp(`a.example.com`)"), ElementsAre(unknown));
    EXPECT_THAT(compile_rule("HostRegexp(`{sub:[a-z]+}.example.com`)"), ElementsAre(unknown));
}

}  // namespace
}  // namespace upstat::traefik
