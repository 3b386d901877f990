// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace upstat {

/// Descriptors of one generation's maps, by their names in bpf/. -1 where there is no such map. Somebody else owns
/// them.
struct CounterMaps {
    std::string path;  ///< where they are pinned
    int totals = -1;
    int total_counts = -1;
    int requests = -1;
    int request_counts = -1;
    int slots = -1;
    int overflow = -1;
    int places = -1;
    int probed = -1;  ///< made when it is needed first

    bool operator==(const CounterMaps&) const = default;
};

/// Descriptors of the maps of samples; -1 where none are taken.
struct SampleMaps {
    int samples = -1;
    int sampling = -1;
};

/// The maps of a previous generation, which may have any layout.
struct CarriedMaps {
    CounterMaps maps;
    bool separate_sockets =
        false;                  ///< uses its own socket storage: the current programs cannot see its requests in flight
    bool has_programs = false;  ///< its programs, which can, are still attached

    bool operator==(const CarriedMaps&) const = default;
};

}  // namespace upstat
