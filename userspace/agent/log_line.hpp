// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <spdlog/spdlog.h>

#include <optional>

#include "base/outage.hpp"

namespace upstat::agent {

inline void log_line(const std::optional<Outage::Line>& line) {
    if (line) {
        spdlog::log(line->failing ? spdlog::level::warn : spdlog::level::info, "{}", line->text);
    }
}

}  // namespace upstat::agent
