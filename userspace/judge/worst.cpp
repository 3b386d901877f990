// SPDX-License-Identifier: Apache-2.0
#include "judge/worst.hpp"

#include <map>
#include <utility>

namespace upstat::judge {

namespace {

using ResponsesByCode = std::map<std::uint16_t, std::uint64_t>;

ResponsesByCode by_code(const poll::ResponseCounts& responses, const measure::CodeSet& codes) {
    ResponsesByCode counts;
    for (const auto& [response, count] : responses) {
        if (codes.matches(response.code)) {
            counts[response.code] += count;
        }
    }
    return counts;
}

}  // namespace

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
        auto earlier = then == before.end() ? ResponsesByCode() : by_code(then->second, codes);
        for (const auto& [code, total] : by_code(now->second.responses, codes)) {
            // Totals that went down were made anew in between: all of them are since then.
            const auto count = total >= earlier[code] ? total - earlier[code] : total;
            if (count > (most ? most->count : 0)) {
                most = Worst{.server = to_string(server), .code = code, .count = count};
            }
        }
    }
    return most;
}

void Past::add(const poll::Snapshot& snapshot) {
    if (!newer_ || snapshot.at - at_ >= window_) {
        auto now = std::make_shared<const ResponsesByServer>(responses_of(snapshot));
        older_ = newer_ ? newer_ : now;
        newer_ = std::move(now);
        at_ = snapshot.at;
    }
}

}  // namespace upstat::judge
