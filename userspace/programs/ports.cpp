// SPDX-License-Identifier: Apache-2.0
#include "programs/ports.hpp"

#include <sys/mman.h>

#include <cerrno>

#include "layout.h"
#include "programs/pins.hpp"

namespace upstat::programs {

/// The programs write to the same memory, byte by byte.
Result<void> tell_ports(int map, const std::set<std::uint16_t>& listening, const std::set<std::uint16_t>& opened) {
    void* const memory = mmap(nullptr, sizeof(upstat_ports), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (memory == MAP_FAILED) {
        return std::unexpected(bpf_error(errno, "cannot write to the map of ports"));
    }
    auto& known = *static_cast<upstat_ports*>(memory);
    for (const auto port : opened) {
        known.by_number[port].opened = 1;
    }
    for (const auto port : listening) {
        known.by_number[port].accepted = 1;
        known.any[port % sizeof(known.any)] = 1;
    }
    munmap(memory, sizeof(upstat_ports));
    return {};
}

}  // namespace upstat::programs
