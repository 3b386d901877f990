// SPDX-License-Identifier: Apache-2.0
#include "programs/root.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <spdlog/fmt/fmt.h>
#include <sys/vfs.h>

#include <cerrno>

#include "base/file.hpp"
#include "programs/mounts.hpp"
#include "programs/pins.hpp"

namespace upstat::programs {

namespace fs = std::filesystem;

namespace {

constexpr auto usual_mount = "/sys/fs/bpf";

/// Only looks: O_PATH opens nothing.
Fd look_at(const fs::path& path, int flags = 0) {
    return Fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | flags));
}

/// An absolute path without a slash at its end, which would follow a symbolic link.
fs::path plain(const fs::path& path) {
    const auto normal = fs::absolute(path).lexically_normal();
    return normal.has_filename() ? normal : normal.parent_path();
}

bool is_on_bpffs(const Fd& directory) {
    struct statfs system{};
    return fstatfs(directory.get(), &system) == 0 && static_cast<unsigned long>(system.f_type) == BPF_FS_MAGIC;
}

/// The directory itself, not what a symbolic link of its name leads to. Empty where nothing has this name.
Result<Fd> open_itself(const fs::path& path) {
    Fd directory = look_at(path, O_NOFOLLOW);
    if (directory || errno == ENOENT) {
        return directory;
    }
    if (errno == ENOTDIR) {
        return fail(Error::Kind::host, fmt::format("--bpf.pin-path {} is not a directory", path.string()),
                    "symbolic links are not followed: name the directory itself");
    }
    return std::unexpected(bpf_error(errno, fmt::format("cannot look at {}", path.string())));
}

/// The directory, or the nearest one above it that exists.
Result<Fd> open_nearest(fs::path path) {
    auto directory = open_itself(path);
    while (directory && !*directory && path.has_relative_path()) {
        path = path.parent_path();
        directory = look_at(path);
    }
    return directory;
}

Result<void> check_bpffs(const Fd& directory, const fs::path& path) {
    if (is_on_bpffs(directory)) {
        return {};
    }
    const Fd usual = look_at(usual_mount);
    return fail(Error::Kind::host, fmt::format("--bpf.pin-path {} is not on a bpffs", path.string()),
                usual && is_on_bpffs(usual) ? fmt::format("name a directory below {}", usual_mount)
                                            : fmt::format("mount one: mount -t bpf bpf {}", usual_mount));
}

/// flock(2) refuses a descriptor that only looks.
Result<Root> lock(const Fd& looked_at, const fs::path& path) {
    Fd directory(::openat(looked_at.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory) {
        return std::unexpected(bpf_error(errno, fmt::format("cannot open {}", path.string())));
    }
    if (auto held = lock_directory(directory, path, "stop it first, or name another --bpf.pin-path"); !held) {
        return std::unexpected(held.error());
    }
    return Root{.path = path, .directory = std::move(directory)};
}

}  // namespace

Result<void> check_root(const fs::path& path) {
    const auto nearest = open_nearest(plain(path));
    if (!nearest) {
        return std::unexpected(nearest.error());
    }
    auto checked = check_bpffs(*nearest, path);
    const Fd itself = look_at(plain(path));
    return checked && itself ? check_owner(itself, path) : checked;
}

Result<Root> make_root(const fs::path& path) {
    if (auto checked = check_root(path); !checked) {
        return std::unexpected(checked.error());
    }
    std::error_code error;
    fs::create_directories(plain(path), error);
    if (error) {
        return std::unexpected(bpf_error(error.value(), fmt::format("cannot make the directory {}", path.string())));
    }
    auto root = find_root(path);
    if (!root) {
        return std::unexpected(root.error());
    }
    if (!*root) {
        return fail(Error::Kind::runtime, fmt::format("{} was removed while upstat started", path.string()));
    }
    return std::move(**root);
}

Result<std::optional<Root>> find_root(const fs::path& path) {
    const auto nearest = open_nearest(plain(path));
    if (nearest) {
        warn_of_stack(*nearest);  // where nothing is found, it may lie below
    }
    const auto directory = open_itself(plain(path));
    if (!directory) {
        return std::unexpected(directory.error());
    }
    if (!*directory) {
        return std::nullopt;
    }
    if (auto checked = check_bpffs(*directory, path); !checked) {
        return std::unexpected(checked.error());
    }
    return lock(*directory, plain(path));
}

}  // namespace upstat::programs
