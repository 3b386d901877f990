// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "judge/alert.hpp"

namespace upstat::judge {

/// "3m", "1h30m", "1m0.5s": as short as it can be read.
std::string duration_text(Millis duration);

/// "shop@file", and whose it is where that is to be said.
std::string told_name(const Alert& alert);

/// "server 10.0.0.1:80: 412 responses with 404".
std::string text_of(const Worst& worst);

/// The log line of a change of state, to be understood alone: alert, backend, value, threshold, window, `for` and since
/// when, and the server and code behind most of it where there is one. `rule` is the transition's.
std::string sentence(const Transition& transition, const Rule& rule);

/// The same of an alert as it stands: pending, firing, else resolved.
std::string sentence(const Alert& alert, const Rule& rule);

}  // namespace upstat::judge
