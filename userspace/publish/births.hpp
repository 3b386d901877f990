// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "attribute/counts.hpp"
#include "attribute/ledger.hpp"
#include "base/flat_map.hpp"
#include "base/time.hpp"
#include "poll/snapshot.hpp"
#include "publish/report.hpp"

namespace upstat::publish {

/// The codes that every backend has at 0 from its start, for GET: those that rules ask for most often. All other series
/// appear with their first count.
inline constexpr std::array<std::uint16_t, 5> usual_codes{200, 404, 500, 502, 503};

/// When the series of a backend or server were born. `itself` is of those that came with it.
struct YoungBackend {
    Time itself = Time::min();
    FlatMap<attribute::Series, Time> series;
    bool operator==(const YoungBackend&) const = default;
};
struct YoungServer {
    Time itself = Time::min();
    FlatMap<poll::ResponseKey, Time> responses;
    std::array<FlatMap<std::string, Time>, poll::reason_counts.size()> reasons;
    bool operator==(const YoungServer&) const = default;
};

/// The series that are young, and nothing of the others.
struct Young {
    std::map<attribute::BackendName, YoungBackend> backends;
    std::map<ServerSeries, YoungServer> servers;
};

/// The counts as a page shows them: 0 for what was born after `moment`.
attribute::SeriesCounts without_young(attribute::SeriesCounts counts, const YoungBackend& young, Time moment);
poll::ServerTotals without_young(poll::ServerTotals totals, const YoungServer& young, Time moment);

/// Notices the series that a report shows and the one before it did not. rate() cannot see the increase of a series
/// whose first sample is 5, so a young one is shown at 0 for some time.
class Births {
  public:
    /// What was shown before a restart is not born again: these backends, `unmapped`, and with `servers` all that the
    /// next report has of servers.
    void restore(const attribute::LedgerState& shown, bool servers);

    /// Of backends that have left, only those that are still remembered come back: all others are born again.
    void keep(const std::map<attribute::BackendName, attribute::SeriesCounts>& remembered);

    /// What was born later is shown at 0: to who scrapes, and in what is pushed, which is the earlier moment.
    struct Moments {
        Time scraped;
        Time pushed;
    };

    /// Takes the next report.
    std::shared_ptr<const Young> take(std::shared_ptr<const Report> report, Time now, Moments hidden);

  private:
    void compare_backends(const attribute::Counts& counts, Time now, Time hidden);
    void compare_servers(const Report& report, Time now);
    void leave(const attribute::BackendName& backend, attribute::SeriesCounts series, Time hidden);
    void forget(Time born);

    std::shared_ptr<const Report> previous_ = std::make_shared<const Report>();
    bool servers_shown_ = false;
    std::map<attribute::BackendName, attribute::SeriesCounts>
        away_;  ///< of backends that have left: they may come back
    Young young_;
};

}  // namespace upstat::publish
