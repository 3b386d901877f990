// SPDX-License-Identifier: Apache-2.0
#include "traefik/executables.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/fd.hpp"
#include "base/regular_file.hpp"
#include "base/unprivileged.hpp"
#include "traefik/executable.hpp"

namespace upstat::traefik {

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

std::vector<OpenedExecutable> open_executables(const std::vector<AskedExecutable>& asked) {
    std::vector<OpenedExecutable> opened;
    std::ranges::transform(asked, std::back_inserter(opened), [](const AskedExecutable& one) {
        return OpenedExecutable{.asked = one.file, .fd = open_regular(one.exe).fd};
    });
    return opened;
}

ReadExecutable read_executable(const OpenedExecutable& opened) {
    const auto mark = opened.fd ? mark_of(opened.fd.get(), "", AT_EMPTY_PATH) : std::nullopt;
    return {.asked = opened.asked, .read = mark, .is_traefik = mark && is_traefik_executable(opened.fd)};
}

bool ExecutableThreads::start(std::vector<AskedExecutable> asked) {
    return threads_.start([asked = std::move(asked)](const auto& give) {
        auto all = open_executables(asked);
        drop_privilege();
        for (auto& opened : all) {
            give(read_executable(opened));
            opened.fd = Fd();
        }
    });
}

}  // namespace upstat::traefik
