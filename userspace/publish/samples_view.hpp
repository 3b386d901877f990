// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "publish/query.hpp"
#include "publish/report.hpp"

namespace upstat::publish {

/// /api/v1/samples: paths of requests whose responses a rule counts as errors, where `samples` is set;
/// deploy/openapi.yaml has the members. With `backend`: those to its servers. Nothing where there is no such backend.
std::optional<std::string> samples_json(const Report& report, const Query& query);

/// "of the last 40 bad requests: 30 of /cart, 10 of /login": for the facts of a diagnosis; empty where nothing is
/// known.
std::string paths_text(const Report& report, const attribute::BackendName& backend);

}  // namespace upstat::publish
