// SPDX-License-Identifier: Apache-2.0
#include "base/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

namespace upstat {

namespace {

/// The process that /proc/locks names as the holder of a flock on this inode; empty where it names none.
std::string holder(const struct stat& file) {
    const auto wanted = ":" + std::to_string(file.st_ino);
    std::ifstream locks("/proc/locks");
    for (std::string line; std::getline(locks, line);) {
        std::istringstream words(line);
        std::string number;
        std::string type;
        std::string mode;
        std::string access;
        std::string pid;
        std::string inode;
        words >> number >> type >> mode >> access >> pid >> inode;
        if (type == "FLOCK" && inode.ends_with(wanted)) {
            return pid;
        }
    }
    return {};
}

}  // namespace

// Not by a stream: an iterator of libstdc++ throws where read(2) fails, and /proc's files fail when their process ends.
std::optional<std::string> read_file(const std::filesystem::path& file) {
    const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        return std::nullopt;
    }
    std::string text;
    std::array<char, 16384> piece{};
    for (;;) {
        const auto size = ::read(fd.get(), piece.data(), piece.size());
        if (size <= 0) {
            return size == 0 ? std::optional(std::move(text)) : std::nullopt;
        }
        text.append(piece.data(), static_cast<std::size_t>(size));
    }
}

Result<void> check_owner(const Fd& descriptor, const std::filesystem::path& directory) {
    struct stat status{};
    if (fstat(descriptor.get(), &status) != 0 || status.st_uid == 0 || status.st_uid == geteuid()) {
        return {};
    }
    return fail(Error::Kind::host,
                fmt::format("{} is owned by user {}, who could change what upstat keeps there", directory.string(),
                            status.st_uid),
                "remove it, or name another directory");
}

Result<void> lock_directory(const Fd& descriptor, const std::filesystem::path& directory, const std::string& hint) {
    if (auto checked = check_owner(descriptor, directory); !checked) {
        return checked;
    }
    if (flock(descriptor.get(), LOCK_EX | LOCK_NB) == 0) {
        return {};
    }
    if (errno != EWOULDBLOCK) {
        return fail(Error::Kind::runtime,
                    fmt::format("cannot lock {}: {}", directory.string(), std::generic_category().message(errno)));
    }
    struct stat file{};
    const auto pid = fstat(descriptor.get(), &file) == 0 ? holder(file) : "";
    return fail(
        Error::Kind::runtime,
        fmt::format("another upstat{} is at work on {}", pid.empty() ? "" : " (pid " + pid + ")", directory.string()),
        hint);
}

}  // namespace upstat
