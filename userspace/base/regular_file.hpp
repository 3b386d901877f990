// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat {

/// A file that another process chose. To open a device may do things (/dev/watchdog arms a reboot, /dev/ptmx makes a
/// terminal), a FIFO may block. So it is opened O_PATH first, which does nothing, looked at, and opened for reading
/// only if it is a regular file.
struct RegularFile {
    Fd fd;  ///< empty where there is no regular file or it may not be read
    struct stat status{};
    int error = 0;  ///< errno where it cannot be opened
};

/// The path as we see it, symbolic links followed; so is the magic one of /proc/PID/exe.
RegularFile open_regular(const std::filesystem::path& path);

/// The path as a process sees it whose root directory is `top`: no symbolic link leads out, magic ones are not
/// followed.
RegularFile open_regular_inside(const std::filesystem::path& top, const std::string& path);

/// A directory, in the same way; only as a place (O_PATH).
Fd open_directory_inside(const std::filesystem::path& top, const std::string& path);

/// Up to `longest` bytes from `offset` on: fewer where the file ends or cannot be read.
std::string read_at(const Fd& file, std::uint64_t offset, std::size_t longest);

/// More than any file needs that a setting names.
inline constexpr std::size_t longest_named_file = std::size_t{4} << 20;

/// All of a regular file that a setting names, of `longest` bytes at most. An error of kind usage says what is wrong: a
/// FIFO would keep a reload waiting, and an endless file would fill the memory.
Result<std::string> read_named_file(const std::filesystem::path& file, std::size_t longest = longest_named_file);

}  // namespace upstat
