// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "attribute/backend_name.hpp"
#include "base/names.hpp"
#include "base/time.hpp"
#include "measure/ratio.hpp"

namespace upstat::judge {

/// By name: an alert's labels, or its annotations.
using Labels = std::map<std::string, std::string>;

/// What a rule takes the share of: responses by their code, or requests that had none.
enum class Share : std::uint8_t {
    codes,             ///< of a backend's responses, those whose code the rule names
    connect_failures,  ///< of its requests, those for which no connection came about
    unanswered,        ///< of its requests, those that its servers left without a response
};
std::string_view to_string(Share share);

/// One alerting rule: "more than threshold_percent of a backend's responses over window match codes, for hold".
struct Rule {
    std::string name = "TraefikHighHttp4xxErrorRateBackend";
    Share share = Share::codes;
    std::string codes = "4..";  ///< a regular expression over the three digits, anchored at both ends as PromQL's are
    Millis window = std::chrono::minutes(3);
    Millis for_duration = std::chrono::minutes(1);  ///< Prometheus's `for`
    double threshold_percent = 5;
    double min_rate = 0;  ///< it holds only above so many responses a second, matching or not
    std::string severity = "critical";
    Labels labels{};               ///< over those that each alert has; an empty value takes one away
    Labels annotations{};          ///< likewise
    Names names = Names::backend;  ///< in its sentences and labels

    bool operator==(const Rule&) const = default;
};

enum class State : std::uint8_t { inactive = 0, pending = 1, firing = 2 };
std::string_view to_string(State state);

/// Where most of a backend's bad responses come from: where to look first.
struct Worst {
    std::string server;       ///< "ip:port"
    std::uint16_t code = 0;   ///< 0: it is of requests without a response
    std::uint64_t count = 0;  ///< such responses, or requests, of that server

    bool operator==(const Worst&) const = default;
};

/// The state of one rule for one backend.
struct Alert {
    std::string rule;
    attribute::BackendName backend;
    std::string traefik{};  ///< whose backend it is; empty where one Traefik says all, so that Prometheus's own alert
                            ///< and this one are one
    State state = State::inactive;
    std::optional<double> percent{};       ///< at the last evaluation; absent when there was no sample or NaN
    measure::Ratio ratio{};                ///< what that percentage is of
    std::optional<Moment> active_since{};  ///< first true evaluation, while pending or firing
    std::optional<Moment> firing_since{};  ///< while firing
    std::optional<Moment> resolved_at{};   ///< when a firing ended; kept until it fires again or 15 minutes have passed
    std::optional<Worst> worst{};          ///< unless it has been quiet
    std::string explanation{};             ///< the first sentence of diagnosis.hpp; unless it is quiet
    std::string outage{};                  ///< what outage.hpp says of the backend; empty when it gives responses

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
