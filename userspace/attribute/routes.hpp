// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace upstat::attribute {

/// Requests, as far as a host and a path tell them.
struct RouteMatch {
    std::optional<std::string> host{};  ///< in lower case, without a final dot; nothing: any
    std::string path{};                 ///< what the path begins with; with `whole`, all of it
    bool whole = false;
    bool exact = true;  ///< false: these and no others, but perhaps not all of these

    bool operator==(const RouteMatch&) const = default;
};

/// What a proxy's router sends to one backend's servers.
struct Router {
    std::int64_t priority = 0;  ///< of several that match, the highest takes a request
    std::set<std::string> entry_points{};
    std::vector<RouteMatch> matches{};
    std::string backend{};
    std::uint16_t zone = 0;  ///< the backend's
    /// The servers see another host or path than the rule did. Then `matches` say what they see, and no other router
    /// takes any of it away.
    bool rewrites = false;

    bool operator==(const Router&) const = default;
};

/// What requests to shared servers tell by their host, and by the longest path that they begin with.
struct Route {
    std::string host{};     ///< empty: any that no other one names
    std::string path{};     ///< as in RouteMatch
    bool whole = false;     ///< likewise
    std::string backend{};  ///< empty: none is told

    bool operator==(const Route&) const = default;
};

/// The longest host and path that the kernel tells; of a longer path it is told that it is not told.
constexpr std::size_t longest_host = 62;
constexpr std::size_t longest_path = 61;

/// The routes to servers that these backends list. A request is there because one of their routers took it, so all
/// others do not matter; it is told where only one backend can have been meant. Nothing where nothing is told.
std::vector<Route> routes_among(const std::vector<Router>& routers, const std::set<std::string>& backends);

}  // namespace upstat::attribute
