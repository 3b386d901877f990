// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "publish/query.hpp"
#include "publish/report.hpp"

namespace upstat::publish {

/// /api/v1/sockets: the connections to servers, the worst first; deploy/openapi.yaml has the members. With `backend`:
/// those to its servers; with `server`: those to that one. Nothing where there is no such backend, or no such label.
/// Whoever asks first has the kernel walk over them.
std::optional<std::string> sockets_json(const Report& report, const Query& query);

}  // namespace upstat::publish
