// SPDX-License-Identifier: Apache-2.0
#include "publish/explain_views.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json_text.hpp"
#include "judge/diagnosis.hpp"
#include "publish/samples_view.hpp"
#include "publish/told_apart.hpp"

namespace upstat::publish {

namespace {

using nlohmann::json;

json explanation(const Report& report, const ToldApart& names, const judge::Diagnosis& diagnosis) {
    json out{{"at", rfc3339(report.at)},
             {"backend", names.name(diagnosis.backend)},
             {"traefik", diagnosis.backend.name.empty() ? "" : traefik_name(report, diagnosis.backend.zone)},
             {"severity", to_string(diagnosis.severity)},
             {"cause", to_string(diagnosis.cause)},
             {"sentence", diagnosis.sentence},
             {"since", nullptr},
             {"servers", json::array()},
             {"facts", json::array()},
             {"next", json::array()}};
    if (diagnosis.since) {
        out["since"] = rfc3339(report.at + (*diagnosis.since - report.history.at.at));
    }
    for (const auto& server : diagnosis.servers) {
        out["servers"].push_back(names.name(server));
    }
    for (const auto& fact : diagnosis.facts) {
        out["facts"].push_back({{"topic", fact.topic}, {"text", fact.text}});
    }
    if (const auto paths = paths_text(report, diagnosis.backend); !paths.empty()) {
        out["facts"].push_back({{"topic", "paths"}, {"text", paths}});
    }
    for (const auto& step : diagnosis.next) {
        out["next"].push_back({{"text", step.text}, {"command", step.command}});
    }
    return out;
}

json everything(const Report& report, const ToldApart& names, const judge::Diagnoser& diagnoser) {
    const auto problems = diagnoser.problems();
    json out{{"at", rfc3339(report.at)}, {"sentence", ""}, {"problems", json::array()}};
    for (const auto& problem : problems) {
        out["problems"].push_back(explanation(report, names, problem));
    }
    if (!report.not_ready.empty()) {
        out["sentence"] = "not ready: " + report.not_ready;
    } else if (problems.empty()) {
        out["sentence"] = fmt::format("all is well: {} {}s, none with anything wrong", report.counts.backends.size(),
                                      noun(report.names));
    } else {
        out["sentence"] = problems.front().sentence;
    }
    return out;
}

}  // namespace

std::optional<std::string> explain_json(const Report& report, const Query& query) {
    const ToldApart names(report);
    const auto asked = names.asked_backend(query);
    if (!query.backend.empty() && !asked) {
        return std::nullopt;
    }
    const judge::Evidence evidence{.now = {.at = report.history.at.at, .wall = report.at},
                                   .history = report.history,
                                   .catalogue = *report.catalogue,
                                   .owners = *report.owners,
                                   .servers = report.servers.servers,
                                   .streams = report.servers.streams,
                                   .before = *report.before,
                                   .alerts = report.alerts,
                                   .outages = report.outages,
                                   .rules = report.rules,
                                   .traefiks = report.traefik_names};
    if (report.rules.empty()) {  // before the first poll
        return json_text({{"at", rfc3339(report.at)},
                          {"sentence", "not ready: " + report.not_ready},
                          {"problems", json::array()}}) +
               "\n";
    }
    const judge::Diagnoser diagnoser(evidence);
    return json_text(query.backend.empty() ? everything(report, names, diagnoser)
                                           : explanation(report, names, diagnoser.of(*asked))) +
           "\n";
}

}  // namespace upstat::publish
