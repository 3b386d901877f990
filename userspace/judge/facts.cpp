// SPDX-License-Identifier: Apache-2.0
#include "judge/facts.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <map>
#include <ranges>
#include <set>
#include <tuple>

#include "judge/sentence.hpp"

namespace upstat::judge {

namespace {

using history::Amounts;

constexpr std::size_t most_lines = 10;

std::string age_text(Millis age) {
    return duration_text(std::chrono::floor<std::chrono::seconds>(age));
}

std::string per_second(std::uint64_t count, Millis length) {
    return fmt::format(
        "{:.3g}", static_cast<double>(count) * 1000 / static_cast<double>(std::max<Millis::rep>(length.count(), 1)));
}

/// "404: 213 (GET 200, POST 13)": what a server gave since one or two windows ago, the most frequent first.
std::string codes_and_methods(const poll::ResponseCounts& counts) {
    std::map<std::uint16_t, std::pair<std::uint64_t, std::string>> codes;
    for (const auto& [key, count] : counts) {
        if (count != 0) {
            auto& [sum, methods] = codes[key.code];
            sum += count;
            methods += fmt::format("{}{} {}", methods.empty() ? "" : ", ", to_string(key.method), count);
        }
    }
    std::vector<std::pair<std::uint64_t, std::string>> order;
    order.reserve(codes.size());
    for (const auto& [code, seen] : codes) {
        order.emplace_back(seen.first, fmt::format("{}: {} ({})", code, seen.first, seen.second));
    }
    std::ranges::stable_sort(order, std::ranges::greater(), &std::pair<std::uint64_t, std::string>::first);
    return fmt::format("{}", fmt::join(order | std::views::values | std::views::take(most_lines), "; "));
}

std::string server_text(const Case& is, const ServerCase& server) {
    const auto responses = history::responses_in(server.counts);
    auto text =
        fmt::format("{}{}{}: {} responses in the last {}, {} bad", server.label,
                    server.up ? "" : " (DOWN, says Traefik)", server.listed ? "" : " (no longer listed)", responses,
                    duration_text(is.window), portion_text(bad_responses(is, server.counts), responses));
    const std::pair<std::string_view, std::uint64_t> others[] = {
        {"connections failed", history::sum_of(server.counts, "connect_failures")},
        {"unanswered", history::sum_of(server.counts, "unanswered")},
        {"waiting", static_cast<std::uint64_t>(std::max<std::int64_t>(server.waiting, 0))},
        {"connections unread", history::sum_of(server.counts, "unread")}};
    for (const auto& [what, count] : others) {
        text += count == 0 ? "" : fmt::format(", {} {}", count, what);
    }
    const auto codes = codes_and_methods(server.grown);
    return codes.empty() ? text : text + "; lately " + codes;
}

/// The worst first: by what is bad of it, then by all that failed.
std::vector<const ServerCase*> worst_first(const Case& is) {
    std::vector<const ServerCase*> order;
    order.reserve(is.servers.size());
    for (const auto& server : is.servers) {
        order.push_back(&server);
    }
    std::ranges::stable_sort(order, std::ranges::greater(), [&](const ServerCase* server) {
        return std::tuple(server->culprit, bad_responses(is, server->counts),
                          history::sum_of(server->counts, "connect_failures") + failed_requests(server->counts));
    });
    return order;
}

void add_servers(const Case& is, std::vector<Fact>& facts) {
    const auto order = worst_first(is);
    for (const auto* const server : order | std::views::take(most_lines)) {
        facts.push_back({.topic = "server", .text = server_text(is, *server)});
    }
    if (order.size() > most_lines) {
        facts.push_back({.topic = "server", .text = fmt::format("and {} servers more", order.size() - most_lines)});
    }
}

void add_before(const Case& is, std::vector<Fact>& facts) {
    const auto now = sum_of(is.servers);
    const auto before = history::responses_in(is.before);
    if (is.before_length > Millis(0) && !is.backend.name.empty()) {
        facts.push_back(
            {.topic = "before",
             .text = fmt::format(
                 "in the {} before the last {}: {} responses a second, {} of them bad; now {} and {}",
                 age_text(is.before_length), duration_text(is.window), per_second(before, is.before_length),
                 portion_text(bad_responses(is, is.before), before), per_second(history::responses_in(now), is.window),
                 portion_text(bad_responses(is, now), history::responses_in(now)))});
    }
}

/// What happened in the quarter of an hour before it began.
void add_changes(const Case& is, const std::vector<history::Event>& events, std::vector<Fact>& facts) {
    constexpr Millis before = std::chrono::minutes(15);
    constexpr Millis after = std::chrono::minutes(1);
    if (!is.since) {
        return;
    }
    bool any = false;
    for (const auto& event : events) {
        if (event.kind != "alert" && event.at.at >= *is.since - before && event.at.at <= *is.since + after) {
            any = true;
            const auto gap = *is.since - event.at.at;
            facts.push_back({.topic = "change",
                             .text = fmt::format("{}, {} {} it began: {}", rfc3339(is.told(event.at.at)),
                                                 age_text(std::chrono::abs(gap)), gap < Millis(0) ? "after" : "before",
                                                 event.text)});
        }
    }
    if (!any) {
        facts.push_back(
            {.topic = "change", .text = "nothing changed in Traefik's catalogue in the 15m before it began"});
    }
}

void add_health(const Case& is, std::vector<Fact>& facts) {
    const auto down = std::ranges::count_if(is.servers, [](const ServerCase& one) { return one.listed && !one.up; });
    const auto listed = std::ranges::count_if(is.servers, &ServerCase::listed);
    if (listed != 0 && !is.backend.name.empty()) {
        facts.push_back({.topic = "health",
                         .text = down == 0
                                     ? "to Traefik all its servers are up (without a health check they always are)"
                                     : fmt::format("Traefik takes {} of {} servers for down", down, listed)});
    }
}

void add_others(const Case& is, const Alerts& alerts, std::vector<Fact>& facts) {
    std::set<std::string> others;
    for (const auto& alert : alerts.alerts) {
        if (is.rule != nullptr && alert.rule == is.rule->name && alert.state != State::inactive &&
            alert.backend != is.backend) {
            others.insert(told_name(alert));
        }
    }
    if (!others.empty()) {
        facts.push_back({.topic = "others",
                         .text = fmt::format("{} other backend{} the same alert: {}{}", others.size(),
                                             others.size() == 1 ? " has" : "s have",
                                             fmt::join(others | std::views::take(most_lines), ", "),
                                             others.size() > most_lines ? ", ..." : "")});
    }
    if (is.failing_elsewhere) {
        facts.push_back({.topic = "others", .text = *is.failing_elsewhere});
    }
}

void add_traefik(const Case& is, std::vector<Fact>& facts) {
    const auto all = sum_of(is.servers);
    if (history::sum_of(all, "connect_failures") != 0) {
        facts.push_back(
            {.topic = "traefik", .text = "where no server could be reached, Traefik answered 502 by itself"});
    }
    if (given_up(all) != 0) {
        facts.push_back(
            {.topic = "traefik",
             .text = fmt::format("{} requests were given up before their response: Traefik writes 499 where the "
                                 "client did it, 504 where its own patience ended",
                                 given_up(all))});
    }
    facts.push_back(
        {.topic = "traefik",
         .text = "these responses came from the servers; what Traefik answers by itself is not among them"});
    if (const auto unread = history::sum_of(all, "unread"); unread != 0) {
        facts.push_back(
            {.topic = "unseen",
             .text = fmt::format("{} connections could not be read (TLS, HTTP/2, tunnels): what came on them is "
                                 "not counted",
                                 unread)});
    }
}

std::string curl(const Case& is, const ServerCase& server) {
    const bool slow = is.cause == Cause::connect_failures || is.cause == Cause::unanswered;
    return fmt::format("curl -sv -o /dev/null {}-H 'Host: HOST' 'http://{}/PATH'", slow ? "--max-time 10 " : "",
                       to_string(server.server));
}

std::string advice(Cause cause) {
    switch (cause) {
        case Cause::new_servers:
            return "compare with the version before: what was deployed is bad, and rolling it back is the quickest way "
                   "out";
        case Cause::one_server:
        case Cause::some_servers:
            return "the others are well: take the bad ones out of the backend, then read their logs";
        case Cause::unauthorized:
            return "see whether clients' credentials, or the service that checks them, have changed";
        case Cause::rate_limited:
            return "see in the servers' log which client asks so often, and what the limit is";
        case Cause::some_requests:
            return "see in the servers' log which path these requests have in common: a link, a client or a route is "
                   "wrong";
        case Cause::connect_failures:
            return "see whether the server runs and listens, and what is between it and this host";
        case Cause::unanswered:
            return "see in the server's log whether it crashes or hangs, and on what";
        case Cause::servers_down:
            return "ask for the path that the health check asks for";
        case Cause::client_cancelled:
            return "see how long the servers take: clients that wait too long give up";
        case Cause::no_traffic:
            return "see whether the routers and middlewares before this backend are well, and whether clients reach "
                   "Traefik";
        case Cause::unreadable:
            return "nothing is known of these responses but from the servers' own logs";
        default:
            return "see in the servers' log what they fail on: a database, a configuration, what they have in common";
    }
}

}  // namespace

std::vector<Fact> facts_of(const Case& is, const std::vector<history::Event>& events, const Alerts& alerts) {
    std::vector<Fact> facts;
    facts.reserve(is.alerts.size());
    for (const auto* const alert : is.alerts) {
        facts.push_back(
            {.topic = "alert",
             .text = fmt::format("{} is {} since {}: {}", alert->rule, to_string(alert->state),
                                 rfc3339(alert->active_since->wall),
                                 alert->percent ? fmt::format("{:.4g} %", *alert->percent) : "no responses")});
    }
    if (is.since) {
        facts.push_back({.topic = "since",
                         .text = fmt::format("it began at {}, {} ago", rfc3339(is.told(*is.since)),
                                             age_text(is.now.at - *is.since))});
    }
    add_before(is, facts);
    add_servers(is, facts);
    add_changes(is, events, facts);
    add_health(is, facts);
    add_others(is, alerts, facts);
    add_traefik(is, facts);
    return facts;
}

std::vector<Step> steps_of(const Case& is) {
    std::vector<Step> steps;
    if (is.cause == Cause::well) {
        return steps;
    }
    if (const auto guilty = culprits(is); !guilty.empty()) {
        steps.push_back({.text = "ask the server as Traefik does, with the host and path of a request that fails",
                         .command = curl(is, *worst_first(is).front())});
    }
    steps.push_back({.text = advice(is.cause), .command = {}});
    steps.push_back({.text = "watch it", .command = "upstat top"});
    return steps;
}

}  // namespace upstat::judge
