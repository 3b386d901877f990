// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "counts.hpp"
#include "wire.hpp"

namespace upstat::peer {

/// Plays `count` random schedules; a failing one is shrunk, and printed as a case that can be played again. False when
/// one failed.
bool generate(Wire& wire, Counts& counts, std::uint64_t seed, int count);

}  // namespace upstat::peer
