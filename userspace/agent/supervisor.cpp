// SPDX-License-Identifier: Apache-2.0
#include "agent/supervisor.hpp"

#include <systemd/sd-daemon.h>

#include <chrono>
#include <cstdint>

namespace upstat::agent {

Supervisor systemd() {
    std::uint64_t microseconds = 0;
    sd_watchdog_enabled(0, &microseconds);
    return {.tell = [](const std::string& words) { sd_notify(0, words.c_str()); },
            .patience = std::chrono::duration_cast<Millis>(std::chrono::microseconds(microseconds))};
}

}  // namespace upstat::agent
