// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.hpp"
#include "config/settings.hpp"

namespace upstat::cli {

/// What the running agent answers under a path of its web address, such as "/api/v1/status". An Error of kind runtime
/// when no agent answers there.
Result<nlohmann::json> ask_agent(const config::Settings& settings, const std::string& path);

}  // namespace upstat::cli
