// SPDX-License-Identifier: Apache-2.0
#include "programs/pins.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <spdlog/fmt/fmt.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/file.hpp"

namespace upstat::programs {

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
    if (!directory) {
        return std::unexpected(bpf_error(errno, fmt::format("cannot open {}", root.string())));
    }
    if (auto held = lock_directory(directory, root, "stop it first, or name another --bpf.pin-path"); !held) {
        return std::unexpected(held.error());
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

}  // namespace upstat::programs
