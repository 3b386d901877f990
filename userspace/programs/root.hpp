// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat::programs {

/// The directory that --bpf.pin-path names. Its descriptor holds a lock that ends with this process, and stays on the
/// directory that was checked, whatever the path leads to later.
struct Root {
    std::filesystem::path path;
    Fd directory;
};

/// An Error of kind host where `path` is not a directory on a bpffs, nor could be made as one. A symbolic link is none.
Result<void> check_root(const std::filesystem::path& path);

/// Makes the directory if need be, and locks it. An Error of kind runtime names the process that has the lock.
Result<Root> make_root(const std::filesystem::path& path);

/// Locks the directory. Nothing where there is none.
Result<std::optional<Root>> find_root(const std::filesystem::path& path);

}  // namespace upstat::programs
