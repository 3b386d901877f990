// SPDX-License-Identifier: Apache-2.0
#include "judge/sentence.hpp"

#include <spdlog/fmt/fmt.h>

namespace upstat::judge {

namespace {

std::string what_happened(const Transition& transition) {
    switch (transition.now.state) {
        case State::pending:
            return "pending";
        case State::firing:
            return "firing";
        case State::inactive:
            return transition.from == State::firing ? "resolved" : "no longer pending";
    }
    return {};
}

std::string share_text(const Rule& rule) {
    switch (rule.share) {
        case Share::codes:
            return "its share of " + rule.codes;
        case Share::connect_failures:
            return "its share of failed connects";
        case Share::unanswered:
            return "its share of requests without a response";
    }
    return {};
}

std::string of_text(const Rule& rule) {
    switch (rule.share) {
        case Share::codes:
            return fmt::format("of its responses in the last {} were {}", duration_text(rule.window), rule.codes);
        case Share::connect_failures:
            return fmt::format("of its requests in the last {} found no server: the connect failed",
                               duration_text(rule.window));
        case Share::unanswered:
            return fmt::format("of its requests in the last {} were left without a response",
                               duration_text(rule.window));
    }
    return {};
}

/// An outage comes first: to the rule it reads as health.
std::string value_text(const Alert& alert, const Rule& rule) {
    const auto first = alert.outage.empty() ? "" : alert.outage + "; ";
    if (!alert.percent) {
        return first + fmt::format("{} in the last {} cannot be told for want of {}", share_text(rule),
                                   duration_text(rule.window), rule.share == Share::codes ? "responses" : "requests");
    }
    return first + fmt::format("{:.4g} % {}", *alert.percent, of_text(rule));
}

std::string hold_text(const Alert& alert, const Rule& rule) {
    const auto since = alert.active_since ? ", above it since " + rfc3339(alert.active_since->wall) : std::string();
    if (alert.state == State::firing) {
        return fmt::format(" for {} or longer{}", duration_text(rule.for_duration), since);
    }
    if (alert.state == State::pending) {
        return fmt::format(", fires after {}{}", duration_text(rule.for_duration), since);
    }
    return {};
}

}  // namespace

std::string duration_text(Millis duration) {
    const auto hours = std::chrono::floor<std::chrono::hours>(duration);
    const auto minutes = std::chrono::floor<std::chrono::minutes>(duration - hours);
    const double seconds = static_cast<double>((duration - hours - minutes).count()) / 1000;
    std::string text;
    if (hours.count() != 0) {
        text += fmt::format("{}h", hours.count());
    }
    if (minutes.count() != 0) {
        text += fmt::format("{}m", minutes.count());
    }
    if (seconds != 0 || text.empty()) {
        text += fmt::format("{}s", seconds);
    }
    return text;
}

std::string told_name(const Alert& alert) {
    return alert.backend.name + (alert.traefik.empty() ? "" : " of " + alert.traefik);
}

std::string text_of(const Worst& worst) {
    return worst.code == 0 ? fmt::format("server {}: {} of them", worst.server, worst.count)
                           : fmt::format("server {}: {} responses with {}", worst.server, worst.count, worst.code);
}

std::string sentence(const Transition& transition, const Rule& rule) {
    const auto& alert = transition.now;
    auto text = fmt::format("{} is {} for {} {}: {} (threshold {:g} %{})", alert.rule, what_happened(transition),
                            noun(rule.names), told_name(alert), value_text(alert, rule), rule.threshold_percent,
                            hold_text(alert, rule));
    if (alert.worst) {
        text += "; most come from " + text_of(*alert.worst);
    }
    return text;
}

std::string sentence(const Alert& alert, const Rule& rule) {
    return sentence({.from = State::firing, .now = alert}, rule);
}

}  // namespace upstat::judge
