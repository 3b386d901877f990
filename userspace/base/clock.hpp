// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>

#include "base/time.hpp"

namespace upstat {

/// Where the time comes from: no room asks the system for it.
struct Clock {
    std::function<Time()> wall;                                     ///< for timestamps
    std::function<std::chrono::steady_clock::time_point()> steady;  ///< for waiting: never set back
};

inline Clock system_clock() {
    return {.wall = [] { return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()); },
            .steady = [] { return std::chrono::steady_clock::now(); }};
}

}  // namespace upstat
