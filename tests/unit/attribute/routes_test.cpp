// SPDX-License-Identifier: Apache-2.0
#include "attribute/routes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace upstat::attribute {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::set<std::string> both_backends{"a@f", "b@f"};

Router router(const std::string& backend, std::vector<RouteMatch> matches, std::int64_t priority = 10) {
    return {.priority = priority, .entry_points = {"web"}, .matches = std::move(matches), .backend = backend};
}

TEST(Routes, HostsAreToldApart) {
    const std::vector all{router("a@f", {{.host = "shop"}}), router("b@f", {{.host = "admin"}, {.host = "root"}}),
                          router("c@f", {{.host = "other"}})};
    EXPECT_THAT(routes_among(all, both_backends),
                ElementsAre(Route{}, Route{.host = "admin", .backend = "b@f"}, Route{.host = "root", .backend = "b@f"},
                            Route{.host = "shop", .backend = "a@f"}));
}

TEST(Routes, PathsAreToldApartByPriority) {
    const RouteMatch root{.path = "/"};
    const RouteMatch admin{.path = "/admin"};
    EXPECT_THAT(routes_among({router("a@f", {root}, 1), router("b@f", {admin}, 2)}, both_backends),
                ElementsAre(Route{}, Route{.path = "/", .backend = "a@f"}, Route{.path = "/admin", .backend = "b@f"}));
    EXPECT_THAT(routes_among({router("a@f", {root}, 2), router("b@f", {admin}, 1)}, both_backends),
                ElementsAre(Route{}, Route{.path = "/", .backend = "a@f"}));
    EXPECT_THAT(routes_among({router("a@f", {root}, 2), router("b@f", {admin}, 2)}, both_backends),
                ElementsAre(Route{}, Route{.path = "/", .backend = "a@f"}, Route{.path = "/admin"}));
}

TEST(Routes, AWholePathIsNotWhatBeginsWithIt) {
    const auto all = {router("a@f", {{.path = "/x"}}, 1), router("b@f", {{.path = "/x", .whole = true}}, 2)};
    EXPECT_THAT(routes_among(all, both_backends), ElementsAre(Route{}, Route{.path = "/x", .backend = "a@f"},
                                                              Route{.path = "/x", .whole = true, .backend = "b@f"}));
}

TEST(Routes, AHostThatIsNamedStillHasThePathsOfAnyHost) {
    const auto all = {router("a@f", {{.host = "shop"}}, 1), router("b@f", {{.path = "/api"}}, 2)};
    EXPECT_THAT(routes_among(all, both_backends),
                ElementsAre(Route{}, Route{.path = "/api", .backend = "b@f"}, Route{.host = "shop", .backend = "a@f"},
                            Route{.host = "shop", .path = "/api", .backend = "b@f"}));
}

TEST(Routes, WhatARuleWantsBesidesLeavesOpenWhatIsBelowIt) {
    const auto post_only = router("a@f", {{.host = "shop", .exact = false}}, 9);
    const auto others = router("b@f", {{.host = "shop"}}, 8);
    EXPECT_THAT(routes_among({post_only, others}, both_backends), IsEmpty());
    const auto above = router("b@f", {{.host = "shop", .path = "/b"}}, 10);
    EXPECT_THAT(routes_among({post_only, others, above}, both_backends),
                ElementsAre(Route{}, Route{.host = "shop"}, Route{.host = "shop", .path = "/b", .backend = "b@f"}));
    EXPECT_THAT(routes_among({post_only}, both_backends),
                ElementsAre(Route{}, Route{.host = "shop", .backend = "a@f"}));
}

TEST(Routes, ARuleThatMayWantAnythingLeavesEverythingOpenBelowIt) {
    const auto regexp = router("a@f", {{.exact = false}}, 5);
    EXPECT_THAT(routes_among({regexp, router("b@f", {{.host = "shop"}}, 4)}, both_backends),
                ElementsAre(Route{.backend = "a@f"}, Route{.host = "shop"}));
    EXPECT_THAT(routes_among({regexp, router("b@f", {{.host = "shop"}}, 6)}, both_backends),
                ElementsAre(Route{.backend = "a@f"}, Route{.host = "shop", .backend = "b@f"}));
}

TEST(Routes, EntryPointsAreNotTold) {
    auto inner = router("a@f", {{.host = "shop"}}, 9);
    inner.entry_points = {"inner"};
    EXPECT_THAT(routes_among({inner, router("b@f", {{.host = "shop"}}, 1)}, both_backends), IsEmpty());
    inner.entry_points = {"inner", "web"};
    EXPECT_THAT(routes_among({inner, router("b@f", {{.host = "shop"}}, 1)}, both_backends),
                ElementsAre(Route{}, Route{.host = "shop", .backend = "a@f"}));
}

TEST(Routes, WhatIsRewrittenIsNotTakenAwayByOtherRules) {
    auto added = router("a@f", {{.path = "/pre"}}, 1);
    added.rewrites = true;
    EXPECT_THAT(routes_among({added, router("b@f", {{.path = "/"}}, 9)}, both_backends),
                ElementsAre(Route{}, Route{.path = "/", .backend = "b@f"}, Route{.path = "/pre"}));
    auto stripped = router("a@f", {{.host = "shop"}}, 1);
    stripped.rewrites = true;
    EXPECT_THAT(
        routes_among({stripped, router("b@f", {{.host = "admin"}}, 9)}, both_backends),
        ElementsAre(Route{}, Route{.host = "admin", .backend = "b@f"}, Route{.host = "shop", .backend = "a@f"}));
}

TEST(Routes, LongHostsAndPaths) {
    const std::string path = "/" + std::string(longest_path, 'x');
    const auto all = {router("a@f", {{.path = "/"}}, 1), router("b@f", {{.path = path}}, 2),
                      router("b@f", {{.host = std::string(longest_host + 1, 'x')}}, 3)};
    EXPECT_THAT(routes_among(all, both_backends), ElementsAre(Route{}, Route{.path = "/", .backend = "a@f"},
                                                              Route{.path = path.substr(0, longest_path)}));
}

TEST(Routes, TooManyToCompareAreNotTold) {
    std::vector<Router> all;
    for (int at = 0; at < 3000; at++) {
        all.push_back(router(at % 2 == 0 ? "a@f" : "b@f", {{.path = "/" + std::to_string(1000 + at)}}));
    }
    EXPECT_THAT(routes_among(all, both_backends), IsEmpty());
    all.resize(1000);
    EXPECT_EQ(routes_among(all, both_backends).size(), 1001U);
    for (int at = 0; at < 32; at++) {
        all.front().entry_points.insert(std::to_string(at));
    }
    EXPECT_THAT(routes_among(all, both_backends), IsEmpty()) << "each entry point is looked at";
}

}  // namespace
}  // namespace upstat::attribute
