// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "attribute/routes.hpp"

namespace upstat::traefik {

/// The alternatives of a rule: Host, Path, PathPrefix, &&, || and brackets. Every request that the rule takes is taken
/// by one of them; one that an exact alternative takes, the rule takes. Whatever else stands in a rule (HostRegexp and
/// other matchers, !, bytes that are sent in two ways, Traefik 2's {name:...}, nonsense, too much) makes alternatives
/// that are not exact.
std::vector<attribute::RouteMatch> compile_rule(std::string_view rule);

/// The beginning of a path that is sent on as it came, and in no other way.
std::string_view plain_part(std::string_view path);

}  // namespace upstat::traefik
