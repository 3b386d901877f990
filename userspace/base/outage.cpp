// SPDX-License-Identifier: Apache-2.0
#include "base/outage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace upstat {

/// Takes one of the lines that are left; each interval gives one back.
bool Outage::may_say(Time now) {
    if (lines_left_ == most_lines) {
        counted_from_ = now;
    }
    const auto earned = std::max<Millis::rep>(0, (now - *counted_from_) / line_interval);
    lines_left_ = static_cast<int>(std::min<Millis::rep>(most_lines, lines_left_ + earned));
    *counted_from_ += earned * line_interval;
    return lines_left_ > 0 && lines_left_-- > 0;
}

std::optional<Outage::Line> Outage::note(const std::string& problem, Time now) {
    if (problem.empty()) {
        const auto since = std::exchange(since_, std::nullopt);
        const auto failures = std::exchange(failures_, 0);
        if (std::exchange(said_, {}).empty()) {
            return std::nullopt;
        }
        const auto seconds = std::chrono::round<std::chrono::seconds>(now - *since).count();
        return Line{.failing = false,
                    .text = fmt::format("{}: {} works again after {} s; {} {} failed", what_, where_, seconds, failures,
                                        failures == 1 ? "try" : "tries")};
    }
    since_ = since_.value_or(now);
    ++failures_;
    if (problem == said_ || !may_say(now)) {
        return std::nullopt;
    }
    said_ = problem;
    return Line{.failing = true, .text = fmt::format("{}: {}", what_, problem)};
}

}  // namespace upstat
