// SPDX-License-Identifier: Apache-2.0
#include "judge/outage.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <set>

#include "judge/reasons.hpp"
#include "judge/sentence.hpp"

namespace upstat::judge {

namespace {

/// "1 request", "2 requests".
std::string counted(std::int64_t count, std::string_view what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

poll::Reasons failures_since(const poll::Reasons& before, const poll::Reasons& after) {
    poll::Reasons grown;
    for (const auto& [reason, count] : after) {
        const auto earlier = before.find(reason);
        const auto more = earlier == before.end() || earlier->second > count ? count : count - earlier->second;
        if (more != 0 && tells_of_server(reason)) {
            grown[reason] = more;
        }
    }
    return grown;
}

/// What the servers of a backend did instead of giving responses.
struct Failures {
    std::map<std::string, double> per_second;
    std::map<std::string, std::uint64_t> counts;

    void add(const poll::Reasons& reasons, double seconds) {
        for (const auto& [reason, count] : reasons) {
            counts[reason] += count;
            per_second[reason] += static_cast<double>(count) / seconds;
        }
    }

    /// "36 connects a second refused", or "3 connects refused" where they are few.
    [[nodiscard]] std::string text(std::string_view what, std::string_view link) const {
        std::string text;
        for (const auto& [reason, count] : counts) {
            const auto rate = per_second.at(reason);
            text += rate < 1 ? fmt::format(", {}{}{}", counted(static_cast<std::int64_t>(count), what), link, reason)
                             : fmt::format(", {:.0f} {}s a second{}{}", rate, what, link, reason);
        }
        return text;
    }
};

}  // namespace

void Silences::look(const poll::Snapshot& snapshot) {
    at_ = snapshot.at;
    if (servers_.size() != snapshot.servers.size()) {  // servers come, and all go when maps are made anew
        erase_if(servers_, [&](const auto& entry) { return !snapshot.servers.contains(entry.first); });
        servers_.insert_missing(snapshot.servers | std::views::keys);
    }
    Ascending known(servers_);
    for (const auto& [server, totals] : snapshot.servers) {
        look(known[server], totals);
    }
}

void Silences::look(Silence& silence, const poll::ServerTotals& totals) {
    const auto responses = totals.response_sum();
    if (responses != silence.responses || silence.since == Time{}) {
        silence = {.since = at_,
                   .responses = responses,
                   .connect_failures = totals.connect_failures,
                   .unanswered = totals.unanswered,
                   .failed = {}};
        return;
    }
    auto connects = failures_since(silence.connect_failures, totals.connect_failures);
    auto requests = failures_since(silence.unanswered, totals.unanswered);
    if (connects != silence.connects_failed || requests != silence.requests_failed) {
        silence.failed = at_;
        silence.connects_failed = std::move(connects);
        silence.requests_failed = std::move(requests);
    }
    silence.outstanding = totals.outstanding();
    silence.unreadable = responses == 0 && !totals.unread.empty();
}

/// A failure of long ago is none while nobody asks, and where responses cannot be read their absence tells nothing.
bool Silences::fails_since(const Silence& silence, Time since) const {
    const bool lately = silence.failed > since && at_ - silence.failed < patience_;
    return !silence.unreadable && (lately || (silence.outstanding > 0 && at_ - since >= patience_));
}

bool Silences::is_failing(const Silence& silence) const {
    return fails_since(silence, silence.since);
}

Outages Silences::outages(const attribute::Catalogue& catalogue) const {
    Outages outages;
    if (std::ranges::none_of(servers_, [this](const auto& entry) { return is_failing(entry.second); })) {
        return outages;
    }
    for (const auto& [name, backend] : catalogue.backends) {
        if (auto text = of(backend); !text.empty()) {
            outages.emplace(name, std::move(text));
        }
    }
    return outages;
}

std::vector<const Silences::Silence*> Silences::servers_of(const attribute::Backend& backend) const {
    std::set<poll::Server> servers;
    for (const auto& listed : backend.listed) {
        servers.insert(listed.servers.begin(), listed.servers.end());
    }
    std::vector<const Silence*> silences;
    for (const auto& server : servers) {
        if (const auto found = servers_.find(server); found != servers_.end()) {
            silences.push_back(&found->second);
        }
    }
    return silences;
}

/// A server that failed before the backend's last response is no outage: Traefik asked the next one.
std::string Silences::of(const attribute::Backend& backend) const {
    const auto silences = servers_of(backend);
    const auto since =
        silences.empty() ? at_
                         : (*std::ranges::max_element(silences, {}, [](const auto* one) { return one->since; }))->since;
    const bool out =
        std::ranges::any_of(silences, [&](const Silence* silence) { return fails_since(*silence, since); });
    if (!out) {
        return {};
    }
    Failures connects;
    Failures requests;
    std::int64_t outstanding = 0;
    for (const auto* const silence : silences) {
        const auto seconds = static_cast<double>((at_ - silence->since).count()) / 1000;
        connects.add(silence->connects_failed, seconds);
        requests.add(silence->requests_failed, seconds);
        outstanding += silence->outstanding;
    }
    return "no responses for " + duration_text(std::chrono::floor<std::chrono::seconds>(at_ - since)) +
           connects.text("connect", " ") + requests.text("request", " unanswered: ") +
           (outstanding > 0 ? fmt::format(", {} wait for one", counted(outstanding, "request")) : "");
}

}  // namespace upstat::judge
