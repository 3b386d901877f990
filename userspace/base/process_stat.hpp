// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace upstat {

/// What /proc/PID/stat tells (proc_pid_stat(5)).
struct ProcessStat {
    std::string comm;
    char state = '?';
    pid_t parent = 0;
    std::uint64_t user_ticks = 0;
    std::uint64_t system_ticks = 0;
    std::uint64_t start_time = 0;  ///< clock ticks since boot; with the pid it names a process for good
    std::uint64_t virtual_bytes = 0;
    std::uint64_t resident_pages = 0;
};

/// Nothing where the process is gone.
std::optional<ProcessStat> read_process_stat(const std::filesystem::path& file);

}  // namespace upstat
