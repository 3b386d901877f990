// SPDX-License-Identifier: Apache-2.0
#include "attribute/shared.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace upstat::attribute {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;
using testing::Pair;
using testing::UnorderedElementsAre;

poll::Server server(const std::string& text) {
    return poll::parse_server(text).value();
}

/// a and b share one server, all three another; each has one of its own.
Catalogue catalogue() {
    Catalogue all;
    const auto backend = [&](const std::string& name, const std::vector<std::string>& urls) {
        all.backends[name].provider = "f";
        for (const auto& url : urls) {
            all.backends[name].listed.push_back(listed_at(url));
        }
    };
    backend("a@f", {"http://10.0.0.1:80", "http://10.0.0.4:80", "http://10.0.0.5:80"});
    backend("b@f", {"http://10.0.0.2:80", "http://10.0.0.4", "http://10.0.0.5:80"});
    backend("c@f", {"http://10.0.0.3:80", "http://10.0.0.5:80"});
    return all;
}

TEST(Shared, AServerOfSeveralBackendsIsOfOneThatStandsForThem) {
    EXPECT_THAT(owners_in(with_shared(catalogue())),
                UnorderedElementsAre(Pair(server("10.0.0.1:80"), ElementsAre("a@f")),
                                     Pair(server("10.0.0.2:80"), ElementsAre("b@f")),
                                     Pair(server("10.0.0.3:80"), ElementsAre("c@f")),
                                     Pair(server("10.0.0.4:80"), ElementsAre("a@f|b@f")),
                                     Pair(server("10.0.0.5:80"), ElementsAre("a@f|b@f|c@f"))));
}

TEST(Shared, TheBackendsKeepTheirUrls) {
    const auto all = with_shared(catalogue());
    EXPECT_THAT(all.backends, ElementsAre(Key("a@f"), Key("a@f|b@f"), Key("a@f|b@f|c@f"), Key("b@f"), Key("c@f")));
    EXPECT_EQ(all.backends.at("a@f").listed.size(), 3U);
    EXPECT_THAT(all.backends.at("a@f").listed.at(1).servers, IsEmpty());
    EXPECT_THAT(servers_of(all, "a@f|b@f"), ElementsAre(server("10.0.0.4:80")));
    EXPECT_EQ(all.backends.at("a@f|b@f").provider, "shared");
}

TEST(Shared, WhereNoneIsSharedNothingChanges) {
    auto all = catalogue();
    all.backends.erase("b@f");
    all.backends.erase("c@f");
    EXPECT_EQ(with_shared(all), all);
}

TEST(Shared, TheHealthCheckIsLookedForThereToo) {
    auto all = catalogue();
    all.backends.at("b@f").checks = {{}};
    EXPECT_THAT(looks_in(with_shared(all)), UnorderedElementsAre(Key(server("10.0.0.2:80")), Key(server("10.0.0.4:80")),
                                                                 Key(server("10.0.0.5:80"))));
}

TEST(Shared, WhatWasSavedIsTakenApartAgain) {
    EXPECT_EQ(without_shared(with_shared(catalogue())), catalogue());
    EXPECT_EQ(with_shared(without_shared(with_shared(catalogue()))), with_shared(catalogue()));
}

TEST(Shared, ANameHasAnEnd) {
    Catalogue all;
    for (int at = 0; at < 100; at++) {
        all.backends["backend-" + std::to_string(at + 100) + "@f"].listed = {listed_at("http://10.0.0.1:80")};
    }
    EXPECT_THAT(owners_in(with_shared(all)),
                ElementsAre(Pair(server("10.0.0.1:80"), ElementsAre("backend-100@f|+99"))));
}

/// a and b, told apart by their hosts.
Catalogue routed() {
    auto all = catalogue();
    for (auto& [name, backend] : all.backends) {
        backend.has_routers = true;
    }
    all.routers = {{.entry_points = {"web"}, .matches = {{.host = "a"}}, .backend = "a@f"},
                   {.entry_points = {"web"}, .matches = {{.host = "b"}}, .backend = "b@f"}};
    return all;
}

TEST(Shared, RoutersTellWhatIsSentToASharedServerApart) {
    const auto all = with_shared(routed());
    EXPECT_THAT(all.backends.at("a@f|b@f").routes,
                ElementsAre(Route{}, Route{.host = "a", .backend = "a@f"}, Route{.host = "b", .backend = "b@f"}));
    EXPECT_THAT(all.backends.at("a@f").routes, IsEmpty());
    EXPECT_THAT(all.backends.at("a@f|b@f").stands_for, ElementsAre("a@f", "b@f"));
    EXPECT_EQ(with_shared(all), all);
}

TEST(Shared, WhereOneIsSentToByOthersThanRoutersNothingIsTold) {
    auto some = routed();
    some.backends.at("c@f").has_routers = false;
    const auto all = with_shared(some);
    EXPECT_THAT(all.backends.at("a@f|b@f|c@f").routes, IsEmpty());
    EXPECT_FALSE(all.backends.at("a@f|b@f").routes.empty());
}

/// Backends that share one server, with routers of one path each.
void share(Catalogue& all, const std::string& url, int backends, int routers) {
    for (int at = 0; at < backends; at++) {
        const auto name = url + std::to_string(at);
        all.backends[name].listed = {listed_at(url)};
        all.backends[name].has_routers = true;
        for (int path = 0; path < routers; path++) {
            all.routers.push_back({.entry_points = {"web"},
                                   .matches = {{.path = "/" + std::to_string(at) + "/" + std::to_string(path)}},
                                   .backend = name});
        }
    }
}

std::set<std::string> urls_told(const Catalogue& catalogue) {
    std::set<std::string> urls;
    for (const auto& [name, backend] : with_shared(catalogue).backends) {
        if (!backend.routes.empty()) {
            urls.insert(backend.listed.at(0).url);
        }
    }
    return urls;
}

TEST(Shared, WhatAllRoutesCostTogetherHasABound) {
    Catalogue all;
    share(all, "http://10.0.0.1:80", 2, 400);
    share(all, "http://10.0.0.2:80", 2, 600);
    share(all, "http://10.0.0.3:80", 2, 3);
    EXPECT_THAT(urls_told(all), ElementsAre("http://10.0.0.1:80", "http://10.0.0.3:80")) << "the largest is not told";
}

TEST(Shared, OfManyBackendsThatListOneServerNoneIsTold) {
    Catalogue all;
    share(all, "http://10.0.0.1:80", 64, 1);
    EXPECT_THAT(urls_told(all), testing::SizeIs(1));
    share(all, "http://10.0.0.1:80", 65, 1);
    EXPECT_THAT(urls_told(all), IsEmpty());
}

TEST(Shared, GroupsOfOneNameAreNotTold) {
    Catalogue all;
    for (const std::string name : {"a", "b", "c", "d"}) {
        auto& backend = all.backends[name + std::string(400, 'x')];
        backend.listed = {listed_at("http://10.0.0.1:80"), listed_at("http://10.0.0.2:80")};
        backend.has_routers = true;
        all.routers.push_back(
            {.entry_points = {"web"}, .matches = {{.host = name}}, .backend = name + std::string(400, 'x')});
    }
    all.backends.begin()->second.listed.push_back(listed_at("http://10.0.0.3:80"));
    std::next(all.backends.begin())->second.listed.push_back(listed_at("http://10.0.0.3:80"));
    for (const auto& [name, backend] : with_shared(all).backends) {
        EXPECT_EQ(backend.routes.empty(), backend.provider != shared_provider) << name.name;
    }
    all.backends.begin()->second.listed.push_back(listed_at("http://10.0.0.4:80"));
    std::next(all.backends.begin(), 2)->second.listed.push_back(listed_at("http://10.0.0.4:80"));
    EXPECT_THAT(with_shared(all).backends.at("a" + std::string(400, 'x') + "|+1").routes, IsEmpty());
}

}  // namespace
}  // namespace upstat::attribute
