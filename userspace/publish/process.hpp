// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace upstat::publish {

/// What the process_* metrics tell of this process; what could not be read is absent.
struct ProcessStats {
    std::optional<double> cpu_seconds;         ///< user and system
    std::optional<double> start_time_seconds;  ///< since 1970
    std::optional<std::uint64_t> open_fds;
    std::optional<std::uint64_t> max_fds;
    std::optional<std::uint64_t> virtual_bytes;
    std::optional<std::uint64_t> max_virtual_bytes;  ///< absent when unlimited
    std::optional<std::uint64_t> resident_bytes;
};

/// Reads ROOT/proc/self and ROOT/proc/stat.
ProcessStats read_process(const std::filesystem::path& root);

}  // namespace upstat::publish
