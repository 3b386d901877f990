// SPDX-License-Identifier: Apache-2.0
#include "count/pins.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <spdlog/fmt/fmt.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace upstat {

namespace fs = std::filesystem;

namespace {

/// A directory that is there while root is being cleared.
constexpr auto clearing = "clearing";

constexpr auto needs = "run as root, or with CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_SYS_ADMIN";

/// The nearest directory of a path that exists.
fs::path existing(fs::path path) {
    std::error_code ignored;
    while (!path.empty() && path != path.root_path() && !fs::exists(path, ignored)) {
        path = path.parent_path();
    }
    return path;
}

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

Error bpf_error(int error, const std::string& what) {
    const auto message = fmt::format("{}: {}", what, std::strerror(error));
    if (error == EPERM || error == EACCES) {
        return {.kind = Error::Kind::host, .message = message, .hint = needs};
    }
    if (error == ENOSYS || error == EINVAL || error == EOPNOTSUPP || error == ENOTSUP) {
        return {.kind = Error::Kind::host,
                .message = message,
                .hint =
                    "upstat needs Linux 5.10 or newer with cgroup v2, BPF, BPF_JIT and SK_STORAGE; "
                    "--log.level=debug shows what the kernel says"};
    }
    return {.kind = Error::Kind::runtime, .message = message, .hint = {}};
}

Result<void> make_root(const fs::path& root) {
    struct statfs system{};
    const auto base = existing(root);
    if (statfs(base.c_str(), &system) != 0) {
        return std::unexpected(bpf_error(errno, fmt::format("cannot look at {}", base.string())));
    }
    if (static_cast<unsigned long>(system.f_type) != BPF_FS_MAGIC) {
        return fail(Error::Kind::host, fmt::format("--bpf.pin-path {} is not on a bpffs", root.string()),
                    "mount one: mount -t bpf bpf /sys/fs/bpf");
    }
    std::error_code error;
    fs::create_directories(root, error);
    if (error) {
        return std::unexpected(bpf_error(error.value(), fmt::format("cannot make the directory {}", root.string())));
    }
    return {};
}

Result<Fd> lock(const fs::path& root) {
    Fd directory(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat file{};
    if (!directory || fstat(directory.get(), &file) != 0) {
        return std::unexpected(bpf_error(errno, fmt::format("cannot open {}", root.string())));
    }
    if (flock(directory.get(), LOCK_EX | LOCK_NB) != 0) {
        const auto pid = holder(file);
        return fail(
            Error::Kind::runtime,
            fmt::format("another upstat{} is at work on {}", pid.empty() ? "" : " (pid " + pid + ")", root.string()),
            "stop it first, or give this one a --bpf.pin-path of its own");
    }
    return directory;
}

Fd open_pin(const fs::path& path) {
    return Fd(bpf_obj_get(path.c_str()));
}

std::vector<fs::path> entries_of(const fs::path& directory) {
    std::vector<fs::path> entries;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
        entries.push_back(entry.path());
    }
    std::ranges::sort(entries);
    return entries;
}

Result<void> clear(const fs::path& root) {
    std::error_code error;
    fs::create_directory(root / clearing, error);
    for (const auto& entry : entries_of(root)) {
        if (!error && entry.filename() != clearing) {
            fs::remove_all(entry, error);
        }
    }
    if (!error) {
        fs::remove(root / clearing, error);
    }
    if (error) {
        return std::unexpected(bpf_error(error.value(), fmt::format("cannot remove what is in {}", root.string())));
    }
    return {};
}

Result<void> finish_clear(const fs::path& root) {
    std::error_code error;
    return fs::exists(root / clearing, error) ? clear(root) : Result<void>();
}

}  // namespace upstat
