// SPDX-License-Identifier: Apache-2.0
#include "traefik/executables.hpp"

#include <fcntl.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/fd.hpp"
#include "base/regular_file.hpp"
#include "base/unprivileged.hpp"
#include "traefik/executable.hpp"

namespace upstat::traefik {

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
