// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace upstat {

/// Descriptors of the maps of bpf/maps.h, by their names there, of one generation; -1 where there is no such map. They
/// are somebody else's.
struct CounterMaps {
    std::string path;  ///< where they are pinned
    int totals = -1;
    int total_counts = -1;
    int requests = -1;
    int request_counts = -1;
    int slots = -1;
    int overflow = -1;
    int places = -1;

    bool operator==(const CounterMaps&) const = default;
};

/// Those of an earlier generation, of any layout.
struct CarriedMaps {
    CounterMaps maps;
    bool separate_sockets = false;  ///< of sockets: the newest programs do not know the requests in flight there
    bool served = false;            ///< programs that do know them are attached still

    bool operator==(const CarriedMaps&) const = default;
};

}  // namespace upstat
