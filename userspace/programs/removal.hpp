// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "programs/root.hpp"

namespace upstat::programs {

/// What was taken off the host.
struct Removed {
    bool any = false;
    std::vector<std::filesystem::path> left;  ///< directories that stay, because others' pins are in them
};

/// Unpins what is upstat's in one generation, then removes its directories if nothing else is in them.
///
/// Only pins that are known by their name and by what is pinned there count as upstat's. A directory is removed only
/// when it is empty. All work is done by descriptor, so no symbolic link leads it elsewhere.
Result<Removed> remove_generation(const Root& root, const std::string& name);

/// Removes all generations, then root itself if nothing else is in it. A mark in root says that this has begun: after a
/// crash, the rest is not taken for maps to go on with.
Result<Removed> clear(const Root& root);

/// Goes on with a `clear` that a crash cut short. Leaves root where it is.
Result<void> finish_clear(const Root& root);

}  // namespace upstat::programs
