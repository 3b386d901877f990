// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "layout.h"
#include "poll/snapshot.hpp"

namespace upstat {

/// Where to read: descriptors of the maps of bpf/maps.h and of the programs, all owned by the caller.
struct Sources {
    int totals = -1;
    int requests = -1;
    int places = -1;
    std::vector<std::pair<std::string, int>> programs;
};

/// Reads all maps once. Totals come before requests, so no answer is seen without its request.
Result<Snapshot> read_snapshot(const Sources& sources, Time at);

/// One entry of the totals map, its CPUs added up.
struct Total {
    upstat_total_key key;
    std::uint64_t count;
};

/// One entry of the requests map, its CPUs added up.
struct RequestTotal {
    upstat_server_key key;
    std::uint64_t count;
};

/// The servers of a snapshot, from the maps' entries. A reason or method of a newer layout is left out.
std::map<Server, ServerTotals> to_servers(std::span<const Total> totals, std::span<const RequestTotal> requests);

}  // namespace upstat
