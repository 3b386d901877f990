// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

namespace upstat {

using Millis = std::chrono::milliseconds;

/// The wall clock, with Prometheus's resolution. It can be set, so only what others read is stamped by it.
using Wall = std::chrono::sys_time<Millis>;

/// The agent's own time, which nobody sets: all that is spaced or waited for is measured by it. It began at the wall
/// clock and then goes with the host's boot clock, suspends included, also over a restart of the agent.
struct OwnTime {
    using duration = Millis;
};
using Time = std::chrono::time_point<OwnTime, Millis>;

/// One moment by both: to be measured from, and to be told.
struct Moment {
    Time at;
    Wall wall;

    bool operator==(const Moment&) const = default;
};

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
std::string rfc3339(Wall time);

/// As poll(2) takes it.
int poll_timeout(Millis longest);

}  // namespace upstat
