// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace upstat::programs {

/// What requests of one host, or one kind of their paths, tell.
struct RouteEntry {
    std::string host{};  ///< in lower case; empty: any that the table does not name
    std::string path{};  ///< what the path begins with, or with `whole` all of it; the longest that fits counts
    bool whole = false;
    std::uint16_t route = 0;  ///< 0: none is told

    auto operator<=>(const RouteEntry&) const = default;
};

/// The routes to the servers that have this table. Hosts and paths of at most `longest_told` bytes.
using RouteTable = std::vector<RouteEntry>;

/// With the space behind a whole path.
constexpr std::size_t longest_told = 61;

/// The maps `route_hosts` and `route_paths` of bpf/route.h, and `records`. The descriptors are the caller's.
struct RouteMaps {
    int hosts = -1;
    int paths = -1;
    int records = -1;
};

/// The highest number of a route that was ever told to these maps' programs: a request in flight may have it although
/// no table does any more. 0 where none was, or where there are no such maps.
std::uint16_t highest_route(const RouteMaps& maps);

/// The numbers of tables, by which records name them; 0 for one that found no room, of which the problem tells.
struct WrittenRoutes {
    std::vector<std::uint16_t> numbers{};
    std::optional<Error> problem{};
};

/// Tells the programs of routes. What is in force is never changed: a new table gets a number of its own, and those
/// that no record names any more are taken out when the next one comes. By then no program looks at them.
class Routes {
  public:
    /// A table keeps its number from one call to the next. Where not all find room, the largest have none; that is
    /// tried once more, when those have gone that these replace.
    WrittenRoutes write(const RouteMaps& maps, const std::vector<RouteTable>& tables);

  private:
    [[nodiscard]] WrittenRoutes written() const;
    int write_missing(const RouteMaps& maps, std::set<std::uint16_t> kept);

    std::vector<RouteTable> tables_;
    std::map<RouteTable, std::uint16_t> numbers_;  ///< of those that found room
    bool begun_ = false;
    int error_ = 0;  ///< errno
    bool once_more_ = false;
    std::uint16_t last_table_ = 0;  ///< the number that was given last: a free one is not given again at once
    std::uint16_t last_trie_ = 0;
};

}  // namespace upstat::programs
