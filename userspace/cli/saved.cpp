// SPDX-License-Identifier: Apache-2.0
#include "cli/saved.hpp"

#include <cmath>
#include <limits>

#include "base/json_text.hpp"

namespace upstat {

using nlohmann::json;

namespace {

json number(Time time) {
    return time.time_since_epoch().count();
}

json number(const std::optional<Time>& time) {
    return time ? number(*time) : json(nullptr);
}

Time time_from(const json& saved) {
    return Time(Millis(saved.get<std::int64_t>()));
}

std::optional<Time> optional_time_from(const json& saved) {
    return saved.is_null() ? std::nullopt : std::optional(time_from(saved));
}

/// JSON has no NaN, which stands for "no such series in that poll": null does.
std::vector<double> totals_from(const json& saved) {
    std::vector<double> totals;
    for (const auto& total : saved) {
        totals.push_back(total.is_null() ? std::numeric_limits<double>::quiet_NaN() : total.get<double>());
    }
    return totals;
}

json to_json(const BackendHistory& backend) {
    json series = json::array();
    for (const auto& [key, totals] : backend.series) {
        series.push_back({key.code, static_cast<int>(key.method), static_cast<int>(key.protocol), totals});
    }
    return {{"sampled", backend.sampled}, {"series", std::move(series)}};
}

}  // namespace

std::string json_text(const History& history) {
    std::string text;
    {
        JsonObject saved(text);
        json polls = json::array();
        for (const auto poll : history.polls) {
            polls.push_back(number(poll));
        }
        saved.add("polls", polls);
        JsonObject backends(saved.member("backends"));
        for (const auto& [name, backend] : history.backends) {
            backends.add(name, to_json(backend));
        }
    }
    return text;
}

History history_from(const json& saved) {
    History history;
    for (const auto& poll : saved.at("polls")) {
        history.polls.push_back(time_from(poll));
    }
    for (const auto& [name, backend] : saved.at("backends").items()) {
        auto& into = history.backends[name];
        into.sampled = backend.at("sampled").get<std::vector<bool>>();
        for (const auto& series : backend.at("series")) {
            const Series key{.code = series.at(0).get<std::uint16_t>(),
                             .method = static_cast<Method>(series.at(1).get<std::uint8_t>()),
                             .protocol = static_cast<Protocol>(series.at(2).get<std::uint8_t>())};
            into.series[key] = totals_from(series.at(3));
        }
    }
    return history;
}

json to_json(const std::vector<Alert>& alerts) {
    json saved = json::array();
    for (const auto& alert : alerts) {
        saved.push_back({{"rule", alert.rule},
                         {"backend", alert.backend},
                         {"state", static_cast<int>(alert.state)},
                         {"active_since", number(alert.active_since)},
                         {"firing_since", number(alert.firing_since)},
                         {"resolved_at", number(alert.resolved_at)}});
    }
    return saved;
}

std::vector<Alert> alerts_from(const json& saved) {
    std::vector<Alert> alerts;
    for (const auto& alert : saved) {
        alerts.push_back({.rule = alert.at("rule").get<std::string>(),
                          .backend = alert.at("backend").get<std::string>(),
                          .state = static_cast<State>(alert.at("state").get<int>()),
                          .percent = std::nullopt,
                          .active_since = optional_time_from(alert.at("active_since")),
                          .firing_since = optional_time_from(alert.at("firing_since")),
                          .resolved_at = optional_time_from(alert.at("resolved_at"))});
    }
    return alerts;
}

}  // namespace upstat
