// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "publish/query.hpp"
#include "publish/report.hpp"

namespace upstat::publish {

// The pages about the past; deploy/openapi.yaml has their members. All times are told by the wall clock as it stands
// now, so a step of it bends no chart.

/// /api/v1/history: the newest columns of every backend. With `backend`: all columns of that one and of its servers, of
/// many servers those with most errors. With `server`: all columns of that one. Nothing where there is no such backend
/// or server.
std::optional<std::string> history_json(const Report& report, const Query& query);

/// /api/v1/events: what happened, the newest first; with `backend` what is about that one or about none.
std::optional<std::string> events_json(const Report& report, const Query& query);

}  // namespace upstat::publish
