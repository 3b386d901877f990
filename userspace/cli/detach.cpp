// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include "cli/commands.hpp"
#include "programs/counter.hpp"

namespace upstat::cli {

Result<void> detach(const config::Settings& settings) {
    const auto removed = programs::Counter::detach(settings.bpf_pin_path);
    if (!removed) {
        return std::unexpected(removed.error());
    }
    if (!removed->any) {
        fmt::print("nothing of upstat's is at {}\n", settings.bpf_pin_path);
        return {};
    }
    fmt::print("took upstat's programs and maps off {}\n", settings.bpf_pin_path);
    for (const auto& directory : removed->left) {
        fmt::print("left {}: what is in it is not upstat's\n", directory.string());
    }
    return {};
}

}  // namespace upstat::cli
