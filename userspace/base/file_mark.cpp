// SPDX-License-Identifier: Apache-2.0
#include "base/file_mark.hpp"

#include <fcntl.h>
#include <sys/stat.h>

namespace upstat {

std::optional<FileMark> mark_of(int directory, const std::string& path, int flags) {
    struct statx status{};
    if (statx(directory, path.c_str(), flags | AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_BTIME, &status) != 0) {
        return std::nullopt;
    }
    const auto number = [](const auto& of) { return static_cast<std::uint64_t>(of); };
    return FileMark{.file = {number(status.stx_dev_major) << 32U | status.stx_dev_minor, status.stx_ino,
                             number(status.stx_btime.tv_sec), status.stx_btime.tv_nsec},
                    .version = {status.stx_size, number(status.stx_mtime.tv_sec), status.stx_mtime.tv_nsec,
                                number(status.stx_ctime.tv_sec), status.stx_ctime.tv_nsec}};
}

}  // namespace upstat
