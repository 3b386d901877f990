// SPDX-License-Identifier: Apache-2.0
#include "publish/views.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "base/json_text.hpp"
#include "judge/sentence.hpp"
#include "publish/text.hpp"
#include "publish/told_apart.hpp"

namespace upstat::publish {

namespace {

using nlohmann::json;

std::string dump(const json& value) {
    return json_text(value, 2) + "\n";
}

json when(const std::optional<Wall>& time) {
    return time ? json(rfc3339(*time)) : json();
}

json when(const std::optional<Moment>& moment) {
    return moment ? json(rfc3339(moment->wall)) : json();
}

json number(const std::optional<double>& value) {
    return value && std::isfinite(*value) ? json(*value) : json();  // JSON knows no NaN
}

double seconds(Millis time) {
    return static_cast<double>(time.count()) / 1000;
}

json results(const Results& results) {
    return {{"success", results.success}, {"failure", results.failure}, {"last_error", results.last_error}};
}

json traefik(const TraefikReport& traefik) {
    return {{"name", traefik.name},      {"pid", traefik.pid},         {"cgroup", traefik.cgroup},
            {"api", traefik.api},        {"version", traefik.version}, {"attached", traefik.attached},
            {"shared", traefik.shared},  {"company", traefik.company}, {"tls", traefik.tls},
            {"problem", traefik.problem}};
}

json codes(const auto& counts) {
    std::map<std::string, std::uint64_t> sums;
    for (const auto& [key, count] : counts) {
        sums[std::to_string(key.code)] += count;
    }
    return sums;
}

json methods(const poll::ResponseCounts& counts) {
    std::map<std::string, std::uint64_t> sums;
    for (const auto& [key, count] : counts) {
        sums[std::string(to_string(key.method))] += count;
    }
    return sums;
}

Results sum(const std::map<std::string, Results>& all) {
    Results sum;
    for (const auto& [name, one] : all) {
        sum += one;
    }
    return sum;
}

std::uint64_t sum(const attribute::SeriesCounts& counts) {
    std::uint64_t total = 0;
    for (const auto& [series, count] : counts) {
        total += count;
    }
    return total;
}

/// All that the kernel has of a server, as `before` has it.
poll::ResponseCounts with_folded(const Report& report, const std::optional<poll::Server>& server,
                                 poll::ResponseCounts responses) {
    if (const auto folded = server ? report.folded.find(*server) : report.folded.end(); folded != report.folded.end()) {
        for (const auto& [response, count] : folded->second) {
            responses[response] += count;
        }
    }
    return responses;
}

json window(const Report& report, const ServerSeries& series, const poll::ServerTotals& totals) {
    json counts = json::object();
    auto server = poll::server_of_label(series.label);
    if (server && series.zone) {
        server->zone = *series.zone;
    }
    const auto before = server ? report.before->find(*server) : report.before->end();
    const auto grown = judge::growth(before == report.before->end() ? poll::ResponseCounts() : before->second,
                                     with_folded(report, server, totals.responses));
    for (const auto& [code, count] : grown) {
        if (server && count != 0) {
            counts[std::to_string(code)] = count;
        }
    }
    return {{"seconds", seconds(report.counts.at - report.before_at)}, {"codes", counts}};
}

json server(const Report& report, const ServerSeries& series, const poll::ServerTotals& totals) {
    json out = {{"codes", codes(totals.responses)},
                {"methods", methods(totals.responses)},
                {"outstanding", totals.outstanding()},
                {"traefik", series.zone ? traefik_name(report, *series.zone) : ""},
                {"window", window(report, series, totals)}};
    for (const auto& count : poll::plain_counts) {
        out[count.name] = totals.*count.member;
    }
    for (const auto& count : poll::reason_counts) {
        out[count.name] = json_object(totals.*count.member);
    }
    return out;
}

const measure::Ratio& client_errors_of(const Report& report, const attribute::BackendName& backend) {
    static const measure::Ratio none;
    const auto found = report.client_errors.backends.find(backend);
    return found == report.client_errors.backends.end() ? none : found->second;
}

std::string outage_of(const Report& report, const attribute::BackendName& backend) {
    const auto found = report.outages.find(backend);
    return found == report.outages.end() ? std::string() : found->second;
}

json texts(const ToldApart& names, const auto& servers) {
    auto all = json::array();
    for (const auto& server : servers) {
        all.push_back(names.name(server));
    }
    return all;
}

json listed(const ToldApart& names, const attribute::Listed& entry) {
    return {{"url", entry.url}, {"up", entry.up}, {"servers", texts(names, entry.servers)}};
}

json backend(const Report& report, const ToldApart& names, const attribute::BackendName& name,
             const attribute::SeriesCounts& counts) {
    const auto& ratio = client_errors_of(report, name);
    json out = {{"ratio", number(ratio.value())},
                {"matching_rate", number(ratio.matching)},
                {"rate", number(ratio.all)},
                {"requests", sum(counts)},
                {"codes", codes(counts)},
                {"outage", outage_of(report, name)},
                {"alerts", json::object()},
                {"provider", ""},
                {"listed", json::array()},
                {"traefik", traefik_name(report, name.zone)},
                {"name", name.name}};
    if (const auto found = report.catalogue->backends.find(name); found != report.catalogue->backends.end()) {
        out["provider"] = found->second.provider;
        for (const auto& entry : found->second.listed) {
            out["listed"].push_back(listed(names, entry));
        }
    }
    return out;
}

json rule(const judge::Rule& rule) {
    return {{"name", rule.name},
            {"share", to_string(rule.share)},
            {"codes", rule.share == judge::Share::codes ? rule.codes : ""},
            {"window_seconds", seconds(rule.window)},
            {"for_seconds", seconds(rule.for_duration)},
            {"threshold_percent", rule.threshold_percent},
            {"min_rate", rule.min_rate},
            {"severity", rule.severity},
            {"labels", rule.labels},
            {"annotations", rule.annotations}};
}

json worst(const std::optional<judge::Worst>& worst) {
    return worst ? json{{"server", worst->server},
                        {"code", worst->code == 0 ? json() : json(worst->code)},
                        {"count", worst->count}}
                 : json();
}

bool quiet(const judge::Alert& alert) {
    return alert.state == judge::State::inactive;
}

/// Empty for one that is quiet.
std::string sentence(const Report& report, const judge::Alert& alert) {
    const auto rule = std::ranges::find(report.rules, alert.rule, &judge::Rule::name);
    return quiet(alert) || rule == report.rules.end() ? std::string() : judge::sentence(alert, *rule);
}

json alert(const Report& report, const ToldApart& names, const judge::Alert& alert) {
    return {{"alert", alert.rule},
            {"backend", names.name(alert.backend)},
            {"traefik", traefik_name(report, alert.backend.zone)},
            {"state", to_string(alert.state)},
            {"percent", number(alert.percent)},
            {"ratio", number(alert.ratio.value())},
            {"rate", number(alert.ratio.all)},
            {"worst", worst(alert.worst)},
            {"sentence", sentence(report, alert)},
            {"explanation", alert.explanation},
            {"active_since", when(alert.active_since)},
            {"firing_since", when(alert.firing_since)},
            {"resolved_at", when(alert.resolved_at)}};
}

}  // namespace

std::string status_json(const Report& report) {
    json out = {{"at", rfc3339(report.at)},
                {"ready", report.not_ready.empty()},
                {"not_ready", report.not_ready},
                {"notice", report.notice},
                {"build", report.build},
                {"traefiks", json::array()},
                {"last_poll", when(report.last_poll)},
                {"poll_seconds", static_cast<double>(report.poll_duration.count()) / 1e6},
                {"config_reloaded", report.config_reloaded},
                {"kernel_errors", report.kernel_errors},
                {"left_out_servers", texts(ToldApart(report), report.servers.streams)},
                {"unresolved_names", report.unresolved},
                {"unresolved_count", report.unresolved_names},
                {"unwatched_cgroups", report.unwatched_cgroups},
                {"reading_threads", report.reading_threads},
                {"alertmanagers", json::object()},
                {"maps", json::array()},
                {"programs", json::array()}};
    out["results"] = {{"polls", results(report.polls)},
                      {"push", results(report.push)},
                      {"alertmanager", results(sum(report.alertmanagers))},
                      {"traefik_api", results(report.traefik_api)},
                      {"name_lookups", results(report.name_lookups)}};
    for (const auto& [url, tries] : report.alertmanagers) {
        out["alertmanagers"][url] = results(tries);
    }
    for (const auto& one : report.traefiks) {
        out["traefiks"].push_back(traefik(one));
    }
    for (const auto& map : report.maps) {
        out["maps"].push_back({{"map", map.map}, {"entries", map.entries}, {"capacity", map.capacity}});
    }
    for (const auto& program : report.programs) {
        out["programs"].push_back({{"program", program.program},
                                   {"runs", program.runs},
                                   {"seconds", static_cast<double>(program.nanoseconds) / 1e9}});
    }
    return dump(out);
}

std::string alerts_json(const Report& report) {
    json out = {{"at", rfc3339(report.alerts.at.wall)}, {"rules", json::array()}, {"alerts", json::array()}};
    for (const auto& one : report.rules) {
        out["rules"].push_back(rule(one));
    }
    const ToldApart names(report);
    for (const auto& one : report.alerts.alerts) {
        out["alerts"].push_back(alert(report, names, one));
    }
    return dump(out);
}

std::string backends_json(const Report& report) {
    json out = {{"at", rfc3339(report.at)},
                {"names", to_string(report.names)},
                {"backends", json::object()},
                {"servers", json::object()}};
    const ToldApart names(report);
    for (const auto& [name, counts] : report.counts.backends) {
        out["backends"][names.name(name)] = backend(report, names, name, counts);
    }
    for (const auto& one : report.alerts.alerts) {
        if (const auto found = out["backends"].find(names.name(one.backend)); found != out["backends"].end()) {
            (*found)["alerts"][one.rule] = {{"state", to_string(one.state)}, {"ratio", number(one.ratio.value())}};
        }
    }
    for (const auto& [one, totals] : report.servers.servers) {
        out["servers"][names.name(one)] = server(report, series_of(one), totals);
    }
    each_sum(report, [&](const ServerSeries& series, const poll::ServerTotals& totals) {
        out["servers"][series.label] = server(report, series, totals);
    });
    return dump(out);
}

}  // namespace upstat::publish
