// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

namespace upstat {

using Millis = std::chrono::milliseconds;

/// A wall-clock moment with Prometheus's resolution. No room reads a clock: main's loop does, and hands it in.
using Time = std::chrono::sys_time<Millis>;

/// The moment by which a poll goes: when it was due, a number of intervals after the last one, if it began within a
/// hundredth of an interval of that; else `now`. Without that, a rule's `for` of twelve intervals would be over at the
/// thirteenth poll as often as at the twelfth, for a millisecond. Prometheus aligns its scrapes alike.
inline Time aligned(std::optional<Time> last, Time now, Millis interval) {
    if (!last || now <= *last) {
        return now;
    }
    const auto intervals = std::max<Millis::rep>(1, (now - *last + interval / 2) / interval);
    const auto due = *last + intervals * interval;
    return std::chrono::abs(now - due) <= interval / 100 ? due : now;
}

/// "2023-12-12T21:12:32.022Z".
std::string rfc3339(Time time);

}  // namespace upstat
