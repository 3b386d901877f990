// SPDX-License-Identifier: Apache-2.0
#include "judge/worst.hpp"

#include <map>
#include <utility>

namespace upstat::judge {

namespace {

ResponsesByCode by_code(const poll::ResponseCounts& responses) {
    ResponsesByCode counts;
    for (const auto& [response, count] : responses) {
        counts[response.code] += count;
    }
    return counts;
}

}  // namespace

ResponsesByCode growth(const poll::ResponseCounts& before, const poll::ResponseCounts& after) {
    auto earlier = by_code(before);
    auto grown = by_code(after);
    for (auto& [code, total] : grown) {
        total = total >= earlier[code] ? total - earlier[code] : total;
    }
    return grown;
}

poll::ResponseCounts grown(const poll::ResponseCounts& before, poll::ResponseCounts after) {
    for (auto& [key, count] : after) {
        const auto known = before.find(key);
        const auto earlier = known == before.end() ? 0 : known->second;
        count = count >= earlier ? count - earlier : count;
    }
    return after;
}

ResponsesByServer responses_of(const poll::Snapshot& snapshot) {
    ResponsesByServer responses;
    for (const auto& [server, totals] : snapshot.servers) {
        responses.emplace_hint(responses.end(), server, totals.responses);
    }
    return responses;
}

namespace {

/// Takes in a server's responses of these codes that are more than `most`.
void take_more(std::optional<Worst>& most, const poll::Server& server, const ResponsesByCode& grown,
               const measure::CodeSet& codes) {
    for (const auto& [code, count] : grown) {
        if (codes.matches(code) && count > (most ? most->count : 0)) {
            most = Worst{.server = to_string(server), .code = code, .count = count};
        }
    }
}

const poll::ResponseCounts& came_by(const poll::Routed& routed, const poll::Server& server, std::uint16_t route) {
    static const poll::ResponseCounts none;
    const auto routes = routed.find(server);
    if (routes == routed.end()) {
        return none;
    }
    const auto found = routes->second.find(route);
    return found == routes->second.end() ? none : found->second;
}

}  // namespace

std::optional<Worst> worst(const ResponsesByServer& before, const poll::Snapshot& after,
                           const std::set<poll::Server>& servers, const measure::CodeSet& codes) {
    std::optional<Worst> most;
    for (const auto& server : servers) {
        const auto now = after.servers.find(server);
        if (now == after.servers.end()) {
            continue;
        }
        const auto then = before.find(server);
        const auto earlier = then == before.end() ? poll::ResponseCounts() : then->second;
        take_more(most, server, growth(earlier, now->second.responses), codes);
    }
    return most;
}

Routed routed_since(const poll::Routed& before, const poll::Routed& after,
                    const std::vector<attribute::BackendName>& names) {
    Routed all;
    for (const auto& [server, routes] : after) {
        for (const auto& [route, responses] : routes) {
            if (route <= names.size() && !names[route - 1U].name.empty()) {
                all[names[route - 1U]][server] = grown(came_by(before, server, route), responses);
            }
        }
    }
    return all;
}

std::optional<Worst> worst(const SharedResponses& responses, const measure::CodeSet& codes) {
    std::optional<Worst> most;
    for (const auto& [server, counts] : responses) {
        take_more(most, server, by_code(counts), codes);
    }
    return most;
}

void Past::add(const poll::Snapshot& snapshot) {
    if (!newer_ || snapshot.at - at_ >= window_) {
        auto now = std::make_shared<const ResponsesByServer>(responses_of(snapshot));
        since_ = newer_ ? at_ : snapshot.at;
        older_ = newer_ ? newer_ : now;
        older_routed_ = newer_ ? newer_routed_ : snapshot.routed;
        newer_ = std::move(now);
        newer_routed_ = snapshot.routed;
        at_ = snapshot.at;
    }
}

}  // namespace upstat::judge
