// SPDX-License-Identifier: Apache-2.0
// Runs measure and judge over traces, for test_rule_oracle.py to compare with promtool.
//
// stdin, one JSON object (times are milliseconds since 1970):
//   {"dialect": "2.42" | "2.51" | "2.54" | "3.0",
//    "rule": {"codes": "4.*", "window": 180000, "hold": 60000, "threshold_percent": 5},
//    "groups": [{"polls": [T, ...],
//                "births": "as_given" | "unseen_until_counted",
//                "series": [{"backend": "b", "code": 404, "method": "GET", "values": [V or null, ...]}],
//                "evaluations": [T, ...]}]}
// `values` has one element a poll, null for no sample. "as_given" lays the samples into the window as they are, so that
// a series may be born at any value. "unseen_until_counted" goes the agent's way, Window::add(): a series is not there
// before its first answer, and a backend is there with its first sample.
//
// stdout: for each group a list with one object an evaluation:
//   {"at": T, "backends": {"b": {"matching": X, "all": X, "percent": X, "state": "pending", "active_since": T}}}
// null is absent, "NaN" is NaN; a number reads back as the very double it was.

#include <cmath>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "judge/judge.hpp"
#include "measure/window.hpp"
#include "parse_method.hpp"

namespace {

using nlohmann::json;
using namespace upstat;

Time time_of(const json& millis) {
    return Time(Millis(millis.get<std::int64_t>()));
}

json number(const std::optional<double>& value) {
    if (!value) {
        return nullptr;
    }
    return std::isnan(*value) ? json("NaN") : json(*value);
}

measure::Dialect dialect_of(const std::string& text) {
    static const std::map<std::string, measure::Dialect> dialects{{"2.42", measure::Dialect::v2_42},
                                                                  {"2.51", measure::Dialect::v2_51},
                                                                  {"2.54", measure::Dialect::v2_54},
                                                                  {"3.0", measure::Dialect::v3_0}};
    return dialects.at(text);
}

judge::Rule rule_of(const json& rule) {
    return {.codes = rule.at("codes"),
            .window = Millis(rule.at("window").get<std::int64_t>()),
            .for_duration = Millis(rule.at("hold").get<std::int64_t>()),
            .threshold_percent = rule.at("threshold_percent")};
}

attribute::Series series_of(const json& series) {
    const auto method = poll::parse_method(series.at("method").get<std::string>());
    return {.code = series.at("code"), .method = method.value_or(poll::Method::extension)};
}

/// The samples as they are given.
measure::History history_until(const json& group, Time at) {
    measure::History history;
    for (const auto& poll : group.at("polls")) {
        if (time_of(poll) <= at) {
            history.polls.push_back(time_of(poll));
        }
    }
    const auto polls = history.polls.size();
    for (const auto& series : group.at("series")) {
        auto& backend = history.backends[series.at("backend").get<std::string>()];
        backend.sampled.resize(polls);
        auto& values = backend.series[series_of(series)];
        for (std::size_t poll = 0; poll < polls; ++poll) {
            const auto& value = series.at("values").at(poll);
            values.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>());
            backend.sampled[poll] = backend.sampled[poll] || !value.is_null();
        }
    }
    return history;
}

/// What attribute would hand over at that poll.
attribute::Counts counts_at(const json& group, std::size_t poll) {
    attribute::Counts counts{.at = time_of(group.at("polls").at(poll)), .backends = {}};
    for (const auto& series : group.at("series")) {
        const auto& value = series.at("values").at(poll);
        if (value.is_null()) {
            continue;
        }
        auto& backend = counts.backends[series.at("backend").get<std::string>()];
        if (const auto count = value.get<std::uint64_t>(); count > 0) {
            backend[series_of(series)] = count;
        }
    }
    return counts;
}

/// The window as it stands at each evaluation.
class Feeder {
  public:
    Feeder(const json& group, Millis keep) : group_(group), keep_(keep), grown_(keep) {}

    measure::Window until(Time at) {
        if (group_.at("births") == "as_given") {
            return measure::Window::restore(keep_, history_until(group_, at)).value();
        }
        while (next_ < group_.at("polls").size() && time_of(group_.at("polls").at(next_)) <= at) {
            grown_.add(counts_at(group_, next_++));
        }
        return grown_;
    }

  private:
    const json& group_;
    Millis keep_;
    measure::Window grown_;
    std::size_t next_ = 0;
};

json run(const json& group, const judge::Rule& rule, measure::Dialect dialect) {
    const auto codes = measure::CodeSet::compile(rule.codes).value();
    Feeder feeder(group, rule.window);
    judge::Judge judge({rule});
    json result = json::array();
    for (const auto& evaluation : group.at("evaluations")) {
        const auto at = time_of(evaluation);
        const auto ratios = measure::measure(feeder.until(at), at, codes, rule.window, dialect);
        json backends = json::object();
        for (const auto& alert : judge.evaluate({{rule.name, ratios}}, {.at = at, .wall = {}}).alerts) {
            const auto ratio =
                ratios.backends.contains(alert.backend) ? ratios.backends.at(alert.backend) : measure::Ratio{};
            const auto value = ratio.value();
            backends[alert.backend.name] = {
                {"matching", number(ratio.matching)},
                {"all", number(ratio.all)},
                {"percent", value && std::isnan(*value) ? number(value) : number(alert.percent)},
                {"state", to_string(alert.state)},
                {"active_since",
                 alert.active_since ? json(alert.active_since->at.time_since_epoch().count()) : json()}};
        }
        result.push_back({{"at", evaluation}, {"backends", backends}});
    }
    return result;
}

}  // namespace

int main() {
    try {
        const auto input = json::parse(std::cin);
        const auto rule = rule_of(input.at("rule"));
        const auto dialect = dialect_of(input.at("dialect"));
        json output = json::array();
        for (const auto& group : input.at("groups")) {
            output.push_back(run(group, rule, dialect));
        }
        std::cout << output << "\n";
    } catch (const std::exception& error) {
        std::cerr << "rule_trace: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
