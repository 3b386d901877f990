// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "base/time.hpp"

namespace upstat::agent {

/// Who started the agent and watches it, in the words of sd_notify(3): "READY=1", "STATUS=...", "WATCHDOG=1".
struct Supervisor {
    std::function<void(const std::string&)> tell = [](const std::string& /*words*/) {};
    Millis patience{};  ///< it ends an agent that does not say WATCHDOG=1 for so long; 0: it does not watch
};

/// systemd, where it started this process as Type=notify; else nobody.
Supervisor systemd();

}  // namespace upstat::agent
