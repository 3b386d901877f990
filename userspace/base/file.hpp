// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat {

/// All of a file; nothing where it cannot be opened or read to its end, as a process's files once it is gone.
std::optional<std::string> read_file(const std::filesystem::path& file);

/// Fails (Kind::host) for a directory of another user but root: he could change whatever is kept in it. Where anybody
/// may make directories (a bpffs can be of mode 1777), one of the expected name may be a trap.
Result<void> check_owner(const Fd& descriptor, const std::filesystem::path& directory);

/// Keeps other agents from a directory for as long as its descriptor lives (flock). An error (Kind::runtime) names the
/// process that has it. The owner is checked first.
Result<void> lock_directory(const Fd& descriptor, const std::filesystem::path& directory, const std::string& hint);

}  // namespace upstat
