// SPDX-License-Identifier: Apache-2.0
#include "agent/timeline.hpp"

#include <algorithm>

namespace upstat::agent {

Millis Timeline::ahead_of(const Mark& saved) const {
    const auto last = saved.last.at.time_since_epoch();
    const bool same_boot = !boot_.empty() && saved.boot == boot_ && clock_.since_boot() + saved.ahead >= last;
    const auto passed = std::max(Millis(0), Millis(clock_.wall() - saved.last.wall));
    return same_boot ? saved.ahead : last + passed - clock_.since_boot();
}

}  // namespace upstat::agent
