// SPDX-License-Identifier: Apache-2.0
#include "measure/worst.hpp"

#include <map>

namespace upstat {

namespace {

using AnswersByCode = std::map<std::uint16_t, std::uint64_t>;

AnswersByCode by_code(const Snapshot& snapshot, const Server& server, const CodeSet& codes) {
    AnswersByCode counts;
    const auto found = snapshot.servers.find(server);
    if (found == snapshot.servers.end()) {
        return counts;
    }
    for (const auto& [answer, count] : found->second.answers) {
        if (codes.matches(answer.code)) {
            counts[answer.code] += count;
        }
    }
    return counts;
}

}  // namespace

std::optional<Worst> worst(const Snapshot& before, const Snapshot& after, const std::set<Server>& servers,
                           const CodeSet& codes) {
    std::optional<Worst> most;
    for (const auto& server : servers) {
        auto earlier = by_code(before, server, codes);
        for (const auto& [code, total] : by_code(after, server, codes)) {
            // Totals that went down were made anew in between: all of them are since then.
            const auto count = total >= earlier[code] ? total - earlier[code] : total;
            if (count > (most ? most->count : 0)) {
                most = Worst{.server = to_string(server), .code = code, .count = count};
            }
        }
    }
    return most;
}

}  // namespace upstat
