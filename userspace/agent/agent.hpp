// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "base/error.hpp"
#include "config/settings.hpp"

namespace upstat::agent {

/// Runs the agent until SIGTERM or SIGINT: count -> poll -> attribute -> measure -> judge -> publish, one loop on one
/// thread. Errors are those of the start; a running agent does not end by itself.
Result<void> run_agent(const config::Settings& settings);

}  // namespace upstat::agent
