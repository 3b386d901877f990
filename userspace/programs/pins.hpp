// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat::programs {

/// Makes the directory; an Error of kind host where it is not on a bpffs.
Result<void> make_root(const std::filesystem::path& root);

/// Holds root for this process: a lock that ends with it. An Error names the process that has it already.
Result<Fd> lock(const std::filesystem::path& root);

/// Takes everything below root off the host. A crash in between is told by a mark, so that what is left is never taken
/// for something to go on with.
Result<void> clear(const std::filesystem::path& root);

/// Ends what a crash cut short in `clear`.
Result<void> finish_clear(const std::filesystem::path& root);

/// What is in a directory, sorted; nothing where there is none.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& directory);

/// What is pinned at a path; none where nothing is.
Fd open_pin(const std::filesystem::path& path);

/// One sentence for a failed bpf(2) call, with the way out for the common causes.
Error bpf_error(int error, const std::string& what);

}  // namespace upstat::programs
