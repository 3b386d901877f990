// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>

#include "base/time.hpp"

namespace upstat {

/// When to try again what has failed: after 5 s, then after twice as long each time, up to a minute. A random part of
/// up to a half comes off each wait, so that the agents of many hosts do not come back at the same moment.
class Backoff {
  public:
    static constexpr Millis first = std::chrono::seconds(5);
    static constexpr Millis longest = std::chrono::minutes(1);
    /// What Retry-After may ask for. Whoever sends it must not silence an alert for hours.
    static constexpr Millis longest_asked = std::chrono::minutes(5);

    explicit Backoff(std::uint64_t seed) : random_(static_cast<std::mt19937::result_type>(seed)) {}

    [[nodiscard]] bool ready(Time now) const { return !next_ || now >= *next_; }
    [[nodiscard]] bool waits() const { return next_.has_value(); }

    /// `asked` is what the other side's Retry-After says.
    void failed(Time now, std::optional<Millis> asked) {
        const Millis wait(std::uniform_int_distribution<Millis::rep>(step_.count() / 2, step_.count())(random_));
        next_ = now + std::max(wait, std::min(asked.value_or(Millis(0)), longest_asked));
        step_ = std::min(step_ * 2, longest);
    }
    void succeeded() {
        next_.reset();
        step_ = first;
    }

  private:
    std::mt19937 random_;  // of others, seeds that are close begin alike
    Millis step_ = first;
    std::optional<Time> next_;
};

}  // namespace upstat
