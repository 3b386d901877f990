// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "base/time.hpp"

namespace upstat::agent {

/// Gives the agent's own time: the boot clock, ahead by an amount that stays the same while the agent runs. How far the
/// wall clock is from it is measured at each moment anew, so neither a step of that nor its slow drift is ever taken
/// into what is spaced.
class Timeline {
  public:
    /// What has to be saved to go on.
    struct Mark {
        std::string boot;  ///< of the host: within it, `ahead` holds
        Millis ahead{};
        Moment last;  ///< of what was saved
    };

    /// Goes on from where an earlier agent's stood; without one it begins at the wall clock. Within the same boot it is
    /// as if the agent had never been away. Else what the wall clock says has passed, at least nothing: what was saved
    /// is never in the future.
    Timeline(Clock clock, std::string boot, const std::optional<Mark>& saved)
        : clock_(std::move(clock)), boot_(std::move(boot)), ahead_(saved ? ahead_of(*saved) : first_ahead()) {}

    [[nodiscard]] Moment now() const { return {.at = Time(clock_.since_boot() + ahead_), .wall = clock_.wall()}; }
    [[nodiscard]] Mark mark(Moment last) const { return {.boot = boot_, .ahead = ahead_, .last = last}; }

  private:
    [[nodiscard]] Millis first_ahead() const { return clock_.wall().time_since_epoch() - clock_.since_boot(); }
    [[nodiscard]] Millis ahead_of(const Mark& saved) const;

    Clock clock_;
    std::string boot_;
    Millis ahead_;
};

}  // namespace upstat::agent
