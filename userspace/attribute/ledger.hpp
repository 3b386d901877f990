// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attribute/counts.hpp"
#include "base/error.hpp"
#include "poll/snapshot.hpp"

namespace upstat {

/// What the server-level series show.
struct ServerView {
    Servers servers;        ///< listed now or once; those listed now are there without traffic too
    ServerTotals unmapped;  ///< every server that no catalogue knew, as one; only grows
    bool operator==(const ServerView&) const = default;
};

/// Whose answer is it, over time.
///
/// The kernel's totals are per server. A backend's counter is the sum of the increments between snapshots, each given
/// to every backend that lists the server in the catalogue at hand, or, where none does, that listed it last: a
/// connection outlives its server's listing, and its late answers are still those of the backend that opened it. So a
/// server that moves takes nothing along, and one that is removed takes nothing away.
///
/// A backend that no catalogue lists any more leaves Counts, as a removed series leaves a target, but its counters are
/// kept: it goes on from them when it comes back.
class Ledger {
  public:
    /// Takes in one poll. Times and totals of successive snapshots only grow; a server whose total went back comes from
    /// new maps, and its whole new value is the increment. Hand in the last good catalogue when there is no newer one.
    Counts absorb(const Snapshot& snapshot, SharedCatalogue catalogue);

    /// The server-level series of a snapshot that has been absorbed.
    [[nodiscard]] ServerView view(Snapshot snapshot) const;

    /// What a ledger like this one has to be told to become what absorb() is about to make of this one, as the members
    /// of a JSON object. Nothing when more is new than counts that grew: then the whole ledger is to be saved.
    [[nodiscard]] std::optional<std::string> record(const Snapshot& snapshot, const Catalogue& catalogue) const;

    /// Absorbs what record() wrote. What is no such record throws an exception.
    Counts absorb_record(const nlohmann::json& record);

    /// Every backend's counters as they stand, also of backends that no catalogue lists any more.
    [[nodiscard]] const std::map<std::string, SeriesCounts>& counters() const { return backends_; }

    /// The catalogue last absorbed; after a restart, the saved one.
    [[nodiscard]] const SharedCatalogue& catalogue() const { return catalogue_; }

    /// The kernel's maps were made anew: what comes next counts from 0. The backends' counters go on.
    void maps_made_anew();

    /// Appends what from_json() understands.
    void append_json(std::string& text) const;
    static Result<Ledger> from_json(const nlohmann::json& saved);

    bool operator==(const Ledger& other) const;

  private:
    /// The part of the last kernel totals that the next increments are told from.
    struct Last {
        std::uint64_t requests = 0;
        Answers answers;
        bool operator==(const Last&) const = default;
        [[nodiscard]] bool went_back(const ServerTotals& now) const;
        [[nodiscard]] bool is(const ServerTotals& now) const;
    };

    using Backends = std::map<std::string, SeriesCounts>;

    void learn(SharedCatalogue catalogue);
    Backends::iterator give(const std::set<std::string>& owners, const SeriesCounts& counts, Backends::iterator last);
    void take_increments(const Server& server, Last& last, const ServerTotals& totals, SeriesCounts& counts);
    [[nodiscard]] bool changes_nothing(const Server& server, const ServerTotals& totals) const;
    void fold(const Server& server, const ServerTotals& totals, Time at);
    static Ledger parsed(const nlohmann::json& saved);

    SharedCatalogue catalogue_ = std::make_shared<const Catalogue>();
    Backends backends_;
    std::vector<Server> listed_;                     ///< in the catalogue, ascending
    FlatMap<Server, std::set<std::string>> owners_;  ///< now, or when it was last listed
    FlatMap<Server, Last> last_;
    std::map<Server, SeriesCounts> unclaimed_;  ///< of servers that no catalogue has listed yet
    std::map<Server, Time> unknown_since_;
    std::map<Server, ServerTotals> folded_;  ///< the part of a server's totals that is in unmapped_
    ServerTotals unmapped_;
};

}  // namespace upstat
