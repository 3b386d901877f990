// SPDX-License-Identifier: Apache-2.0
#include "judge/judge.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <ranges>
#include <utility>

namespace upstat::judge {

namespace {

std::optional<double> percent_of(const measure::Ratio& ratio) {
    const auto value = ratio.value();
    return value && !std::isnan(*value) ? std::optional(*value * 100) : std::nullopt;
}

bool holds(const Alert& alert, const Rule& rule) {
    return alert.percent && *alert.percent > rule.threshold_percent && alert.ratio.all.value_or(0) > rule.min_rate;
}

void become_true(Alert& alert, const Rule& rule, Moment now) {
    if (alert.state == State::inactive) {
        alert.state = State::pending;
        alert.active_since = now;
    }
    if (alert.state == State::pending && now.at - alert.active_since->at >= rule.for_duration) {
        alert.state = State::firing;
        alert.firing_since = now;
        alert.resolved_at.reset();
    }
}

void become_false(Alert& alert, Moment now) {
    if (alert.state == State::firing) {
        alert.resolved_at = now;
    }
    alert.state = State::inactive;
    alert.active_since.reset();
    alert.firing_since.reset();
}

/// One step of the machine.
void step(Alert& alert, const Rule& rule, Moment now) {
    if (holds(alert, rule)) {
        become_true(alert, rule, now);
    } else {
        become_false(alert, now);
    }
    if (alert.resolved_at && now.at - alert.resolved_at->at > resolved_retention) {
        alert.resolved_at.reset();
    }
}

/// Whether an alert says more than another one: it is further, or as far for a longer time.
bool is_louder(const Alert& alert, const Alert& other) {
    return alert.state > other.state || (alert.state == other.state && alert.active_since->at < other.active_since->at);
}

bool is_sound(const Alert& alert) {
    switch (alert.state) {
        case State::inactive:
            return !alert.active_since && !alert.firing_since;
        case State::pending:
            return alert.active_since && !alert.firing_since;
        case State::firing:
            return alert.active_since && alert.firing_since;
    }
    return false;
}

}  // namespace

std::string_view to_string(State state) {
    switch (state) {
        case State::inactive:
            return "inactive";
        case State::pending:
            return "pending";
        case State::firing:
            return "firing";
    }
    std::unreachable();
}

std::string_view to_string(Share share) {
    switch (share) {
        case Share::codes:
            return "codes";
        case Share::connect_failures:
            return "connect_failures";
        case Share::unanswered:
            return "unanswered";
    }
    std::unreachable();
}

Judge::Judge(std::vector<Rule> rules) : rules_(std::move(rules)) {}

void Judge::restore(const std::vector<Alert>& alerts) {
    for (const auto& alert : alerts) {
        if (is_sound(alert) && std::ranges::find(rules_, alert.rule, &Rule::name) != rules_.end()) {
            alerts_[alert.rule][alert.backend] = alert;
        }
    }
}

Alerts Judge::evaluate(const std::map<std::string, measure::Ratios>& by_rule, Moment now,
                       const Successors& successors) {
    Alerts result{.at = now, .alerts = {}, .transitions = {}};
    std::erase_if(inherited_, [now](const auto& entry) { return entry.second <= now.at; });
    for (const auto& rule : rules_) {
        if (const auto ratios = by_rule.find(rule.name); ratios != by_rule.end()) {
            evaluate_rule(rule, ratios->second, hand_over(rule, successors, now), result);
        }
        std::ranges::copy(alerts_[rule.name] | std::views::values, std::back_inserter(result.alerts));
    }
    return result;
}

std::vector<Alert> Judge::ongoing() const {
    std::vector<Alert> kept;
    for (const auto& by_backend : alerts_ | std::views::values) {
        std::ranges::copy_if(by_backend | std::views::values, std::back_inserter(kept),
                             [](const Alert& alert) { return alert.state != State::inactive || alert.resolved_at; });
    }
    return kept;
}

Judge::Former Judge::hand_over(const Rule& rule, const Successors& successors, Moment now) {
    Former former;
    auto& alerts = alerts_[rule.name];
    for (const auto& [group, successor] : successors) {
        const auto found = alerts.find(group);
        if (found == alerts.end() || found->second.state == State::inactive) {
            continue;
        }
        auto& old = found->second;
        auto& next = alerts[successor];
        former.emplace(group, old.state);
        former.emplace(successor, next.state);
        if (is_louder(old, next)) {
            next.rule = rule.name;  // it may be in no ratios yet: nothing of its servers has failed
            next.backend = successor;
            next.state = old.state;
            next.active_since = old.active_since;
            next.firing_since = old.firing_since;
            next.resolved_at.reset();
            inherited_[{rule.name, successor}] = now.at + rule.window;
        }
        become_false(old, now);
    }
    return former;
}

void Judge::evaluate_rule(const Rule& rule, const measure::Ratios& ratios, const Former& former, Alerts& result) {
    auto& alerts = alerts_[rule.name];
    for (const auto& backend : ratios.backends | std::views::keys) {
        auto& alert = alerts[backend];
        alert.rule = rule.name;
        alert.backend = backend;
    }
    for (auto& [backend, alert] : alerts) {
        const auto ratio = ratios.backends.find(backend);
        const auto was = former.find(backend);
        const auto from = was == former.end() ? alert.state : was->second;
        alert.ratio = ratio == ratios.backends.end() ? measure::Ratio{} : ratio->second;
        alert.percent = percent_of(alert.ratio);
        const bool filling = ratios.filling || inherited_.contains({rule.name, backend});
        if (!filling || alert.state == State::inactive || holds(alert, rule)) {
            step(alert, rule, result.at);
        }  // else what made it hold may be of before the restart, or counted under the group's former name
        if (alert.state != from) {
            result.transitions.push_back({.from = from, .now = alert});
        }
    }
    // A backend that is gone is remembered only as long as its end has to be told. What a successor goes on with is not
    // gone.
    std::erase_if(alerts, [&ratios](const auto& entry) {
        const auto& [backend, alert] = entry;
        return !ratios.filling && !ratios.backends.contains(backend) && alert.state == State::inactive &&
               !alert.resolved_at;
    });
}

}  // namespace upstat::judge
