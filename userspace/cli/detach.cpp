// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include "cli/commands.hpp"
#include "programs/counter.hpp"

namespace upstat::cli {

Result<void> detach(const config::Settings& settings) {
    const auto detached = programs::Counter::detach(settings.bpf_pin_path);
    if (!detached) {
        return std::unexpected(detached.error());
    }
    fmt::print("{}\n", *detached ? "took upstat's programs and maps off " + settings.bpf_pin_path
                                 : "nothing of upstat's is at " + settings.bpf_pin_path);
    return {};
}

}  // namespace upstat::cli
