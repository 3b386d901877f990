// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/time.hpp"

namespace upstat {

/// How many lines the log gets of what others decide the number of: 16 in ten minutes. The others are counted.
class LineBudget {
  public:
    /// Whether there is room for one more.
    bool take(Time now) {
        if (!since_ || now - *since_ >= interval) {
            since_ = now;
            left_ = most;
        }
        const bool has_room = left_ > 0;
        left_ -= has_room ? 1 : 0;
        unsaid_ += has_room ? 0 : 1;
        return has_room;
    }

    /// How many found no room since this was asked, once in an interval; else 0.
    std::uint64_t unsaid() {
        if (unsaid_ == 0 || said_ == since_) {
            return 0;
        }
        said_ = since_;
        return std::exchange(unsaid_, 0);
    }

  private:
    static constexpr int most = 16;
    static constexpr Millis interval = std::chrono::minutes(10);

    std::optional<Time> since_;
    std::optional<Time> said_;  ///< the interval in which the others were said
    int left_ = 0;
    std::uint64_t unsaid_ = 0;
};

}  // namespace upstat
