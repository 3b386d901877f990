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

/// Keeps other agents from a directory for as long as its descriptor lives (flock). An error (Kind::runtime) names the
/// process that has it.
Result<void> lock_directory(const Fd& descriptor, const std::filesystem::path& directory, const std::string& hint);

}  // namespace upstat
