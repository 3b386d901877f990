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

ResponsesByServer responses_of(const poll::Snapshot& snapshot) {
    ResponsesByServer responses;
    for (const auto& [server, totals] : snapshot.servers) {
        responses.emplace_hint(responses.end(), server, totals.responses);
    }
    return responses;
}

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
        for (const auto& [code, count] : growth(earlier, now->second.responses)) {
            if (codes.matches(code) && count > (most ? most->count : 0)) {
                most = Worst{.server = to_string(server), .code = code, .count = count};
            }
        }
    }
    return most;
}

void Past::add(const poll::Snapshot& snapshot) {
    if (!newer_ || snapshot.at - at_ >= window_) {
        auto now = std::make_shared<const ResponsesByServer>(responses_of(snapshot));
        since_ = newer_ ? at_ : snapshot.at;
        older_ = newer_ ? newer_ : now;
        newer_ = std::move(now);
        at_ = snapshot.at;
    }
}

}  // namespace upstat::judge
