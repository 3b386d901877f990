// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "attribute/routes.hpp"

namespace upstat::traefik {

/// Which router sends what to which backend, from a response of Traefik's /api/rawdata that is read already: of those
/// that are in force, with what their middlewares do to a path. What may do more, such as a plugin, makes a router that
/// may send anything. None where there are too many, or where the response has another shape.
std::vector<attribute::Router> parse_routers(std::string_view body);

}  // namespace upstat::traefik
