// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/history_file.hpp"
#include "agent/traefiks.hpp"
#include "attribute/ledger.hpp"
#include "history/history.hpp"
#include "judge/alert.hpp"
#include "poll/snapshot.hpp"

namespace upstat::agent {

/// What a poll has to say for the history, of everything but its counts.
struct PollNews {
    const std::vector<Watched>& traefiks;
    const judge::Alerts& alerts;
    const std::vector<judge::Rule>& rules;
};

/// Feeds the history: each poll's counts, and what happened beside them.
class Chronicle {
  public:
    /// `directory` is --state.path, `epoch` the kernel's maps'.
    Chronicle(std::filesystem::path directory, std::string epoch) : file_(std::move(directory), std::move(epoch)) {}

    /// Goes on from what was saved; an empty text, or what is lost.
    /// The catalogue is the one that was in force.
    std::string restore(Time now, attribute::SharedCatalogue catalogue);

    /// Saves where it is time for it or something has happened; `at_once` in any case. That it cannot is said once.
    void save(Time now, bool at_once = false);

    void add(Moment at, const attribute::LedgerState& ledger, const poll::Snapshot& snapshot, const PollNews& news);
    /// The ledger has forgotten all backends but these.
    void keep(const std::map<attribute::BackendName, attribute::SeriesCounts>& remembered) {
        history_.keep(remembered);
    }
    /// `problem` is empty where the settings were taken.
    void note_reload(Moment at, const std::string& problem);

    [[nodiscard]] history::View view() const { return history_.view(); }
    /// As of the last add().
    [[nodiscard]] const std::shared_ptr<const attribute::Owners>& owners() const { return owners_; }

  private:
    void note_start(Moment at);
    void note_traefiks(Moment at, const std::vector<Watched>& watched);
    void note_alerts(Moment at, const PollNews& news);

    HistoryFile file_;
    history::History history_;
    std::uint64_t saved_events_ = 0;
    std::string problem_;  ///< of the last save
    std::shared_ptr<const attribute::Owners> owners_ = std::make_shared<const attribute::Owners>();
    attribute::SharedCatalogue catalogue_ = std::make_shared<const attribute::Catalogue>();  ///< of the last add()
    bool owners_known_ = false;
    std::optional<std::set<int>> traefiks_;  ///< the pids of the last poll
};

}  // namespace upstat::agent
