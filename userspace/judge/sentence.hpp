// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "judge/alert.hpp"
#include "judge/worst.hpp"

namespace upstat::judge {

/// "3m", "1h30m", "1m0.5s": as short as it can be read.
std::string duration_text(Millis duration);

/// The log line of a change of state, to be understood alone: alert, backend, value, threshold, window and `for`, and
/// the server and code behind most of it where there is one. `rule` is the transition's.
std::string sentence(const Transition& transition, const Rule& rule, const std::optional<Worst>& worst);

}  // namespace upstat::judge
