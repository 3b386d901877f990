// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.hpp"

namespace upstat {

/// What the log says of something outside that is tried again and again: one line when it begins to fail, with the
/// reason, and one when it works again, however many tries lie between. Another reason is said too. Where it fails
/// and works in turn, or the reasons change all the time, 3 lines about failures come at once, and then one in 10
/// minutes; a failure that goes on is said then.
class Outage {
  public:
    struct Line {
        bool failing = false;  ///< else it works again
        std::string text;
    };

    /// `what` ("Alertmanager") begins each line; `where` is its URL as it may be shown.
    Outage(std::string what, std::string where) : what_(std::move(what)), where_(std::move(where)) {}

    /// Takes the end of one try, `problem` being empty when it went well; the line to log, if there is one.
    std::optional<Line> note(const std::string& problem, Time now);

  private:
    [[nodiscard]] bool may_say(Time now);

    std::string what_;
    std::string where_;
    std::string said_;           ///< the reason that was said last; empty: it works, as far as the log knows
    std::optional<Time> since_;  ///< the first failure of this outage
    std::uint64_t failures_ = 0;
    int lines_left_ = most_lines;
    std::optional<Time> counted_from_;  ///< when a line was last added to those left

    static constexpr int most_lines = 3;
    static constexpr Millis line_interval = std::chrono::minutes(10);
};

}  // namespace upstat
