// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

#include "counts.hpp"
#include "schedule.hpp"
#include "wire.hpp"

namespace upstat::peer {

/// This kernel lacks what a case is about.
struct Skip : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Plays one case on the wire, with a server address of its own, and compares what was counted with the case's
/// `expect` lines. Returns what is wrong, empty where all is right. Throws Skip.
std::string play(Wire& wire, Counts& counts, const Case& schedule);

}  // namespace upstat::peer
