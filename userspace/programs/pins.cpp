// SPDX-License-Identifier: Apache-2.0
#include "programs/pins.hpp"

#include <bpf/bpf.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "programs/capabilities.hpp"

namespace upstat::programs {

namespace fs = std::filesystem;

namespace {

/// The kernel names its anonymous files by kind. Nothing else tells the kinds apart: their info structs overlap.
bool is_anonymous(const Fd& object, std::string_view kind) {
    std::error_code error;
    return object && fs::read_symlink(path_of(object), error).string() == fmt::format("anon_inode:{}", kind);
}

}  // namespace

std::vector<fs::path> entries_of(const fs::path& directory) {
    std::vector<fs::path> entries;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
        entries.push_back(entry.path());
    }
    std::ranges::sort(entries);
    return entries;
}

bool is_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

fs::path path_of(const Fd& descriptor) {
    return fmt::format("/proc/self/fd/{}", descriptor.get());
}

Fd open_pin(const fs::path& path) {
    return Fd(bpf_obj_get(path.c_str()));
}

bool is_map(const Fd& object) {
    return is_anonymous(object, "bpf-map");
}

bool is_link(const Fd& object) {
    return is_anonymous(object, "bpf-link");
}

Error bpf_error(int error, const std::string& what) {
    const auto message = fmt::format("{}: {}", what, std::strerror(error));
    if (error == EPERM || error == EACCES) {
        return {.kind = Error::Kind::host, .message = message, .hint = privileges_hint};
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

}  // namespace upstat::programs
