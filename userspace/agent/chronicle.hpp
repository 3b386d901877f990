// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/traefiks.hpp"
#include "attribute/ledger.hpp"
#include "history/history.hpp"
#include "judge/alert.hpp"
#include "poll/snapshot.hpp"

namespace upstat::agent {

/// What a poll has to say for the history, of everything but its counts.
struct PollNews {
    attribute::SharedCatalogue catalogue_before;
    const std::vector<Watched>& traefiks;
    const judge::Alerts& alerts;
    const std::vector<judge::Rule>& rules;
};

/// Feeds the history: each poll's counts, and what happened beside them.
class Chronicle {
  public:
    void add(Moment at, const attribute::LedgerState& ledger, const poll::Snapshot& snapshot, const PollNews& news);
    /// `problem` is empty where the settings were taken.
    void note_reload(Moment at, const std::string& problem);
    void maps_made_anew() { history_.maps_made_anew(); }

    [[nodiscard]] history::View view() const { return history_.view(); }
    /// As of the last add().
    [[nodiscard]] const std::shared_ptr<const attribute::Owners>& owners() const { return owners_; }

  private:
    void note_start(Moment at);
    void note_traefiks(Moment at, const std::vector<Watched>& watched);
    void note_alerts(Moment at, const PollNews& news);

    history::History history_;
    std::shared_ptr<const attribute::Owners> owners_ = std::make_shared<const attribute::Owners>();
    attribute::SharedCatalogue owners_of_;   ///< the catalogue that `owners_` were told by
    std::optional<std::set<int>> traefiks_;  ///< the pids of the last poll
};

}  // namespace upstat::agent
