// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.hpp"
#include "base/process_stat.hpp"

namespace upstat::traefik {

/// The pieces of /proc that this room reads, below a file-system root. Processes come and go, so nothing is an error:
/// what cannot be read is absent.

/// The directory of one process.
std::filesystem::path proc_of(const std::filesystem::path& root, pid_t pid);

/// Every process, in the order of their ids.
std::vector<pid_t> all_processes(const std::filesystem::path& root);

std::optional<ProcessStat> stat_of(const std::filesystem::path& root, pid_t pid);

/// Those of a cgroup v2 directory; 0 stands for a process of another PID namespace.
std::vector<pid_t> processes_in(const std::filesystem::path& cgroup);

/// cmdline or environ: its NUL-terminated strings, those of the first 256 KB.
std::vector<std::string> strings_of(const std::filesystem::path& file);

/// The non-empty pieces of a text.
std::vector<std::string> split(std::string_view text, char separator);

}  // namespace upstat::traefik
