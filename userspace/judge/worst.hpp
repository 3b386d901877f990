// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attribute/backend_name.hpp"
#include "base/time.hpp"
#include "judge/alert.hpp"
#include "measure/codes.hpp"
#include "poll/snapshot.hpp"

namespace upstat::judge {

using ResponsesByCode = std::map<std::uint16_t, std::uint64_t>;

/// The responses between two polls, over all methods. Totals that went down were made anew in between: all of them are
/// since then.
ResponsesByCode growth(const poll::ResponseCounts& before, const poll::ResponseCounts& after);

/// The same by code and method.
poll::ResponseCounts grown(const poll::ResponseCounts& before, poll::ResponseCounts after);

/// As much of a snapshot as has to be remembered for worst().
using ResponsesByServer = FlatMap<poll::Server, poll::ResponseCounts>;
ResponsesByServer responses_of(const poll::Snapshot& snapshot);

/// The server and code of `codes` with the most responses between two snapshots, over all methods, among `servers`
/// (those the backend lists). On a tie the smaller server, then the smaller code. Nothing when there was no such
/// response.
std::optional<Worst> worst(const ResponsesByServer& before, const poll::Snapshot& after,
                           const std::set<poll::Server>& servers, const measure::CodeSet& codes);

/// What came by a backend's routes to the servers that it shares.
using SharedResponses = std::map<poll::Server, poll::ResponseCounts>;
using Routed = std::map<attribute::BackendName, SharedResponses>;

/// The same between two polls. `names` are the backends of the routes by their number - 1; one without a name is
/// nobody's.
Routed routed_since(const poll::Routed& before, const poll::Routed& after,
                    const std::vector<attribute::BackendName>& names);

/// As above, of responses that are a backend's alone.
std::optional<Worst> worst(const SharedResponses& responses, const measure::CodeSet& codes);

/// Two polls of the past, the older at least one window old once there was time for it: enough to tell which server's
/// responses a rule is about.
class Past {
  public:
    explicit Past(Millis window) : window_(window) {}

    /// Takes the place of `previous`, with a window of its own.
    void continue_from(Past previous) {
        std::swap(previous.window_, window_);
        std::swap(*this, previous);
    }

    void add(const poll::Snapshot& snapshot);
    [[nodiscard]] const ResponsesByServer& begin() const { return *older_; }
    [[nodiscard]] const poll::Routed& routed() const { return older_routed_; }
    [[nodiscard]] std::shared_ptr<const ResponsesByServer> shared() const { return older_; }
    [[nodiscard]] Time since() const { return since_; }

  private:
    Millis window_;
    Time since_{};  ///< of the older one
    Time at_{};     ///< of the newer one
    std::shared_ptr<const ResponsesByServer> older_;
    std::shared_ptr<const ResponsesByServer> newer_;
    poll::Routed older_routed_;  ///< the part of them that came by routes
    poll::Routed newer_routed_;
};

}  // namespace upstat::judge
