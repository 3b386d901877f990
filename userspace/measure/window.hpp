// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <vector>

#include "attribute/counts.hpp"
#include "base/error.hpp"
#include "base/time.hpp"
#include "measure/codes.hpp"
#include "measure/rate.hpp"
#include "measure/ratio.hpp"

namespace upstat::measure {

/// The samples of one backend. Every vector has one element a poll of the History it stands in.
struct BackendHistory {
    std::vector<bool> sampled;                                ///< was the backend in that poll's Counts?
    std::map<attribute::Series, std::vector<double>> series;  ///< the totals; NaN where the poll had no such series

    bool operator==(const BackendHistory&) const = default;
};

/// What a Window holds: a plain value, to be saved and restored. The times stand once, not with each series.
struct History {
    std::vector<Time> polls;  ///< ascending
    std::map<attribute::BackendName, BackendHistory> backends;
};

/// The samples of the last `keep` (the longest window of any rule), and one poll more.
class Window {
  public:
    explicit Window(Millis keep) : keep_(keep) {}

    /// Takes a saved history as it is; what is too old for `keep` goes with the next add(). An error (Kind::runtime)
    /// when the history contradicts itself: vectors of other lengths than polls, times that do not ascend, a total
    /// below 0.
    static Result<Window> restore(Millis keep, History history);

    /// Appends one poll and forgets what is too old.
    ///
    /// A series that shows up for the first time in a backend was 0 in every earlier poll that had the backend: totals
    /// are born at 0, the kernel has no key before the first response, and /metrics exports the series at 0 from the
    /// start. Without that the first responses of each new code would be lost to rate(). In a backend's first poll a
    /// series is taken as it comes.
    ///
    /// Its time is after all that are in the window.
    void add(const attribute::Counts& counts);

    /// Of a backend that has another name now.
    void forget(const attribute::BackendName& backend) { history_.backends.erase(backend); }

    [[nodiscard]] const History& history() const { return history_; }
    [[nodiscard]] Millis keep() const { return keep_; }

  private:
    void forget_before(Time at);
    void forget_empty();

    Millis keep_;
    History history_;
};

/// For each backend of the window, at `at`:
///     matching = sum(rate(traefik_backend_requests_total{code=~CODES}[WINDOW])) by (backend)
///     all      = sum(rate(traefik_backend_requests_total[WINDOW])) by (backend)
/// as a Prometheus of that dialect gives them; the sums go in the order of Series. Absent where PromQL has no sample.
Ratios measure(const Window& window, Time at, const CodeSet& codes, Millis range, Dialect dialect = Dialect::v3_0);

}  // namespace upstat::measure
