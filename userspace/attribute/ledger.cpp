// SPDX-License-Identifier: Apache-2.0
#include "attribute/ledger.hpp"

#include <algorithm>
#include <limits>
#include <ranges>
#include <utility>

namespace upstat::attribute {

namespace {

/// How long a server stays out of the `unmapped` series: the catalogue is often a poll behind a new server, and what is
/// once in `unmapped` can never leave it again.
constexpr Millis unmapped_delay = std::chrono::minutes(1);

constexpr std::uint16_t switching_protocols = 101;

Series series_of(const poll::ResponseKey& response) {
    return {.code = response.code,
            .method = response.method,
            .protocol = response.code == switching_protocols ? Protocol::websocket : Protocol::http};
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

poll::ServerTotals minus(const poll::ServerTotals& from, const poll::ServerTotals& what) {
    poll::ServerTotals left{.responses = minus_each(from.responses, what.responses)};
    for (const auto& count : poll::plain_counts) {
        left.*count.member = minus(from.*count.member, what.*count.member);
    }
    for (const auto& count : poll::reason_counts) {
        left.*count.member = minus_each(from.*count.member, what.*count.member);
    }
    return left;
}

void add(poll::ServerTotals& to, const poll::ServerTotals& what) {
    add_each(to.responses, what.responses);
    for (const auto& count : poll::plain_counts) {
        to.*count.member += what.*count.member;
    }
    for (const auto& count : poll::reason_counts) {
        add_each(to.*count.member, what.*count.member);
    }
}

bool went_back(const LastTotals& last, const poll::ServerTotals& now) {
    Ascending before(last.responses);
    return now.requests < last.requests || std::ranges::any_of(
                                               now.responses,
                                               [&before](const auto& entry) {
                                                   const auto* const count = before.find(entry.first);
                                                   return count != nullptr && entry.second < *count;
                                               });
}

bool went_back(const poll::Routes& last, const poll::Routes& now) {
    return std::ranges::any_of(now, [&last](const auto& route) {
        const auto before = last.find(route.first);
        return before != last.end() && std::ranges::any_of(route.second, [&before](const auto& entry) {
                   const auto known = before->second.find(entry.first);
                   return known != before->second.end() && entry.second < known->second;
               });
    });
}

bool is_same(const LastTotals& last, const poll::ServerTotals& now) {
    return now.requests == last.requests && now.responses == last.responses;
}

/// The responses whose totals grew.
poll::ResponseCounts grown(const poll::ResponseCounts& now, const poll::ResponseCounts& before) {
    poll::ResponseCounts grown;
    grown.reserve(now.size());
    Ascending known(before);
    for (const auto& [response, count] : now) {
        if (const auto* const last = known.find(response); last == nullptr || *last != count) {
            grown.emplace_hint(grown.end(), response, count);
        }
    }
    return grown;
}

poll::Routes grown(const poll::Routes& now, const poll::Routes& before) {
    poll::Routes all;
    for (const auto& [number, responses] : now) {
        const auto known = before.find(number);
        if (auto some = known == before.end() ? responses : grown(responses, known->second); !some.empty()) {
            all.emplace(number, std::move(some));
        }
    }
    return all;
}

const poll::Routes& at(const poll::Routed& routed, const poll::Server& server) {
    static const poll::Routes none;
    const auto found = routed.find(server);
    return found == routed.end() ? none : found->second;
}

std::vector<poll::Server> all_listed(const Catalogue& catalogue) {
    const auto owners = owners_in(catalogue);
    const auto servers = std::views::keys(owners);
    return {servers.begin(), servers.end()};
}

}  // namespace

poll::ServerTotals completed(poll::ServerTotals totals) {
    totals.requests = std::min(totals.requests, totals.response_sum() + totals.unanswered_sum());
    return totals;
}

bool LedgerState::operator==(const LedgerState& other) const {
    return *catalogue == *other.catalogue && backends == other.backends && owners == other.owners &&
           last == other.last && unclaimed == other.unclaimed && unknown_since == other.unknown_since &&
           folded == other.folded && unmapped == other.unmapped && route_names == other.route_names &&
           last_routed == other.last_routed && unlisted_backends == other.unlisted_backends &&
           unlisted_servers == other.unlisted_servers;
}

Ledger::Ledger(LedgerState state)
    : state_(std::move(state)), listed_(all_listed(*state_.catalogue)), streams_(streams_in(*state_.catalogue)) {
    for (std::uint16_t number = 0; const auto& name : state_.route_names) {
        ++number;
        if (!name.name.empty()) {
            route_numbers_.emplace(name, number);
        }
    }
}

Counts Ledger::absorb(const poll::Snapshot& snapshot, SharedCatalogue catalogue) {
    skip_numbers(snapshot.routed);
    if (catalogue != state_.catalogue && *catalogue != *state_.catalogue) {
        set_catalogue(std::move(catalogue));
    }
    state_.last.insert_missing(std::views::keys(snapshot.servers));
    Ascending last(state_.last);
    Ascending owners(state_.owners);
    SeriesCounts counts;
    auto credited = state_.backends.end();
    for (const auto& [server, totals] : snapshot.servers) {
        take_increments(server, last[server], totals, counts);
        if (const auto routed = snapshot.routed.find(server); routed != snapshot.routed.end()) {
            take_routed(server, routed->second, counts);
        }
        if (const auto* const names = owners.find(server)) {
            credited = credit(*names, server.zone, counts, credited);
        } else if (std::ranges::binary_search(streams_, server)) {
            leave_out(server, totals);
        } else {
            add_each(state_.unclaimed[server], counts);
            add_to_unmapped(server, totals, snapshot.at);
        }
    }
    Counts result{.at = snapshot.at, .backends = {}};
    Ascending counters(state_.backends);
    for (const auto& [name, backend] : state_.catalogue->backends) {
        result.backends.emplace_hint(result.backends.end(), name, counters[name]);
    }
    return result;
}

void Ledger::set_catalogue(SharedCatalogue catalogue) {
    state_.catalogue = std::move(catalogue);
    listed_.clear();
    streams_ = streams_in(*state_.catalogue);
    auto listed = owners_in(*state_.catalogue);
    state_.owners.insert_missing(std::views::keys(listed));
    for (auto& [server, names] : listed) {
        listed_.push_back(server);
        // A new server is often used before the poll that first sees it listed: that traffic is its first owner's.
        if (const auto waiting = state_.unclaimed.extract(server)) {
            credit(names, server.zone, waiting.mapped(), state_.backends.end());
        }
        state_.unknown_since.erase(server);
        state_.owners[server] = std::move(names);
    }
    for (const auto& [name, backend] : state_.catalogue->backends) {
        for (const auto& route : backend.routes) {
            give_number({route.backend, name.zone});
        }
    }
}

void Ledger::give_number(const BackendName& backend) {
    constexpr std::size_t most = std::numeric_limits<std::uint16_t>::max();
    if (!backend.name.empty() && !route_numbers_.contains(backend) && state_.route_names.size() < most) {
        state_.route_names.push_back(backend);
        route_numbers_[backend] = static_cast<std::uint16_t>(state_.route_names.size());
    }
}

/// Numbers that the kernel counts by, and that this ledger does not know: the state was lost. They are nobody's.
void Ledger::skip_numbers(const poll::Routed& routed) {
    for (const auto& [server, routes] : routed) {
        if (!routes.empty() && routes.rbegin()->first > state_.route_names.size()) {
            state_.route_names.resize(routes.rbegin()->first);
        }
    }
}

std::uint16_t Ledger::route_of(const BackendName& backend) const {
    const auto found = route_numbers_.find(backend);
    return found == route_numbers_.end() ? std::uint16_t{0} : found->second;
}

/// Credits what came by routes since the last totals to their backends, and takes it out of `counts`.
void Ledger::take_routed(const poll::Server& server, const poll::Routes& routes, SeriesCounts& counts) {
    auto& last = state_.last_routed[server];
    for (const auto& [number, responses] : routes) {
        const auto& name = state_.route_names.at(number - 1);
        SeriesCounts grown;
        for (const auto& [response, count] : responses) {
            auto& known = last[number][response];
            if (const auto more = minus(count, std::exchange(known, count)); more != 0 && !name.name.empty()) {
                grown.emplace_hint(grown.end(), series_of(response), more);
            }
        }
        if (!grown.empty()) {
            counts = minus_each(std::move(counts), grown);
            add_each(state_.backends[name], grown);
        }
    }
}

/// Begins at the backend that was given to last, and returns the one that is now: neighbours are often of one backend.
Ledger::Backends::iterator Ledger::credit(const Owners& owners, std::uint16_t zone, const SeriesCounts& counts,
                                          Backends::iterator last) {
    for (const auto& owner : owners) {
        if (last == state_.backends.end() || last->first.zone != zone || last->first.name != owner) {
            last = state_.backends.try_emplace(BackendName(owner, zone)).first;
        }
        add_each(last->second, counts);
    }
    return last;
}

/// What the totals grew since the last ones, in place of what `counts` held.
void Ledger::take_increments(const poll::Server& server, LastTotals& last, const poll::ServerTotals& totals,
                             SeriesCounts& counts) {
    bool back = totals.requests < last.requests;
    counts.clear();
    Ascending before(last.responses);
    for (const auto& [response, count] : totals.responses) {
        auto& known = before[response];
        back |= count < known;
        counts.emplace_hint(counts.end(), series_of(response), count - std::exchange(known, count));
    }
    last.requests = totals.requests;
    if (back) {  // the maps are new: all is increment
        last.responses = totals.responses;
        state_.folded.erase(server);
        state_.last_routed.erase(server);
        counts.clear();
        for (const auto& [response, count] : totals.responses) {
            counts.emplace_hint(counts.end(), series_of(response), count);
        }
    }
}

void Ledger::leave_out(const poll::Server& server, const poll::ServerTotals& totals) {
    state_.unclaimed.erase(server);
    state_.unknown_since.erase(server);
    state_.folded[server] = completed(totals);
}

void Ledger::add_to_unmapped(const poll::Server& server, const poll::ServerTotals& totals, Time at) {
    const auto since = state_.unknown_since.try_emplace(server, at).first->second;
    if (at - since < unmapped_delay) {
        return;
    }
    const auto now = completed(totals);
    auto& before = state_.folded[server];
    if (before == now) {
        return;  // what was left out adds no series at 0
    }
    add(state_.unmapped, minus(now, before));
    before = now;
}

/// Whether absorbing this would leave everything as it is. What is not folded yet may be, merely with time.
bool Ledger::is_unchanged_unknown(const poll::Server& server, const poll::ServerTotals& totals) const {
    const auto part = state_.folded.find(server);
    return part != state_.folded.end() && part->second == completed(totals);
}

ServerView Ledger::view(poll::Snapshot snapshot) const {
    ServerView view{.servers = std::move(snapshot.servers), .unmapped = state_.unmapped, .streams = streams_};
    Ascending owners(state_.owners);
    std::erase_if(view.streams, [this](const poll::Server& server) { return state_.owners.contains(server); });
    erase_if(view.servers, [&owners](const auto& entry) { return owners.find(entry.first) == nullptr; });
    for (const auto& [server, part] : state_.folded) {
        if (const auto shown = view.servers.find(server); shown != view.servers.end()) {
            shown->second = minus(shown->second, part);
        }
    }
    view.servers.insert_missing(listed_);
    return view;
}

void Ledger::maps_made_anew() {
    state_.last.clear();
    state_.last_routed.clear();
    state_.folded.clear();
}

std::optional<Growth> Ledger::growth(const poll::Snapshot& snapshot, const Catalogue& catalogue) const {
    if (&catalogue != state_.catalogue.get() && catalogue != *state_.catalogue) {
        return std::nullopt;
    }
    const LastTotals none;
    Growth growth{.at = snapshot.at, .grown = {}, .unknown = {}};
    growth.grown.reserve(snapshot.servers.size());
    Ascending known(state_.last);
    Ascending owners(state_.owners);
    for (const auto& [server, totals] : snapshot.servers) {
        const auto* const found = known.find(server);
        const auto& last = found == nullptr ? none : *found;
        const auto& routes = at(snapshot.routed, server);
        const auto& last_routes = at(state_.last_routed, server);
        if (went_back(last, totals) || went_back(last_routes, routes)) {
            return std::nullopt;
        }
        const bool same = found != nullptr && is_same(last, totals);
        if (owners.find(server) != nullptr) {
            if (!same) {
                growth.grown.push_back({.server = server,
                                        .requests = totals.requests,
                                        .responses = grown(totals.responses, last.responses),
                                        .routes = grown(routes, last_routes)});
            }
        } else if (!same || !is_unchanged_unknown(server, totals)) {
            growth.unknown.emplace_hint(growth.unknown.end(), server, totals);
        }
    }
    return growth;
}

Counts Ledger::absorb(const Growth& growth) {
    poll::Snapshot snapshot{.at = growth.at, .servers = growth.unknown};
    for (const auto& grown : growth.grown) {
        auto& totals = snapshot.servers[grown.server];
        totals.requests = grown.requests;
        totals.responses = grown.responses;
        if (!grown.routes.empty()) {
            snapshot.routed[grown.server] = grown.routes;
        }
    }
    return absorb(snapshot, state_.catalogue);
}

}  // namespace upstat::attribute
