// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
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

    bool operator==(const RouteEntry&) const = default;
};

/// The routes to the servers that have this table. Hosts and paths of at most `longest_told` bytes.
using RouteTable = std::vector<RouteEntry>;

/// With the space behind a whole path.
constexpr std::size_t longest_told = 61;

/// The maps `route_hosts` and `route_paths` of bpf/route.h. The descriptors are the caller's.
struct RouteMaps {
    int hosts = -1;
    int paths = -1;
};

/// Tells the programs of routes. What is in force is never changed: a new table gets a number of its own, and those
/// that it replaces are taken out when the next one comes. By then no program looks at them any more.
class Routes {
  public:
    /// The numbers of these tables, by which records name them; the same ones while the tables are the same. Where not
    /// all find room, the error says so, and no table is there. Where these are not `complete`, the others stay.
    Result<std::vector<std::uint16_t>> write(const RouteMaps& maps, const std::vector<RouteTable>& tables,
                                             bool complete);

  private:
    std::vector<RouteTable> tables_;
    std::vector<std::uint16_t> numbers_;
    std::vector<std::uint16_t> tries_;
    std::uint16_t last_table_ = 0;  ///< the number that was given last: a free one is not given again at once
    std::uint16_t last_trie_ = 0;
};

}  // namespace upstat::programs
