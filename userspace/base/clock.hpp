// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <time.h>

#include <chrono>
#include <functional>

#include "base/time.hpp"

namespace upstat {

/// Where the time comes from: no room asks the system for it.
struct Clock {
    std::function<Wall()> wall;                                     ///< for what others read; it can be set
    std::function<std::chrono::steady_clock::time_point()> steady;  ///< for waiting: stands while the host is suspended
    std::function<Millis()> since_boot;                             ///< never set, and goes on over a suspend
};

inline Millis since_boot() {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return std::chrono::duration_cast<Millis>(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

inline Clock system_clock() {
    return {.wall = [] { return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()); },
            .steady = [] { return std::chrono::steady_clock::now(); },
            .since_boot = since_boot};
}

}  // namespace upstat
