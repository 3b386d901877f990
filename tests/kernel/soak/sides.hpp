// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "record.hpp"

namespace soak {

/// Serves the plans of requests on these addresses until `stop`; what it saw.
Record serve(const std::vector<std::string>& addresses, const std::atomic<bool>& stop);

struct Load {
    std::vector<std::string> addresses;
    std::uint32_t sockets = 1000;
    std::uint64_t seed = 1;
};

/// Asks as Go's transport does, one request at a time on each pooled socket, until `stop`; then finishes what is under
/// way. `answers` is the count so far.
Record ask(const Load& load, const std::atomic<bool>& stop, std::atomic<std::uint64_t>& answers);

/// Lets two CPUs deliver to one socket at once; the process's exit code.
int overlap(const std::string& cgroup, std::uint32_t connections, std::uint32_t requests);

}  // namespace soak
