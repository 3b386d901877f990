// SPDX-License-Identifier: Apache-2.0
/// Routers, made at random, against Traefik's own way to choose among them: a request is never told a backend that it
/// was not sent to.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "attribute/routes.hpp"
#include "traefik/rule.hpp"

namespace upstat::traefik {
namespace {

struct Request {
    std::string host;
    std::string path;
    std::string method;
};

/// A rule as a tree.
struct Node {
    std::string kind;  ///< a matcher, "&&", "||" or "!"
    std::string word{};
    std::vector<Node> parts{};

    [[nodiscard]] bool takes(const Request& request) const {
        if (kind == "&&") {
            return std::ranges::all_of(parts, [&](const Node& part) { return part.takes(request); });
        }
        if (kind == "||") {
            return std::ranges::any_of(parts, [&](const Node& part) { return part.takes(request); });
        }
        return kind == "!"            ? !parts.front().takes(request)
               : kind == "Host"       ? request.host == word
               : kind == "Path"       ? request.path == word
               : kind == "PathPrefix" ? request.path.starts_with(word)
                                      : request.method == word;
    }
    [[nodiscard]] std::string text() const {
        if (kind == "!") {
            return "!" + parts.front().text();
        }
        if (parts.empty()) {
            return kind + "(`" + word + "`)";
        }
        return "(" + parts.front().text() + " " + kind + " " + parts.back().text() + ")";
    }
};

constexpr std::array hosts{"a", "b", "c"};
constexpr std::array paths{"/", "/x", "/x/y", "/xx", "/z"};
constexpr std::array methods{"GET", "POST"};
constexpr std::array entry_points{"web", "inner"};

using Chance = std::mt19937;

std::string one_of(const auto& all, Chance& chance) {
    return all[chance() % all.size()];
}

Node made(Chance& chance, int depth) {
    const auto kind = chance() % (depth > 2 ? 7 : 12);
    if (kind < 3) {
        return {.kind = "Host", .word = one_of(hosts, chance)};
    }
    if (kind < 6) {
        return {.kind = kind < 5 ? "PathPrefix" : "Path", .word = one_of(paths, chance)};
    }
    if (kind == 6) {
        return {.kind = "Method", .word = one_of(methods, chance)};
    }
    if (kind == 7) {
        return {.kind = "!", .parts = {made(chance, depth + 1)}};
    }
    return {.kind = kind < 10 ? "&&" : "||", .parts = {made(chance, depth + 1), made(chance, depth + 1)}};
}

struct Made {
    Node rule;
    attribute::Router router;
};

std::vector<Made> made_routers(Chance& chance) {
    std::vector<Made> all(1 + chance() % 5);
    for (auto& [rule, router] : all) {
        rule = made(chance, 0);
        router = {.priority = static_cast<std::int64_t>(chance() % 4),
                  .entry_points = {one_of(entry_points, chance)},
                  .matches = compile_rule(rule.text()),
                  .backend = std::string(1, static_cast<char>('p' + chance() % 4))};
        if (chance() % 4 == 0) {
            router.entry_points = {"inner", "web"};
        }
    }
    return all;
}

/// The backends that Traefik may choose: of several with one priority it may be any.
std::set<std::string> chosen(const std::vector<Made>& all, const Request& request, const std::string& entry_point) {
    std::set<std::string> backends;
    std::int64_t highest = -1;
    for (const auto& [rule, router] : all) {
        if (!router.entry_points.contains(entry_point) || !rule.takes(request) || router.priority < highest) {
            continue;
        }
        if (router.priority > highest) {
            backends.clear();
        }
        highest = router.priority;
        backends.insert(router.backend);
    }
    return backends;
}

/// As the kernel looks a request up.
std::string told(const std::vector<attribute::Route>& routes, const Request& request) {
    const bool is_named =
        std::ranges::any_of(routes, [&](const attribute::Route& route) { return route.host == request.host; });
    const auto size = [](const attribute::Route& route) { return route.path.size() + (route.whole ? 1 : 0); };
    const attribute::Route* longest = nullptr;
    for (const auto& route : routes) {
        const bool fits = route.whole ? request.path == route.path : request.path.starts_with(route.path);
        if (route.host == (is_named ? request.host : "") && fits &&
            (longest == nullptr || size(route) > size(*longest))) {
            longest = &route;
        }
    }
    return longest == nullptr ? "" : longest->backend;
}

struct Tally {
    int sent = 0;
    int told = 0;
};

/// Of all requests that come to servers which `backends` share, with these routers.
void check(const std::vector<Made>& all, const std::set<std::string>& backends, Tally& tally) {
    std::vector<attribute::Router> routers;
    std::ranges::transform(all, std::back_inserter(routers), &Made::router);
    const auto routes = attribute::routes_among(routers, backends);
    for (const auto* const host : {"a", "b", "c", "d"}) {
        for (const auto* const path : {"/", "/x", "/x/", "/x/y", "/x/yz", "/xx", "/y", "/z"}) {
            for (const auto* const method : methods) {
                for (const auto* const entry_point : entry_points) {
                    const Request request{.host = host, .path = path, .method = method};
                    const auto name = told(routes, request);
                    for (const auto& backend : chosen(all, request, entry_point)) {
                        if (backends.contains(backend)) {
                            tally.sent++;
                            tally.told += name.empty() ? 0 : 1;
                            ASSERT_TRUE(name.empty() || name == backend)
                                << host << path << " " << method << " was sent to " << backend << ", not " << name;
                        }
                    }
                }
            }
        }
    }
}

TEST(RouteOracle, NoRequestIsToldABackendThatItWasNotSentTo) {
    Tally tally;
    for (unsigned seed = 1; seed <= 300; seed++) {
        Chance chance(seed);
        const auto all = made_routers(chance);
        check(all, {"p", "q"}, tally);
        check(all, {"p", "q", "r"}, tally);
        if (testing::Test::HasFailure()) {
            for (const auto& [rule, router] : all) {
                ADD_FAILURE() << rule.text() << " priority " << router.priority << " to " << router.backend;
            }
            FAIL() << "seed " << seed;
        }
    }
    EXPECT_GT(tally.told, tally.sent / 3) << "of " << tally.sent << " requests too few are told";
}

}  // namespace
}  // namespace upstat::traefik
