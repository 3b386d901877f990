// SPDX-License-Identifier: Apache-2.0
#include "measure/worst.hpp"

#include <map>

namespace upstat {

namespace {

using AnswersByCode = std::map<std::uint16_t, std::uint64_t>;

AnswersByCode by_code(const Answers& answers, const CodeSet& codes) {
    AnswersByCode counts;
    for (const auto& [answer, count] : answers) {
        if (codes.matches(answer.code)) {
            counts[answer.code] += count;
        }
    }
    return counts;
}

}  // namespace

AnswersByServer answers_of(const Snapshot& snapshot) {
    AnswersByServer answers;
    for (const auto& [server, totals] : snapshot.servers) {
        answers.emplace_hint(answers.end(), server, totals.answers);
    }
    return answers;
}

std::optional<Worst> worst(const AnswersByServer& before, const Snapshot& after, const std::set<Server>& servers,
                           const CodeSet& codes) {
    std::optional<Worst> most;
    for (const auto& server : servers) {
        const auto now = after.servers.find(server);
        if (now == after.servers.end()) {
            continue;
        }
        const auto then = before.find(server);
        auto earlier = then == before.end() ? AnswersByCode() : by_code(then->second, codes);
        for (const auto& [code, total] : by_code(now->second.answers, codes)) {
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
