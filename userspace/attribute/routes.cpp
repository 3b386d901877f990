// SPDX-License-Identifier: Apache-2.0
#include "attribute/routes.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "attribute/route_budget.hpp"

namespace upstat::attribute {

namespace {

/// Behind a whole path. No path has one.
constexpr char path_end = ' ';

/// A match of a router, for one host.
struct Candidate {
    const Router* router = nullptr;
    std::string path;  ///< with its end, where it is whole
    bool exact = true;
};

/// By host; those of any host stand under the empty one.
using Candidates = std::map<std::string, std::vector<Candidate>>;

Candidate candidate_of(const Router& router, const RouteMatch& match) {
    if (match.path.size() > longest_path) {
        return {.router = &router, .path = match.path.substr(0, longest_path), .exact = false};
    }
    return {.router = &router, .path = match.path + std::string(match.whole ? 1 : 0, path_end), .exact = match.exact};
}

Candidates candidates_of(const std::vector<const Router*>& routers) {
    Candidates all{{"", {}}};
    for (const auto* const router : routers) {
        for (const auto& match : router->matches) {
            const auto host = match.host.value_or("");
            if (host.size() <= longest_host) {
                all[host].push_back(candidate_of(*router, match));
            }
        }
    }
    return all;
}

/// Adds whom an entry point's routers can have meant; `all` are ordered by priority, the highest first.
void add_taken(const std::vector<const Candidate*>& all, const std::string& entry_point,
               std::set<std::string>& backends) {
    std::optional<std::int64_t> taken;
    for (const auto* const one : all) {
        if (one->router->rewrites || !one->router->entry_points.contains(entry_point)) {
            continue;
        }
        if (taken && one->router->priority < *taken) {
            return;
        }
        backends.insert(one->router->backend);
        taken = one->exact ? one->router->priority : taken;
    }
}

/// The only backend that requests can have been meant for that all of these match; empty where there is not just one.
std::string told_by(std::vector<const Candidate*> all) {
    std::ranges::sort(all, std::ranges::greater{}, [](const auto* one) { return one->router->priority; });
    std::set<std::string> backends;
    std::set<std::string> entry_points;
    for (const auto* const one : all) {
        if (one->router->rewrites) {
            backends.insert(one->router->backend);
        } else {
            entry_points.insert(one->router->entry_points.begin(), one->router->entry_points.end());
        }
    }
    for (const auto& entry_point : entry_points) {
        add_taken(all, entry_point, backends);
    }
    return backends.size() == 1 ? *backends.begin() : std::string();
}

Route route_of(const std::string& host, std::string path, std::string backend) {
    const bool whole = path.ends_with(path_end);
    path.resize(path.size() - (whole ? 1 : 0));
    return {.host = host, .path = std::move(path), .whole = whole, .backend = std::move(backend)};
}

/// What the longest of these paths tells that a path begins with.
std::string told_so_far(const std::map<std::string, std::string>& told, const std::string& path) {
    for (auto size = path.size(); size > 0; --size) {
        if (const auto found = told.find(path.substr(0, size - 1)); found != told.end()) {
            return found->second;
        }
    }
    return {};
}

std::vector<Route> routes_of(const std::string& host, const std::vector<Candidate>& candidates) {
    std::set<std::string> paths{""};
    std::ranges::transform(candidates, std::inserter(paths, paths.end()), &Candidate::path);
    std::map<std::string, std::string> told;
    for (const auto& path : paths) {  // shorter ones come before those that begin with them
        std::vector<const Candidate*> matching;
        for (const auto& candidate : candidates) {
            if (path.starts_with(candidate.path)) {
                matching.push_back(&candidate);
            }
        }
        if (auto backend = told_by(std::move(matching)); path.empty() || backend != told_so_far(told, path)) {
            told.emplace(path, std::move(backend));
        }
    }
    std::vector<Route> routes;
    routes.reserve(told.size());
    for (auto& [path, backend] : told) {
        routes.push_back(route_of(host, path, backend));
    }
    return routes;
}

bool is_told(const Route& route) {
    return !route.backend.empty();
}

/// Takes what the routes cost; false where that is more than is left.
bool pay(std::size_t& left, const Candidates& all, const std::vector<const Router*>& routers) {
    std::set<std::string> entry_points;
    for (const auto* const router : routers) {
        entry_points.insert(router->entry_points.begin(), router->entry_points.end());
    }
    const auto anywhere = all.at("").size();
    auto rest = left;
    for (const auto& [host, candidates] : all) {
        const auto count = candidates.size() + (host.empty() ? 0 : anywhere);
        const auto cost = count * count * (1 + entry_points.size());
        if (cost > rest) {
            return false;
        }
        rest -= cost;
    }
    left = rest;
    return true;
}

}  // namespace

std::vector<Route> routes_within(std::size_t& left, const std::vector<const Router*>& routers,
                                 const std::set<std::string>& backends) {
    std::vector<const Router*> theirs;
    std::ranges::copy_if(routers, std::back_inserter(theirs),
                         [&](const auto* router) { return backends.contains(router->backend); });
    auto candidates = candidates_of(theirs);
    if (!pay(left, candidates, theirs)) {
        return {};
    }
    const auto anywhere = candidates.at("");
    std::vector<Route> routes;
    for (auto& [host, some] : candidates) {
        if (!host.empty()) {
            some.insert(some.end(), anywhere.begin(), anywhere.end());
        }
        std::ranges::move(routes_of(host, some), std::back_inserter(routes));
    }
    return std::ranges::any_of(routes, is_told) ? routes : std::vector<Route>{};
}

std::vector<Route> routes_among(const std::vector<Router>& routers, const std::set<std::string>& backends) {
    std::vector<const Router*> all;
    std::ranges::transform(routers, std::back_inserter(all), [](const Router& router) { return &router; });
    auto left = most_comparisons;
    return routes_within(left, all, backends);
}

}  // namespace upstat::attribute
