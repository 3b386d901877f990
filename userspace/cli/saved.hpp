// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "judge/alert.hpp"
#include "measure/window.hpp"

namespace upstat {

/// The window and the alerts as the state file keeps them. The readers take whatever a file may hold and throw
/// nlohmann::json::exception when it is not what the writers gave.
std::string json_text(const History& history);
History history_from(const nlohmann::json& saved);

nlohmann::json to_json(const std::vector<Alert>& alerts);
std::vector<Alert> alerts_from(const nlohmann::json& saved);

}  // namespace upstat
