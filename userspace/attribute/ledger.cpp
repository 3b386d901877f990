// SPDX-License-Identifier: Apache-2.0
#include "attribute/ledger.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

namespace upstat {

namespace {

/// How long a server stays out of the `unmapped` series: the catalogue is often a poll behind a new server, and what is
/// once in `unmapped` can never leave it again.
constexpr Millis hold_back = std::chrono::minutes(1);

constexpr std::uint16_t switching_protocols = 101;

Series series_of(const Answer& answer) {
    return {.code = answer.code,
            .method = answer.method,
            .protocol = answer.code == switching_protocols ? Protocol::websocket : Protocol::http};
}

std::uint64_t minus(std::uint64_t from, std::uint64_t what) {
    return from > what ? from - what : 0;
}

template <typename Counted>
Counted minus_each(Counted from, const Counted& what) {
    Ascending left(from);
    for (const auto& [key, count] : what) {
        if (auto* const found = left.find(key)) {
            *found = minus(*found, count);
        }
    }
    return from;
}

template <typename Counted>
void add_each(Counted& to, const Counted& what) {
    Ascending sums(to);
    for (const auto& [key, count] : what) {
        sums[key] += count;
    }
}

ServerTotals minus(const ServerTotals& from, const ServerTotals& what) {
    return {.requests = minus(from.requests, what.requests),
            .connects = minus(from.connects, what.connects),
            .answers = minus_each(from.answers, what.answers),
            .unanswered = minus_each(from.unanswered, what.unanswered),
            .unread = minus_each(from.unread, what.unread),
            .connect_failures = minus_each(from.connect_failures, what.connect_failures)};
}

void add(ServerTotals& to, const ServerTotals& what) {
    to.requests += what.requests;
    to.connects += what.connects;
    add_each(to.answers, what.answers);
    add_each(to.unanswered, what.unanswered);
    add_each(to.unread, what.unread);
    add_each(to.connect_failures, what.connect_failures);
}

/// Without the requests that still wait for an answer. They are folded when it comes: were they folded before it, and
/// the server listed in between, `unmapped` would show them outstanding for ever and the server fewer than none.
ServerTotals settled(ServerTotals totals) {
    totals.requests = std::min(totals.requests, totals.answered() + totals.unanswered_sum());
    return totals;
}

std::map<Server, std::set<std::string>> owners_in(const Catalogue& catalogue) {
    std::map<Server, std::set<std::string>> owners;
    for (const auto& [name, backend] : catalogue.backends) {
        for (const auto& listed : backend.listed) {
            for (const auto& server : listed.servers) {
                owners[server].insert(name);
            }
        }
    }
    return owners;
}

}  // namespace

bool Ledger::Last::went_back(const ServerTotals& now) const {
    Ascending before(answers);
    return now.requests < requests || std::ranges::any_of(
                                          now.answers,
                                          [&before](const auto& entry) {
                                              const auto* const count = before.find(entry.first);
                                              return count != nullptr && entry.second < *count;
                                          });
}

bool Ledger::Last::is(const ServerTotals& now) const {
    return now.requests == requests && now.answers == answers;
}

Counts Ledger::absorb(const Snapshot& snapshot, SharedCatalogue catalogue) {
    if (catalogue != catalogue_ && *catalogue != *catalogue_) {
        learn(std::move(catalogue));
    }
    last_.hold(std::views::keys(snapshot.servers));
    Ascending last(last_);
    Ascending owners(owners_);
    SeriesCounts counts;
    auto given = backends_.end();
    for (const auto& [server, totals] : snapshot.servers) {
        take_increments(server, last[server], totals, counts);
        if (const auto* const names = owners.find(server)) {
            given = give(*names, counts, given);
        } else {
            add_each(unclaimed_[server], counts);
            fold(server, totals, snapshot.at);
        }
    }
    Counts result{.at = snapshot.at, .backends = {}};
    Ascending counters(backends_);
    for (const auto& [name, backend] : catalogue_->backends) {
        result.backends.emplace_hint(result.backends.end(), name, counters[name]);
    }
    return result;
}

void Ledger::learn(SharedCatalogue catalogue) {
    catalogue_ = std::move(catalogue);
    listed_.clear();
    auto listed = owners_in(*catalogue_);
    owners_.hold(std::views::keys(listed));
    for (auto& [server, names] : listed) {
        listed_.push_back(server);
        // A new server is often used before the poll that first sees it listed: that traffic is its first owner's.
        if (const auto waiting = unclaimed_.extract(server)) {
            give(names, waiting.mapped(), backends_.end());
        }
        unknown_since_.erase(server);
        owners_[server] = std::move(names);
    }
}

/// Begins at the backend that was given to last, and returns the one that is now: neighbours are often of one backend.
Ledger::Backends::iterator Ledger::give(const std::set<std::string>& owners, const SeriesCounts& counts,
                                        Backends::iterator last) {
    for (const auto& owner : owners) {
        if (last == backends_.end() || last->first != owner) {
            last = backends_.try_emplace(owner).first;
        }
        add_each(last->second, counts);
    }
    return last;
}

/// What the totals grew since the last ones, in place of what `counts` held.
void Ledger::take_increments(const Server& server, Last& last, const ServerTotals& totals, SeriesCounts& counts) {
    if (last.went_back(totals)) {
        last = {};
        folded_.erase(server);
    }
    counts.clear();
    Ascending before(last.answers);
    for (const auto& [answer, count] : totals.answers) {
        counts[series_of(answer)] += count - std::exchange(before[answer], count);
    }
    last.requests = totals.requests;
}

void Ledger::fold(const Server& server, const ServerTotals& totals, Time at) {
    const auto since = unknown_since_.try_emplace(server, at).first->second;
    if (at - since < hold_back) {
        return;
    }
    const auto now = settled(totals);
    auto& before = folded_[server];
    add(unmapped_, minus(now, before));
    before = now;
}

/// Whether absorbing this would leave everything as it is. What is not folded yet may be, merely with time.
bool Ledger::changes_nothing(const Server& server, const ServerTotals& totals) const {
    const auto part = folded_.find(server);
    return part != folded_.end() && part->second == settled(totals);
}

ServerView Ledger::view(Snapshot snapshot) const {
    ServerView view{.servers = std::move(snapshot.servers), .unmapped = unmapped_};
    Ascending owners(owners_);
    erase_if(view.servers, [&owners](const auto& entry) { return owners.find(entry.first) == nullptr; });
    for (const auto& [server, part] : folded_) {
        if (const auto shown = view.servers.find(server); shown != view.servers.end()) {
            shown->second = minus(shown->second, part);
        }
    }
    view.servers.hold(listed_);
    return view;
}

void Ledger::maps_made_anew() {
    last_.clear();
    folded_.clear();
}

bool Ledger::operator==(const Ledger& other) const {
    return *catalogue_ == *other.catalogue_ && backends_ == other.backends_ && owners_ == other.owners_ &&
           last_ == other.last_ && unclaimed_ == other.unclaimed_ && unknown_since_ == other.unknown_since_ &&
           folded_ == other.folded_ && unmapped_ == other.unmapped_;
}

}  // namespace upstat
