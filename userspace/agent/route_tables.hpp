// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "attribute/ledger.hpp"
#include "poll/snapshot.hpp"
#include "programs/routes.hpp"

namespace upstat::agent {

/// What the kernel is told of routes.
struct RouteTables {
    std::vector<programs::RouteTable> tables;
    std::map<poll::Server, std::size_t> of_server;  ///< which table; servers that are not here have none

    bool operator==(const RouteTables&) const = default;
};

/// The routes of a catalogue by the ledger's numbers, of which those up to `last` are saved: another is not told, since
/// after a crash it could be given to another backend.
RouteTables route_tables(const attribute::Catalogue& catalogue, const attribute::Ledger& ledger, std::size_t last);

}  // namespace upstat::agent
