// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "publish/query.hpp"
#include "publish/report.hpp"

namespace upstat::publish {

/// /api/v1/explain: what is wrong on this host, the worst first; with `backend` that one's diagnosis. Nothing where
/// there is no such backend. deploy/openapi.yaml has its members.
std::optional<std::string> explain_json(const Report& report, const Query& query);

}  // namespace upstat::publish
