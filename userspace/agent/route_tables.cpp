// SPDX-License-Identifier: Apache-2.0
#include "agent/route_tables.hpp"

#include <algorithm>
#include <utility>

namespace upstat::agent {

namespace {

static_assert(attribute::longest_path == programs::longest_told);

programs::RouteTable table_of(const std::vector<attribute::Route>& routes, std::uint16_t zone,
                              const attribute::Ledger& ledger, std::size_t last) {
    programs::RouteTable table;
    for (const auto& route : routes) {
        const auto number = ledger.route_of({route.backend, zone});
        table.push_back({.host = route.host,
                         .path = route.path,
                         .whole = route.whole,
                         .route = number <= last ? number : std::uint16_t{0}});
    }
    return table;
}

}  // namespace

RouteTables route_tables(const attribute::Catalogue& catalogue, const attribute::Ledger& ledger, std::size_t last) {
    RouteTables all;
    for (const auto& [name, backend] : catalogue.backends) {
        auto table = table_of(backend.routes, name.zone, ledger, last);
        if (std::ranges::all_of(table, [](const auto& entry) { return entry.route == 0; })) {
            continue;
        }
        for (const auto& server : servers_of(catalogue, name)) {
            if (server.name.empty()) {  // else no packet shows what it is asked
                all.of_server.emplace(server, all.tables.size());
            }
        }
        all.tables.push_back(std::move(table));
    }
    return all;
}

}  // namespace upstat::agent
