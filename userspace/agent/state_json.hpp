// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "agent/tenants.hpp"
#include "agent/timeline.hpp"
#include "attribute/ledger.hpp"
#include "judge/alert.hpp"
#include "measure/window.hpp"
#include "programs/zones.hpp"

namespace upstat::agent {

// What the state file holds, as JSON. Writers give text, because a big host's tree would be many times its text.
// Readers take whatever a file may hold and throw a std::exception when it is not what the writers gave.

std::string to_text(const attribute::LedgerState& ledger);
attribute::LedgerState ledger_from(const nlohmann::json& saved);

/// The members of a JSON object, without its braces.
std::string to_members(const attribute::Growth& growth);
attribute::Growth growth_from(const nlohmann::json& saved);

std::string to_text(const measure::History& history);
measure::History history_from(const nlohmann::json& saved);

nlohmann::json to_json(const std::vector<judge::Alert>& alerts);
std::vector<judge::Alert> alerts_from(const nlohmann::json& saved);

nlohmann::json to_json(const programs::ZoneNames& zones);
programs::ZoneNames zones_from(const nlohmann::json& saved);

nlohmann::json to_json(const Tenants::All& tenants);
Tenants::All tenants_from(const nlohmann::json& saved);

nlohmann::json to_json(const Timeline::Mark& mark);
Timeline::Mark mark_from(const nlohmann::json& saved);

/// The wall clock of a poll; before 0.3 that was the agent's own time too.
Wall wall_from(const nlohmann::json& poll, Time at);

}  // namespace upstat::agent
