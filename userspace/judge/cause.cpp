// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <set>

#include "judge/case.hpp"

namespace upstat::judge {

namespace {

using history::Amounts;
using history::Event;

// What is worth a word where no rule is about it.
constexpr std::uint64_t few = 3;             ///< fewer failures are chance
constexpr double much_failing = 0.05;        ///< of connections, of requests that clients give up
constexpr double much_unanswered = 0.01;     ///< of requests
constexpr double much_bad = 0.05;            ///< of responses
constexpr std::uint64_t many_expected = 20;  ///< responses that should have come and did not

/// When a change of the catalogue can be behind what began at a moment.
constexpr Millis change_before = std::chrono::minutes(10);
constexpr Millis change_after = std::chrono::minutes(1);

double share(std::uint64_t part, std::uint64_t all) {
    return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

std::uint64_t connect_failures(const Amounts& counts) {
    return history::sum_of(counts, "connect_failures");
}

void blame(Case& is, auto&& is_culprit) {
    for (auto& server : is.servers) {
        server.culprit = is_culprit(server);
    }
}

void conclude(Case& is, Cause cause, Severity at_least) {
    is.cause = cause;
    is.severity = std::max(is.severity, at_least);
}

double bad_share(const Case& is, const ServerCase& server) {
    return share(bad_responses(is, server.counts), history::responses_in(server.counts));
}

/// The servers that are about as bad as the worst one, if the others are clearly better.
bool blame_some(Case& is) {
    double worst = 0;
    for (const auto& server : is.servers) {
        worst = std::max(worst, bad_responses(is, server.counts) >= few ? bad_share(is, server) : 0);
    }
    blame(is, [&](const ServerCase& server) { return worst > 0 && bad_share(is, server) >= worst / 2; });
    std::uint64_t bad = 0;
    std::uint64_t all = 0;
    for (const auto& server : is.servers) {
        bad += server.culprit ? 0 : bad_responses(is, server.counts);
        all += server.culprit ? 0 : history::responses_in(server.counts);
    }
    return all != 0 && share(bad, all) < worst / 4;
}

/// Of all that is bad, how much these codes are.
double share_of_codes(const Case& is, const std::set<int>& codes) {
    std::uint64_t these = 0;
    std::uint64_t all = 0;
    for (const auto& server : is.servers) {
        for (const auto& [key, count] : server.grown) {
            all += is.bad->matches(key.code) ? count : 0;
            these += is.bad->matches(key.code) && codes.contains(key.code) ? count : 0;
        }
    }
    return share(these, all);
}

/// Whether all culprits came with the last change of the catalogue before it began.
bool are_new(Case& is, const std::vector<Event>& events) {
    const auto guilty = culprits(is);
    for (const auto& event : events) {
        const bool in_time =
            is.since && event.at.at >= *is.since - change_before && event.at.at <= *is.since + change_after;
        const bool all_of_them = std::ranges::all_of(guilty, [&](const ServerCase* server) {
            return std::ranges::find(event.servers, server->label) != event.servers.end();
        });
        if (event.what == "servers_added" && in_time && all_of_them && !guilty.empty()) {
            is.replaced = event;
            return true;
        }
    }
    return false;
}

Cause cause_of_responses(Case& is, const std::vector<Event>& events) {
    const auto asked = std::ranges::count_if(
        is.servers, [](const ServerCase& server) { return history::responses_in(server.counts) != 0; });
    if (asked > 1 && blame_some(is)) {
        return culprits(is).size() == 1 ? Cause::one_server : Cause::some_servers;
    }
    blame(is, [&](const ServerCase& server) { return bad_responses(is, server.counts) != 0; });
    if (are_new(is, events)) {
        return Cause::new_servers;
    }
    constexpr double most = 0.8;
    if (share_of_codes(is, {401, 403, 407}) >= most) {
        return Cause::unauthorized;
    }
    if (share_of_codes(is, {429}) >= most) {
        return Cause::rate_limited;
    }
    const auto all = sum_of(is.servers);
    return share(bad_responses(is, all), history::responses_in(all)) >= 0.5 ? Cause::all_servers : Cause::some_requests;
}

void blame_failing(Case& is) {
    const auto connects = connect_failures(sum_of(is.servers));
    const bool cannot_connect = connects >= failed_requests(sum_of(is.servers));
    const auto failures = [&](const ServerCase& server) {
        return cannot_connect ? connect_failures(server.counts) : failed_requests(server.counts);
    };
    blame(is, [&](const ServerCase& server) { return failures(server) != 0; });
    is.cause = cannot_connect && connects != 0 ? Cause::connect_failures : Cause::unanswered;
}

bool find_down(Case& is) {
    blame(is, [](const ServerCase& server) { return server.listed && !server.up; });
    if (culprits(is).empty()) {
        return false;
    }
    const bool all =
        std::ranges::all_of(is.servers, [](const ServerCase& server) { return server.culprit || !server.listed; });
    conclude(is, Cause::servers_down, all ? Severity::outage : Severity::notice);
    return true;
}

/// Nobody asks any more, although many did before.
bool is_deserted(const Case& is) {
    const auto per_milli =
        share(history::responses_in(is.before), static_cast<std::uint64_t>(is.before_length.count()));
    return is.before_length > Millis(0) &&
           per_milli * static_cast<double>(is.silent.count()) >= static_cast<double>(many_expected) &&
           (is.failing_elsewhere || is.silent >= is.window);
}

/// What no rule is about.
void find_notice(Case& is, const std::vector<Event>& events) {
    const auto all = sum_of(is.servers);
    const auto responses = history::responses_in(all);
    if (std::ranges::any_of(is.servers, fails_much, &ServerCase::counts)) {
        blame_failing(is);
        is.severity = std::max(is.severity, Severity::notice);
    } else if (find_down(is)) {
        return;
    } else if (given_up(all) >= few && share(given_up(all), given_up(all) + responses) >= much_failing) {
        conclude(is, Cause::client_cancelled, Severity::notice);
    } else if (history::class_of(all, 5) >= few && share(history::class_of(all, 5), responses) > much_bad) {
        conclude(is, cause_of_responses(is, events), Severity::notice);
    } else if (responses == 0 && history::sum_of(all, "unread") >= few) {
        conclude(is, Cause::unreadable, Severity::notice);
    } else if (is_deserted(is)) {
        conclude(is, Cause::no_traffic, Severity::notice);
    }
}

}  // namespace

bool fails_much(const Amounts& counts) {
    const auto failed = connect_failures(counts);
    const auto unanswered = failed_requests(counts);
    const bool connects = failed >= few && share(failed, failed + history::connects_in(counts)) >= much_failing;
    return connects ||
           (unanswered >= few && share(unanswered, unanswered + history::responses_in(counts)) >= much_unanswered);
}

Amounts sum_of(const std::vector<ServerCase>& servers) {
    Amounts sum{};
    for (const auto& server : servers) {
        history::add(sum, server.counts);
    }
    return sum;
}

std::uint64_t bad_responses(const Case& is, const Amounts& counts) {
    std::uint64_t bad = 0;
    for (int digit = 1; digit <= static_cast<int>(history::response_fields); ++digit) {
        bad += is.bad_classes.contains(digit) ? history::class_of(counts, digit) : 0;
    }
    return bad;
}

std::uint64_t given_up(const Amounts& counts) {
    static const auto field = history::field_of("unanswered.aborted").value();
    return counts.at(field);
}

/// What upstat could not follow is no failure of the server.
std::uint64_t failed_requests(const Amounts& counts) {
    static const std::array fields{history::field_of("unanswered.reset").value(),
                                   history::field_of("unanswered.closed").value(),
                                   history::field_of("unanswered.malformed").value()};
    std::uint64_t failed = 0;
    for (const auto field : fields) {
        failed += counts.at(field);
    }
    return failed;
}

std::vector<const ServerCase*> culprits(const Case& is) {
    std::vector<const ServerCase*> found;
    for (const auto& server : is.servers) {
        if (server.culprit) {
            found.push_back(&server);
        }
    }
    return found;
}

void find_cause(Case& is, const std::vector<Event>& events) {
    for (const auto* const alert : is.alerts) {
        is.severity = std::max(is.severity, alert->state == State::firing ? Severity::firing : Severity::pending);
    }
    const auto all = sum_of(is.servers);
    if (!is.outage.empty()) {
        blame_failing(is);
        is.severity = Severity::outage;
    } else if (bad_responses(is, all) != 0 && is.rule != nullptr) {
        is.cause = cause_of_responses(is, events);
    } else {
        find_notice(is, events);
    }
}

}  // namespace upstat::judge
