// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/time.hpp"

namespace upstat::agent {

/// When an API is asked next. A server that moves is counted for its previous backend until that is seen. So it is
/// asked each second, if a response costs it next to nothing; the longer one takes, the more rarely. When something
/// tells that backends may change just now (a file of the provider's, a container), it is asked many times a second,
/// for a few seconds, while a budget lasts: others decide how often there is such a sign.
class AskPace {
  public:
    void asked(Time now) {
        refill(now);
        budget_ -= is_stirred(now) ? 1 : 0;
        asked_ = now;
    }
    void answered(Time now) { cost_ = asked_ ? std::max(now - *asked_, Millis(0)) : Millis(0); }
    void stir(Time now) {
        refill(now);
        stirred_until_ = now + stirred_for;
    }

    /// The sign has told the truth: the budget is for the next one. A provider may still say the rest of a change.
    void changed(Time now) { stirred_until_ = std::min(stirred_until_, now + settles_in); }

    /// How long to wait from now on; `poll` is the longest wait between two.
    [[nodiscard]] Millis wait(Time now, Millis poll) const {
        if (!asked_) {
            return Millis(0);
        }
        const auto calm = std::clamp(cost_ * 100, std::min(Millis(std::chrono::seconds(1)), poll), poll);
        const auto pause = is_stirred(now) ? std::min(std::max(least_pause, cost_ * 2), calm) : calm;
        return std::max(*asked_ + pause - now, Millis(0));
    }

  private:
    static constexpr Millis least_pause{20};
    static constexpr Millis stirred_for = std::chrono::seconds(5);
    static constexpr Millis settles_in{500};
    static constexpr int most = 250;  ///< questions beyond those of each second
    static constexpr Millis one_more_each{500};

    [[nodiscard]] bool is_stirred(Time now) const { return now < stirred_until_ && budget_ > 0; }
    void refill(Time now) {
        const auto more = (now - refilled_) / one_more_each;
        if (more > 0) {
            budget_ = static_cast<int>(std::min<decltype(more)>(most, budget_ + more));
            refilled_ = now;
        }
    }

    std::optional<Time> asked_;
    Millis cost_{};  ///< of the last response
    Time stirred_until_ = Time::min();
    Time refilled_{};
    int budget_ = most;
};

}  // namespace upstat::agent
