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

/// An outage comes first: to the rule it reads as health.
std::string value_text(const Alert& alert, const Rule& rule) {
    const auto first = alert.outage.empty() ? "" : alert.outage + "; ";
    if (!alert.percent) {
        return first + fmt::format("its share of {} in the last {} cannot be told for want of responses", rule.codes,
                                   duration_text(rule.window));
    }
    return first + fmt::format("{:.4g} % of its responses in the last {} were {}", *alert.percent,
                               duration_text(rule.window), rule.codes);
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

std::string sentence(const Transition& transition, const Rule& rule) {
    const auto& alert = transition.now;
    auto text = fmt::format("{} is {} for backend {}{}{}: {} (threshold {:g} %{})", alert.rule,
                            what_happened(transition), alert.backend.name, alert.traefik.empty() ? "" : " of ",
                            alert.traefik, value_text(alert, rule), rule.threshold_percent, hold_text(alert, rule));
    if (alert.worst) {
        text += fmt::format("; most come from server {}: {} responses with {}", alert.worst->server, alert.worst->count,
                            alert.worst->code);
    }
    return text;
}

std::string sentence(const Alert& alert, const Rule& rule) {
    return sentence({.from = State::firing, .now = alert}, rule);
}

}  // namespace upstat::judge
