// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attribute/catalogue.hpp"
#include "attribute/counts.hpp"
#include "poll/snapshot.hpp"

namespace upstat::attribute {

/// What the server-level series show.
struct ServerView {
    poll::Servers servers;              ///< listed now or once; those listed now are there without traffic too
    poll::ServerTotals unmapped;        ///< every server that no catalogue knew, as one; only grows
    std::vector<poll::Server> streams;  ///< left out: TCP and UDP services list them now, and no backend ever did
    bool operator==(const ServerView&) const = default;
};

/// The part of a server's last totals that its next increments are told from.
struct LastTotals {
    std::uint64_t requests = 0;
    poll::ResponseCounts responses;
    bool operator==(const LastTotals&) const = default;
};

/// A backend or a server that no catalogue lists any more.
struct Unlisted {
    Time since;                  ///< or since when nothing is asked of the server
    std::uint64_t activity = 0;  ///< of a server: what was counted by then
    bool operator==(const Unlisted&) const = default;
};

/// The backends that list each server, or listed it last.
using Owners = FlatMap<poll::Server, std::set<std::string>>;

/// All that a ledger knows: what is saved and restored.
struct LedgerState {
    SharedCatalogue catalogue = std::make_shared<const Catalogue>();  ///< the one last absorbed
    std::map<BackendName, SeriesCounts> backends;  ///< also of backends that no catalogue lists any more
    Owners owners;                                 ///< all of the server's zone
    FlatMap<poll::Server, LastTotals> last;
    std::map<poll::Server, SeriesCounts> unclaimed;  ///< of servers that no catalogue has listed yet
    std::map<poll::Server, Time> unknown_since;
    /// The part of a server's totals that is in `unmapped`, or was left out while a TCP service listed the server.
    std::map<poll::Server, poll::ServerTotals> folded;
    poll::ServerTotals unmapped;
    std::vector<BackendName>
        route_names{};           ///< by a route's number - 1, which is given once; empty: not known any more
    poll::Routed last_routed{};  ///< as `last`, the part of it that came by routes
    std::map<BackendName, Unlisted> unlisted_backends{};  ///< of `backends`, as forget() saw them last
    std::map<poll::Server, Unlisted> unlisted_servers{};  ///< of `owners`, likewise

    bool operator==(const LedgerState& other) const;
};

/// What one poll changed in a ledger whose catalogue stayed as it was and whose totals only grew.
struct Growth {
    struct Grown {
        poll::Server server;
        std::uint64_t requests = 0;      ///< the new total
        poll::ResponseCounts responses;  ///< the new totals of those that grew
        poll::Routes routes{};           ///< likewise, of the part that came by routes
        bool operator==(const Grown&) const = default;
    };
    Time at;
    std::vector<Grown> grown;  ///< of servers that a backend lists or listed
    poll::Servers unknown;     ///< of the others: all totals, because they are folded in full
};

/// Without the requests that still wait for a response. They are folded when it comes: were they folded before it, and
/// the server listed in between, `unmapped` would show them outstanding for ever and the server fewer than none.
poll::ServerTotals completed(poll::ServerTotals totals);

/// Attributes per-server totals to backends across catalogue changes.
///
/// The kernel's totals are per server. A backend's counter is the sum of the increments between snapshots, each
/// credited to every backend that lists the server in the catalogue at hand, or, where none does, that listed it last:
/// a connection outlives its server's listing, and its late responses are still those of the backend that opened it.
/// So a server that moves takes nothing along, and one that is removed takes nothing away.
///
/// What goes to a server that only TCP or UDP services list is no HTTP of Traefik's and is left out. Once a backend has
/// listed a server, it stays HTTP's.
///
/// Where several backends list a server, one that stands for them does (shared.hpp). What came by a route of one of
/// them is that one's, and not the former's.
///
/// A backend that no catalogue lists any more leaves Counts, as a removed series leaves a target, but its counters are
/// kept until it is forgotten: it goes on from them when it comes back.
class Ledger {
  public:
    Ledger() : Ledger(LedgerState{}) {}
    explicit Ledger(LedgerState state);

    /// Takes in one poll. Times and totals of successive snapshots only grow; a server whose total went back comes from
    /// new maps, and its whole new value is the increment. Hand in the last good catalogue when there is no newer one.
    Counts absorb(const poll::Snapshot& snapshot, SharedCatalogue catalogue);

    /// The server-level series of a snapshot that has been absorbed.
    [[nodiscard]] ServerView view(poll::Snapshot snapshot) const;

    /// What absorb() is about to change. Nothing when more is new than totals that grew: then the whole state is to be
    /// saved.
    [[nodiscard]] std::optional<Growth> growth(const poll::Snapshot& snapshot, const Catalogue& catalogue) const;

    /// Absorbs what growth() gave, in a ledger with the same state.
    Counts absorb(const Growth& growth);

    /// By which number the kernel is to count what is told to be a backend's; 0 where there are no more numbers. A
    /// backend that the routes of a catalogue name has one from when that catalogue was absorbed.
    [[nodiscard]] std::uint16_t route_of(const BackendName& backend) const;

    /// Forgets backends and servers that no catalogue has listed for so long, and the longest unlisted of very many.
    /// Give the snapshot that was absorbed last. True if the state is another one now: then the whole of it is to be
    /// saved.
    bool forget(const poll::Snapshot& snapshot, Millis after);

    /// The kernel's maps were made anew: what comes next counts from 0. The backends' counters go on.
    void maps_made_anew();

    [[nodiscard]] const LedgerState& state() const { return state_; }

    bool operator==(const Ledger& other) const { return state_ == other.state_; }

  private:
    using Backends = std::map<BackendName, SeriesCounts>;
    using Owners = std::set<std::string>;

    void set_catalogue(SharedCatalogue catalogue);
    Backends::iterator credit(const Owners& owners, std::uint16_t zone, const SeriesCounts& counts,
                              Backends::iterator last);
    void take_increments(const poll::Server& server, LastTotals& last, const poll::ServerTotals& totals,
                         SeriesCounts& counts);
    void take_routed(const poll::Server& server, const poll::Routes& routes, SeriesCounts& counts);
    void give_number(const BackendName& backend);
    void skip_numbers(const poll::Routed& routed);
    [[nodiscard]] bool is_unchanged_unknown(const poll::Server& server, const poll::ServerTotals& totals) const;
    void leave_out(const poll::Server& server, const poll::ServerTotals& totals);
    void add_to_unmapped(const poll::Server& server, const poll::ServerTotals& totals, Time at);
    bool note_unlisted(const poll::Snapshot& snapshot);
    bool forget_servers(const poll::Snapshot& snapshot, Time latest);
    bool forget_backends(Time latest);

    LedgerState state_;
    std::vector<poll::Server> listed_;   ///< in the catalogue, ascending
    std::vector<poll::Server> streams_;  ///< in the catalogue and no backend's, ascending
    std::map<BackendName, std::uint16_t> route_numbers_;
};

}  // namespace upstat::attribute
