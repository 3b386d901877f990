// SPDX-License-Identifier: Apache-2.0
#include "judge/unserved.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "judge/reasons.hpp"

namespace upstat::judge {

namespace {

/// Totals that went down were made anew: all of them are since then.
std::uint64_t grown(std::uint64_t before, std::uint64_t after) {
    return after >= before ? after - before : after;
}

}  // namespace

Unserved::Tally& Unserved::Tally::operator+=(const Tally& other) {
    connect_failures += other.connect_failures;
    unanswered += other.unanswered;
    given_up += other.given_up;
    return *this;
}

std::uint64_t Unserved::Tally::of(Share share) const {
    return share == Share::connect_failures ? connect_failures : unanswered;
}

void Unserved::continue_from(Unserved previous) {
    std::swap(previous.window_, window_);
    std::swap(*this, previous);
}

Unserved::Tally Unserved::tally(const poll::ServerTotals& totals) {
    Tally tally;
    for (const auto& [reason, count] : totals.connect_failures) {
        tally.connect_failures += count;
    }
    for (const auto& [reason, count] : totals.unanswered) {
        (tells_of_server(reason) ? tally.unanswered : tally.given_up) += count;
    }
    return tally;
}

void Unserved::look(const poll::Snapshot& snapshot) {
    at_ = snapshot.at;
    for (const auto& [server, totals] : snapshot.servers) {
        if (!totals.connect_failures.empty() || !totals.unanswered.empty()) {
            look(server, totals);
        }
    }
    began_ = began_.value_or(at_);
    std::erase_if(servers_, [&](const auto& entry) { return !snapshot.servers.contains(entry.first); });
    for (auto& [server, known] : servers_) {
        while (!known.growths.empty() && at_ - known.growths.front().at >= window_) {
            known.growths.pop_front();
        }
    }
}

/// What a server had at our first look is of any time before. Later it comes with nothing.
void Unserved::look(const poll::Server& server, const poll::ServerTotals& totals) {
    auto& known = servers_[server];
    const auto now = tally(totals);
    const Tally since{.connect_failures = grown(known.totals.connect_failures, now.connect_failures),
                      .unanswered = grown(known.totals.unanswered, now.unanswered),
                      .given_up = grown(known.totals.given_up, now.given_up)};
    known.totals = now;
    if (began_ && since.sum() != 0) {
        known.growths.push_back({.at = at_, .since = since});
    }
}

Unserved::Tally Unserved::within(const Server& server, Millis window) const {
    Tally sum;
    for (const auto& growth : server.growths) {
        if (at_ - growth.at < window) {
            sum += growth.since;
        }
    }
    return sum;
}

namespace {

/// Of all responses that came from its servers, or more. Of one that stands for several, some are theirs.
double answered_rate(const attribute::BackendName& name, const attribute::Backend& backend,
                     const measure::Ratios& responses) {
    std::set<attribute::BackendName> all{name};
    for (const auto& one : backend.stands_for) {
        all.insert({one, name.zone});
    }
    double rate = 0;
    for (const auto& one : all) {
        const auto answered = responses.backends.find(one);
        rate += answered == responses.backends.end() ? 0 : answered->second.all.value_or(0);
    }
    return rate;
}

}  // namespace

measure::Ratios Unserved::ratios(const Rule& rule, const attribute::Catalogue& catalogue,
                                 const measure::Ratios& responses) const {
    measure::Ratios ratios{.at = at_, .backends = {}, .filling = !began_ || at_ - *began_ < rule.window};
    if (servers_.empty()) {
        return ratios;
    }
    const auto seconds = static_cast<double>(rule.window.count()) / 1000;
    for (const auto& [name, backend] : catalogue.backends) {
        Tally sum;
        bool failed = false;
        for (const auto& server : attribute::servers_of(catalogue, name)) {
            if (const auto known = servers_.find(server); known != servers_.end()) {
                sum += within(known->second, rule.window);
                failed = true;
            }
        }
        if (failed) {
            const auto rate = answered_rate(name, backend, responses);
            ratios.backends[name] = {.matching = static_cast<double>(sum.of(rule.share)) / seconds,
                                     .all = rate + static_cast<double>(sum.sum()) / seconds};
        }
    }
    return ratios;
}

std::optional<Worst> Unserved::worst(const Rule& rule, const attribute::Catalogue& catalogue,
                                     const attribute::BackendName& backend) const {
    std::optional<Worst> most;
    for (const auto& server : attribute::servers_of(catalogue, backend)) {
        const auto known = servers_.find(server);
        const auto count = known == servers_.end() ? 0 : within(known->second, rule.window).of(rule.share);
        if (count > (most ? most->count : 0)) {
            most = Worst{.server = to_string(server), .code = 0, .count = count};
        }
    }
    return most;
}

}  // namespace upstat::judge
