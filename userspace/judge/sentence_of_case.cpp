// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <ranges>

#include "judge/case.hpp"
#include "judge/sentence.hpp"

namespace upstat::judge {

namespace {

using history::Amounts;

constexpr std::size_t most_named = 3;

/// "10.0.0.1:80, 10.0.0.2:80 and 4 more".
std::string names_of(const std::vector<const ServerCase*>& servers) {
    std::string text;
    for (const auto* const server : servers | std::views::take(most_named)) {
        text += (text.empty() ? "" : ", ") + server->label;
    }
    return servers.size() <= most_named ? text : text + fmt::format(" and {} more", servers.size() - most_named);
}

std::size_t listed_in(const Case& is) {
    return static_cast<std::size_t>(std::ranges::count_if(
        is.servers, [](const ServerCase& one) { return one.listed || history::responses_in(one.counts) != 0; }));
}

Amounts sum_where(const Case& is, bool culprit) {
    Amounts sum{};
    for (const auto& server : is.servers) {
        if (server.culprit == culprit) {
            history::add(sum, server.counts);
        }
    }
    return sum;
}

/// "92 % of its responses in the last 3m are 404".
std::string bad_text(const Case& is, const Amounts& counts, std::string_view whose) {
    return fmt::format("{} of {} responses in the last {} are {}",
                       portion_text(bad_responses(is, counts), history::responses_in(counts)), whose,
                       duration_text(is.window), codes_text(is));
}

/// ", which blog@file shares": the other backends that have the server.
std::string shared_text(const Case& is, const std::vector<const ServerCase*>& servers) {
    std::vector<std::string> others;
    for (const auto* const server : servers) {
        std::ranges::copy_if(server->backends, std::back_inserter(others), [&](const std::string& name) {
            return name != is.backend.name && std::ranges::find(others, name) == others.end();
        });
    }
    return others.empty() ? ""
                          : fmt::format(", shared with {}{}", others.front(),
                                        others.size() == 1 ? "" : fmt::format(" and {} more", others.size() - 1));
}

std::string bad_servers_text(const Case& is) {
    const auto guilty = culprits(is);
    const auto others = sum_where(is, false);
    const bool one = guilty.size() == 1;
    return fmt::format("{} of {} servers {} bad: {}{}: {}, of the others' {}", guilty.size(), listed_in(is),
                       one ? "is" : "are", names_of(guilty), shared_text(is, guilty),
                       bad_text(is, sum_where(is, true), one ? "its" : "their"),
                       portion_text(bad_responses(is, others), history::responses_in(others)));
}

/// "all 3 servers", "the only server 10.0.0.1:80".
std::string everyone(const Case& is) {
    const auto count = listed_in(is);
    return count == 1 ? "the only server " + names_of(culprits(is)) + shared_text(is, culprits(is))
                      : fmt::format("all {} servers", count);
}

std::string alike_text(const Case& is) {
    const auto all = bad_text(is, sum_of(is.servers), "the");
    switch (is.cause) {
        case Cause::unauthorized:
            return everyone(is) + " turn requests away for want of authorization: " + all;
        case Cause::rate_limited:
            return everyone(is) + " limit the rate of requests: " + all;
        case Cause::some_requests:
            return "a part of the requests fails, on " + everyone(is) + ": " + all;
        default:
            return everyone(is) + (listed_in(is) == 1 ? " is bad: " : " are bad: ") + all;
    }
}

/// "120 refused, 3 timeout": the reasons of one kind.
std::string reasons_text(const Amounts& counts, std::string_view kind) {
    std::string text;
    for (std::size_t field = 0; field < history::field_names().size(); ++field) {
        const auto& name = history::field_names()[field];
        if (counts.at(field) != 0 && name.starts_with(kind)) {
            text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts.at(field), name.substr(name.find('.') + 1));
        }
    }
    return text;
}

std::string unlisted_text(const Case& is) {
    const auto counts = sum_where(is, true);
    const auto connects = reasons_text(counts, "connect_failures");
    const auto unanswered = reasons_text(counts, "unanswered");
    return fmt::format(
        "{}, which no backend lists, fails: {}{} in the last {}; where a middleware such as forwardAuth asks it, "
        "Traefik answers 500 by itself",
        names_of(culprits(is)), connects.empty() ? "" : "connections " + connects,
        unanswered.empty() ? "" : (connects.empty() ? "" : ", ") + ("unanswered " + unanswered),
        duration_text(is.window));
}

std::string failing_text(const Case& is) {
    if (is.backend.name.empty()) {
        return unlisted_text(is);
    }
    const auto guilty = culprits(is);
    const auto counts = sum_where(is, true);
    const auto who = guilty.empty() ? fmt::format("all {} servers", is.servers.size())
                                    : fmt::format("{} of {} servers: {}{}", guilty.size(), listed_in(is),
                                                  names_of(guilty), shared_text(is, guilty));
    const auto outage = is.outage.empty() ? "" : " (" + is.outage + ")";
    if (is.cause == Cause::connect_failures) {
        return fmt::format("connections fail to {}: {} in the last {}; Traefik answers 502 or asks another server{}",
                           who, reasons_text(counts, "connect_failures"), duration_text(is.window), outage);
    }
    const auto reasons = reasons_text(counts, "unanswered");
    return fmt::format("requests stay without a response on {}: {} in the last {}{}", who,
                       reasons.empty() ? "they wait for one" : reasons, duration_text(is.window), outage);
}

std::string down_text(const Case& is) {
    const auto guilty = culprits(is);
    return fmt::format("Traefik's health check has taken {} of {} servers out: {}{}", guilty.size(), listed_in(is),
                       names_of(guilty),
                       is.severity == Severity::outage ? "; none is left, and Traefik answers 503 by itself" : "");
}

std::string well_text(const Case& is) {
    const auto counts = sum_of(is.servers);
    const auto responses = history::responses_in(counts);
    if (responses == 0) {
        return fmt::format("nothing is wrong; no responses in the last {}", duration_text(is.window));
    }
    return fmt::format("nothing is wrong: {:.3g} responses a second, {} are 4xx, {} are 5xx",
                       static_cast<double>(responses) * 1000 / static_cast<double>(is.window.count()),
                       portion_text(history::class_of(counts, 4), responses),
                       portion_text(history::class_of(counts, 5), responses));
}

std::string replaced_text(const Case& is) {
    return fmt::format("bad since new servers came at {} ({}): {}", rfc3339(is.told(is.replaced->at.at)),
                       is.replaced->text, bad_text(is, sum_where(is, true), "their"));
}

std::string deserted_text(const Case& is) {
    return fmt::format(
        "no responses for {}, after {:.3g} a second in the hour before{}",
        duration_text(std::chrono::floor<std::chrono::seconds>(is.silent)),
        static_cast<double>(history::responses_in(is.before)) * 1000 / static_cast<double>(is.before_length.count()),
        is.failing_elsewhere ? "; meanwhile " + *is.failing_elsewhere : "");
}

std::string finding(const Case& is) {
    switch (is.cause) {
        case Cause::well:
            return well_text(is);
        case Cause::no_traffic:
            return deserted_text(is);
        case Cause::one_server:
        case Cause::some_servers:
            return bad_servers_text(is);
        case Cause::new_servers:
            return replaced_text(is);
        case Cause::connect_failures:
        case Cause::unanswered:
            return failing_text(is);
        case Cause::servers_down:
            return down_text(is);
        case Cause::client_cancelled:
            return fmt::format(
                "clients give up before the response: {} requests in the last {}; Traefik writes 499 for them",
                given_up(sum_of(is.servers)), duration_text(is.window));
        case Cause::unreadable:
            return fmt::format("its responses cannot be read: connections with {}",
                               reasons_text(sum_of(is.servers), "unread"));
        default:
            return alike_text(is);
    }
}

}  // namespace

std::string portion_text(std::uint64_t part, std::uint64_t all) {
    return all == 0 ? "none" : fmt::format("{:.3g} %", 100 * static_cast<double>(part) / static_cast<double>(all));
}

std::string codes_text(const Case& is) {
    std::map<std::uint16_t, std::uint64_t> counts;
    std::uint64_t all = 0;
    const bool blamed = !culprits(is).empty();
    for (const auto& server : is.servers) {
        for (const auto& [key, count] : server.grown) {
            if (is.bad->matches(key.code) && (server.culprit || !blamed)) {
                counts[key.code] += count;
                all += count;
            }
        }
    }
    std::vector<std::pair<std::uint64_t, std::uint16_t>> order;
    order.reserve(counts.size());
    for (const auto& [code, count] : counts) {
        order.emplace_back(count, code);
    }
    std::ranges::sort(order, std::ranges::greater());
    std::string text;
    for (const auto& [count, code] : order | std::views::take(most_named)) {
        if (count * 10 >= all && count != 0) {
            text += fmt::format("{}{}", text.empty() ? "" : " or ", code);
        }
    }
    return text.empty() ? "bad" : text;
}

std::string sentence(const Case& is) {
    const bool timed = is.since && is.cause != Cause::well && is.cause != Cause::new_servers;
    const auto whose = is.traefik.empty() ? std::string() : " of " + is.traefik;
    const auto who = is.backend.name.empty() ? std::string() : is.backend.name + whose + ": ";
    return who + finding(is) + (timed ? ", since " + rfc3339(is.told(*is.since)) : "");
}

}  // namespace upstat::judge
