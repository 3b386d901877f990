// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace upstat {

/// All of a file; nothing where it cannot be opened or read to its end, as a process's files once it is gone.
std::optional<std::string> read_file(const std::filesystem::path& file);

}  // namespace upstat
