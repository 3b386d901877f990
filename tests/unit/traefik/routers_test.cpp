// SPDX-License-Identifier: Apache-2.0
#include "traefik/routers.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "traefik/fake_host.hpp"
#include "traefik/rawdata.hpp"

namespace upstat::traefik {
namespace {

using attribute::RouteMatch;
using attribute::Router;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

const RouteMatch anything_at_all{.exact = false};

/// Two services of one server, and what else the parts are.
std::string rawdata(const std::string& routers, const std::string& middlewares = "", const std::string& services = "") {
    return fmt::format(
        R"j({{"routers": {{{}}}, "middlewares": {{{}}}, "services": {{
            "a@file": {{"loadBalancer": {{"servers": [{{"url": "http://10.0.0.1:80"}}], "passHostHeader": true}}}},
            "b@file": {{"loadBalancer": {{"servers": [{{"url": "http://10.0.0.1:80/"}}]}}}}{}}}}})j",
        routers, middlewares, services.empty() ? "" : "," + services);
}

std::string router(const std::string& more) {
    return R"j("r@file": {"rule": "Host(`x`) && PathPrefix(`/p`)", "service": "a", "entryPoints": ["web"], )j"
           R"j("status": "enabled")j" +
           (more.empty() ? "" : "," + more) + "}";
}

RouteMatch behind(const std::string& middlewares) {
    const auto routers = parse_routers(rawdata(router(R"j("middlewares": ["m@file"])j"), middlewares));
    return routers.size() == 1 && routers.front().rewrites && routers.front().matches.size() == 1
               ? routers.front().matches.front()
               : RouteMatch{.path = "none"};
}

TEST(Routers, ARealAnswer) {
    const auto catalogue = parse_rawdata(fixture("rawdata-3.7.15.json"), "url");
    ASSERT_TRUE(catalogue);
    EXPECT_FALSE(catalogue->catalogue.routers.empty());
    EXPECT_TRUE(catalogue->catalogue.backends.at("shop@file").has_routers);
}

TEST(Routers, WhatARouterSends) {
    EXPECT_THAT(parse_routers(rawdata(router(R"j("priority": 7, "using": ["web", "other"])j"))),
                ElementsAre(Router{.priority = 7,
                                   .entry_points = {"other", "web"},
                                   .matches = {{.host = "x", .path = "/p"}},
                                   .backend = "a@file"}));
    const auto by_length = parse_routers(rawdata(router("")));
    ASSERT_THAT(by_length, SizeIs(1));
    EXPECT_EQ(by_length.front().priority, 29);
    EXPECT_EQ(parse_routers(rawdata(router(R"j("tls": {})j"))).at(0).entry_points, std::set<std::string>{"web by TLS"});
}

TEST(Routers, ThoseThatAreNotInForceSendNothing) {
    EXPECT_THAT(parse_routers(rawdata(R"j("r@file": {"rule": "Host(`x`)", "service": "a", "status": "disabled"})j")),
                IsEmpty());
    EXPECT_THAT(parse_routers(rawdata(R"j("r@internal": {"rule": "Host(`x`)", "service": "a@file"})j")), IsEmpty());
}

TEST(Routers, AServiceOfServicesLeadsToEachOfThem) {
    const auto backends_of = [](const std::string& service) {
        std::set<std::string> all;
        for (const auto& one : parse_routers(rawdata(
                 R"j("r@file": {"rule": "Host(`x`)", "service": "s", "entryPoints": ["web"]})j", "", service))) {
            all.insert(one.backend);
        }
        return all;
    };
    const std::set<std::string> both{"a@file", "b@file"};
    EXPECT_EQ(backends_of(R"j("s@file": {"weighted": {"services": [{"name": "a"}, {"name": "b@file"}]}})j"), both);
    EXPECT_EQ(backends_of(R"j("s@file": {"highestRandomWeight": {"services": [{"name": "a"}, {"name": "b"}]}})j"),
              both);
    EXPECT_EQ(backends_of(R"j("s@file": {"mirroring": {"service": "a", "mirrors": [{"name": "b"}]}})j"), both);
    EXPECT_EQ(backends_of(R"j("s@file": {"failover": {"service": "a", "fallback": "b"}})j"), both);
    EXPECT_EQ(backends_of(R"j("s@file": {"weighted": {"services": [{"name": "t"}]}},
                             "t@file": {"weighted": {"services": [{"name": "a"}, {"name": "s"}]}})j"),
              std::set<std::string>{"a@file"})
        << "a circle";
    std::string children;
    for (int at = 0; at < 2000; at++) {
        children += fmt::format(R"j({{"name": "{}"}},)j", at % 2 == 0 ? "a" : "x" + std::to_string(at));
    }
    EXPECT_EQ(backends_of(R"j("s@file": {"weighted": {"services": [)j" + children + R"j({"name": "b"}]}})j"), both);
}

TEST(Routers, EntryPointsAreThoseThatARouterIsOn) {
    const auto entry_points = [](const std::string& using_them) {
        return parse_routers(rawdata(R"j("r@file": {"rule": "Host(`x`)", "service": "a",
                                         "entryPoints": ["web", "gone"])j" +
                                     using_them + "}"));
    };
    EXPECT_THAT(entry_points(R"j(, "using": ["web"])j"),
                ElementsAre(Field(&Router::entry_points, std::set<std::string>{"web"})));
    EXPECT_THAT(entry_points(""), ElementsAre(Field(&Router::entry_points, std::set<std::string>{"web", "gone"})));
    std::string many = "\"e0\"";
    for (int at = 1; at < 32; at++) {
        many += fmt::format(",\"e{}\"", at);
    }
    EXPECT_THAT(entry_points(R"j(, "using": [)j" + many + "]"),
                ElementsAre(Field(&Router::matches, ElementsAre(RouteMatch{.host = "x"}))));
    EXPECT_THAT(
        entry_points(R"j(, "using": [)j" + many + ",\"e32\"]"),
        ElementsAre(Router{.priority = 9, .matches = {anything_at_all}, .backend = "a@file", .rewrites = true}));
}

TEST(Routers, AChainWithoutEndIsOneRoutersOwnTrouble) {
    const auto routers = parse_routers(rawdata(
        router("") + R"j(, "s@file": {"rule": "Host(`y`)", "service": "a", "middlewares": ["m"], "using": ["web"]})j",
        R"j("m@file": {"chain": {"middlewares": ["m", "m"]}}, "e@file": {"errors": {"service": "b"}})j"));
    EXPECT_THAT(routers,
                UnorderedElementsAre(Field(&Router::matches, ElementsAre(RouteMatch{.host = "x", .path = "/p"})),
                                     Field(&Router::matches, ElementsAre(anything_at_all)),
                                     Router{.matches = {anything_at_all}, .backend = "b@file", .rewrites = true}))
        << "whoever it leads to may ask for error pages";
}

TEST(Routers, MiddlewaresThatChangeThePath) {
    EXPECT_EQ(behind(R"j("m@file": {"addPrefix": {"prefix": "/pre"}})j"), (RouteMatch{.host = "x", .path = "/pre/p"}));
    EXPECT_EQ(behind(R"j("m@file": {"addPrefix": {"prefix": "pre"}})j"), (RouteMatch{.host = "x", .path = "/pre/p"}));
    EXPECT_EQ(behind(R"j("m@file": {"addPrefix": {"prefix": "/a b"}})j"), (RouteMatch{.host = "x", .path = "/a"}));
    EXPECT_EQ(behind(R"j("m@file": {"replacePath": {"path": "/new"}})j"),
              (RouteMatch{.host = "x", .path = "/new", .whole = true}));
    EXPECT_EQ(behind(R"j("m@file": {"replacePath": {"path": "new"}})j"), (RouteMatch{.host = "x"}));
    EXPECT_EQ(behind(R"j("m@file": {"stripPrefix": {"prefixes": ["/p"]}})j"), (RouteMatch{.host = "x"}));
    EXPECT_EQ(behind(R"j("m@file": {"stripPrefixRegex": {"regex": ["/p"]}})j"), (RouteMatch{.host = "x"}));
    EXPECT_EQ(behind(R"j("m@file": {"replacePathRegex": {"regex": "/p"}})j"), (RouteMatch{.host = "x"}));
    EXPECT_EQ(behind(R"j("m@file": {"chain": {"middlewares": ["s", "t@file"]}},
                        "s@file": {"stripPrefix": {"prefixes": ["/p"]}}, "t@file": {"addPrefix": {"prefix": "/t"}})j"),
              (RouteMatch{.host = "x", .path = "/t"}));
}

TEST(Routers, WhatMayChangeAnything) {
    EXPECT_EQ(behind(R"j("m@file": {"plugin": {"any": {"a": "b"}}})j"), anything_at_all);
    EXPECT_EQ(behind(R"j("m@file": {"headers": {"customRequestHeaders": {"HOST": "other"}}})j"), anything_at_all);
    EXPECT_EQ(behind(R"j("n@file": {"compress": {}})j"), anything_at_all) << "not there";
    EXPECT_EQ(behind(R"j("m@file": {"chain": {"middlewares": ["n"]}})j"), anything_at_all);
    const auto led_to = [](const std::string& service) {
        const auto all = parse_routers(
            rawdata(R"j("r@file": {"rule": "Host(`x`)", "service": "s", "entryPoints": ["w"]})j", "", service));
        return all.size() == 1 && all.front().rewrites ? all.front().matches : std::vector<RouteMatch>{};
    };
    EXPECT_THAT(led_to(R"j("s@file": {"loadBalancer": {"passHostHeader": false}})j"), ElementsAre(anything_at_all));
    EXPECT_THAT(led_to(R"j("s@file": {"loadBalancer": {"servers": [{"url": "http://a/base"}]}})j"),
                ElementsAre(anything_at_all));
    EXPECT_THAT(led_to(R"j("s@file": {"loadBalancer": {}, "middlewares": ["m"]})j"), ElementsAre(anything_at_all));
    const auto parents = parse_routers(rawdata(router(R"j("parentRefs": ["other"])j")));
    ASSERT_THAT(parents, SizeIs(1));
    EXPECT_THAT(parents.front().matches, ElementsAre(anything_at_all));
}

TEST(Routers, MiddlewaresThatChangeNeither) {
    for (const auto* const one : {R"j({"compress": {}, "status": "enabled", "usedBy": ["r@file"]})j",
                                  R"j({"headers": {"customRequestHeaders": {"X-A": "b", "X-Host": "c"}}})j",
                                  R"j({"basicAuth": {"users": ["a"]}})j", R"j({"retry": {"attempts": 3}})j",
                                  R"j({"chain": {"middlewares": []}})j"}) {
        const auto routers =
            parse_routers(rawdata(router(R"j("middlewares": ["m@file"])j"), std::string(R"j("m@file": )j") + one));
        ASSERT_THAT(routers, SizeIs(1)) << one;
        EXPECT_FALSE(routers.front().rewrites) << one;
        EXPECT_THAT(routers.front().matches, ElementsAre(RouteMatch{.host = "x", .path = "/p"})) << one;
    }
}

TEST(Routers, AServiceOfErrorPagesIsAskedForAnything) {
    const auto asked = UnorderedElementsAre(
        Field(&Router::backend, "a@file"), Router{.matches = {anything_at_all}, .backend = "b@file", .rewrites = true});
    constexpr auto errors = R"j("e@file": {"errors": {"service": "b", "query": "/x"}})j";
    EXPECT_THAT(parse_routers(rawdata(router(R"j("middlewares": ["e"])j"), errors)), asked);
    EXPECT_THAT(parse_routers(rawdata(router(R"j("middlewares": ["c"])j"),
                                      R"j("c@file": {"chain": {"middlewares": ["e"]}},)j" + std::string(errors))),
                asked);
    EXPECT_THAT(parse_routers(rawdata(router(""), errors)), SizeIs(1)) << "nobody uses it";
    EXPECT_THAT(parse_routers(rawdata(router(""), errors, R"j("s@file": {"loadBalancer": {}, "middlewares": ["e"]})j")),
                asked)
        << "a service's middlewares are not followed";
}

TEST(Routers, WhatIsNotUnderstoodTellsNothing) {
    for (const auto* const body :
         {"", "[]", "{}", "null", R"j({"routers": []})j", R"j({"routers": {"r@file": 7}})j",
          R"j({"routers": {"r@file": {"rule": 7}}})j", R"j({"services": {"s@file": {"weighted": {"service": {}}}}})j",
          R"j({"middlewares": {"m@file": {"addPrefix": {"prefix": []}}}})j"}) {
        EXPECT_THAT(parse_routers(body), IsEmpty()) << body;
    }
    std::string many = R"j("r@file": {"rule": "Host(`x`)", "service": "a", "entryPoints": ["web"]})j";
    for (int at = 0; at < 50'000; at++) {
        many += fmt::format(R"j(,"r{}@file": {{}})j", at);
    }
    EXPECT_THAT(parse_routers(rawdata(many)), IsEmpty());
}

}  // namespace
}  // namespace upstat::traefik
