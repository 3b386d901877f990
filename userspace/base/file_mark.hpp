// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace upstat {

/// A file, and its content's version: what its owner does to it cannot leave all of that as it was.
struct FileMark {
    using File = std::array<std::uint64_t, 4>;  ///< device, inode, birth

    File file{};
    std::array<std::uint64_t, 5> version{};  ///< size, times of modification and of change

    auto operator<=>(const FileMark&) const = default;
};

/// Of a file as it is now, without a word to a file system that a stranger serves himself (FUSE). `flags` are those of
/// statx(2); nothing where there is no such file or it may not be looked at.
std::optional<FileMark> mark_of(int directory, const std::string& path, int flags);

}  // namespace upstat
