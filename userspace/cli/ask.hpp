// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.hpp"
#include "config/settings.hpp"

namespace upstat::cli {

/// What the running agent responds under a path of its web address, such as "/api/v1/status". An Error of kind runtime
/// when no agent responds there.
Result<nlohmann::json> ask_agent(const config::Settings& settings, const std::string& path);

/// The Error for JSON that lacks what this version's agent says. Whoever reads it by at() meets that as a
/// nlohmann::json::exception.
Error no_agent_of_this_version(const config::Settings& settings);

/// A value of the agent's JSON as it may be printed to a terminal.
std::string shown(const nlohmann::json& value);

}  // namespace upstat::cli
