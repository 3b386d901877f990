// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"

namespace upstat::judge {

/// One alerting rule: "more than threshold_percent of a backend's responses over window match codes, for hold".
struct Rule {
    std::string name = "TraefikHighHttp4xxErrorRateBackend";
    std::string codes = "4..";  ///< a regular expression over the three digits, anchored at both ends as PromQL's are
    Millis window = std::chrono::minutes(3);
    Millis for_duration = std::chrono::minutes(1);  ///< Prometheus's `for`
    double threshold_percent = 5;
    std::string severity = "critical";

    bool operator==(const Rule&) const = default;
};

enum class State : std::uint8_t { inactive = 0, pending = 1, firing = 2 };
std::string_view to_string(State state);

/// The state of one rule for one backend.
struct Alert {
    std::string rule;
    std::string backend;
    State state = State::inactive;
    std::optional<double> percent{};       ///< at the last evaluation; absent when there was no sample or NaN
    std::optional<Moment> active_since{};  ///< first true evaluation, while pending or firing
    std::optional<Moment> firing_since{};  ///< while firing
    std::optional<Moment> resolved_at{};   ///< when a firing ended; kept until it fires again or 15 minutes have passed

    bool operator==(const Alert&) const = default;
};

/// A change of state, for the log and Alertmanager.
struct Transition {
    State from = State::inactive;
    Alert now;
};

/// What judge gives.
struct Alerts {
    Moment at;
    std::vector<Alert> alerts;            ///< every backend under every rule, inactive ones too
    std::vector<Transition> transitions;  ///< of this evaluation
};

}  // namespace upstat::judge
