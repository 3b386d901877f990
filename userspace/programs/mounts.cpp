// SPDX-License-Identifier: Apache-2.0
#include "programs/mounts.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <sstream>
#include <vector>

#include "base/file.hpp"

namespace upstat::programs {

namespace {

struct Mount {
    std::uint64_t number = 0;
    std::string point;
    bool is_bpffs = false;
};

/// NUMBER PARENT DEVICE ROOT POINT OPTIONS [FIELD ...] - TYPE SOURCE OPTIONS
std::vector<Mount> parse(std::string_view mountinfo) {
    std::vector<Mount> mounts;
    std::istringstream lines{std::string(mountinfo)};
    for (std::string line; std::getline(lines, line);) {
        Mount mount;
        std::string skipped;
        std::istringstream(line) >> mount.number >> skipped >> skipped >> skipped >> mount.point;
        mount.is_bpffs = line.find(" - bpf ") != std::string::npos;
        mounts.push_back(std::move(mount));
    }
    return mounts;
}

}  // namespace

std::optional<Stack> find_stack(std::string_view mountinfo, std::uint64_t mount) {
    const auto all = parse(mountinfo);
    const auto top = std::ranges::find(all, mount, &Mount::number);
    if (top == all.end()) {
        return std::nullopt;
    }
    const auto mounts =
        std::ranges::count_if(all, [&](const Mount& other) { return other.is_bpffs && other.point == top->point; });
    return mounts > 1 ? std::optional(Stack{.point = top->point, .mounts = static_cast<std::size_t>(mounts)})
                      : std::nullopt;
}

void warn_of_stack(const Fd& directory) {
    struct statx info{};
    if (statx(directory.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &info) != 0) {
        return;
    }
    if (const auto stack = find_stack(read_file("/proc/self/mountinfo").value_or(""), info.stx_mnt_id)) {
        spdlog::warn(
            "{} bpffs are mounted over each other at {}: pins in the lower ones are out of reach until "
            "`umount {}` uncovers them",
            stack->mounts, stack->point, stack->point);
    }
}

}  // namespace upstat::programs
