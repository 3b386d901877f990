// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>

#include "base/error.hpp"

namespace upstat::programs {

/// Tells the programs what local ports are in use for: Traefik listens there for clients, or has opened a connection to
/// a server from there. `map` is the map `ports`.
Result<void> tell_ports(int map, const std::set<std::uint16_t>& listening, const std::set<std::uint16_t>& opened);

}  // namespace upstat::programs
