// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <functional>
#include <vector>

#include "base/error.hpp"
#include "config/settings.hpp"

namespace upstat::agent {

/// Runs the agent on this host until SIGTERM or SIGINT. SIGHUP reads the settings again, by `load`. Errors are those of
/// the start.
Result<void> run(const config::Settings& settings,
                 std::function<std::expected<config::Settings, std::vector<Error>>()> load);

}  // namespace upstat::agent
