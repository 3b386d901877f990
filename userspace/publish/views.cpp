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
            {"problem", traefik.problem}};
}

json codes(const auto& counts) {
    std::map<std::string, std::uint64_t> sums;
    for (const auto& [key, count] : counts) {
        sums[std::to_string(key.code)] += count;
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

/// A name, and whose it is where another Traefik has one that reads the same.
std::string told_apart(const Report& report, const std::string& name, std::uint16_t zone, bool has_namesake) {
    return has_namesake ? fmt::format("{} of {}", name, traefik_name(report, zone)) : name;
}

/// As the page and the JSON call a backend.
std::string shown_name(const Report& report, const attribute::BackendName& backend) {
    const auto& all = report.counts.backends;
    const auto first = all.lower_bound({backend.name, 0});  // namesakes are neighbours
    const auto has_namesake = first != all.end() && std::next(first) != all.end() &&
                              first->first.name == backend.name && std::next(first)->first.name == backend.name;
    return told_apart(report, backend.name, backend.zone, has_namesake);
}

/// And a server.
std::string shown_name(const Report& report, const poll::Server& server) {
    const auto& all = report.servers.servers;
    auto begin = server;
    begin.zone = 0;
    const auto is_namesake = [&](const auto& entry) {
        return entry.first.address == server.address && entry.first.port == server.port;
    };
    const auto first = std::ranges::lower_bound(all, begin, {}, [](const auto& entry) { return entry.first; });
    const auto has_namesake =
        first != all.end() && std::next(first) != all.end() && is_namesake(*first) && is_namesake(*std::next(first));
    return told_apart(report, to_string(server), server.zone, has_namesake);
}

json window(const Report& report, const ServerSeries& series, const poll::ServerTotals& totals) {
    json counts = json::object();
    auto server = poll::parse_server(series.label);
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

json texts(const Report& report, const auto& servers) {
    auto all = json::array();
    for (const auto& server : servers) {
        all.push_back(shown_name(report, server));
    }
    return all;
}

json listed(const Report& report, const attribute::Listed& entry) {
    return {{"url", entry.url}, {"up", entry.up}, {"servers", texts(report, entry.servers)}};
}

json backend(const Report& report, const attribute::BackendName& name, const attribute::SeriesCounts& counts) {
    const auto& ratio = client_errors_of(report, name);
    json out = {{"ratio", number(ratio.value())}, {"matching_rate", number(ratio.matching)},
                {"rate", number(ratio.all)},      {"requests", sum(counts)},
                {"codes", codes(counts)},         {"outage", outage_of(report, name)},
                {"alerts", json::object()},       {"provider", ""},
                {"listed", json::array()},        {"traefik", traefik_name(report, name.zone)}};
    if (const auto found = report.catalogue->backends.find(name); found != report.catalogue->backends.end()) {
        out["provider"] = found->second.provider;
        for (const auto& entry : found->second.listed) {
            out["listed"].push_back(listed(report, entry));
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

json alert(const Report& report, const judge::Alert& alert) {
    return {{"alert", alert.rule},
            {"backend", shown_name(report, alert.backend)},
            {"traefik", traefik_name(report, alert.backend.zone)},
            {"state", to_string(alert.state)},
            {"percent", number(alert.percent)},
            {"ratio", number(alert.ratio.value())},
            {"rate", number(alert.ratio.all)},
            {"worst", worst(alert.worst)},
            {"sentence", sentence(report, alert)},
            {"active_since", when(alert.active_since)},
            {"firing_since", when(alert.firing_since)},
            {"resolved_at", when(alert.resolved_at)}};
}

std::string percent_text(const std::optional<double>& ratio) {
    return ratio && std::isfinite(*ratio) ? fmt::format("{:.2f} %", *ratio * 100) : std::string("&ndash;");
}

using AlertsOfBackends = std::map<attribute::BackendName, std::vector<const judge::Alert*>>;

AlertsOfBackends loud_alerts(const Report& report) {
    AlertsOfBackends alerts;
    for (const auto& alert : report.alerts.alerts) {
        if (!quiet(alert)) {
            alerts[alert.backend].push_back(&alert);
        }
    }
    return alerts;
}

/// One row of the table: of a backend and what is loud about it.
std::string row(const std::string& name, const attribute::SeriesCounts& counts, const measure::Ratio& client_errors,
                const std::string& outage, const std::vector<const judge::Alert*>& alerts) {
    std::array<std::uint64_t, 6> classes{};
    for (const auto& [series, count] : counts) {
        classes.at(std::min<std::size_t>(series.code / 100U, classes.size() - 1)) += count;
    }
    auto worst_state = judge::State::inactive;
    auto said = html(outage);
    for (const auto* const alert : alerts) {
        worst_state = std::max(worst_state, alert->state);
        said += fmt::format("{}{}: {}, {}", said.empty() ? "" : "<br>", html(alert->rule), to_string(alert->state),
                            percent_text(alert->ratio.value()));
    }
    return fmt::format(
        "<tr "
        "class=\"{}\"><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        outage.empty() ? to_string(worst_state) : "outage", html(name), said.empty() ? "inactive" : said,
        percent_text(client_errors.value()), sum(counts), classes[2], classes[3], classes[4], classes[5]);
}

/// Its links lead on from where it is, so that a proxy may serve it under a path.
constexpr std::string_view index_head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>upstat</title>
<style>
body { font-family: sans-serif; margin: 2em; }
table { border-collapse: collapse; }
td, th { padding: 0.3em 0.8em; border-bottom: 1px solid #ccc; text-align: right; }
td:first-child, th:first-child { text-align: left; }
.pending { background: #fff3cd; }
.firing, .outage { background: #f8d7da; }
</style></head><body>
<h1>upstat</h1>
<p>Status codes of the responses that Traefik's servers give, counted in the kernel.</p>
<ul>
<li><a href="metrics">/metrics</a>: for Prometheus</li>
<li><a href="api/v1/backends">/api/v1/backends</a>, <a href="api/v1/alerts">/api/v1/alerts</a>,
<a href="api/v1/status">/api/v1/status</a>: JSON</li>
<li><a href="-/healthy">/-/healthy</a>, <a href="-/ready">/-/ready</a></li>
</ul>
)";

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
                {"left_out_servers", texts(report, report.servers.streams)},
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
    for (const auto& one : report.alerts.alerts) {
        out["alerts"].push_back(alert(report, one));
    }
    return dump(out);
}

std::string backends_json(const Report& report) {
    json out = {{"at", rfc3339(report.at)},
                {"names", to_string(report.names)},
                {"backends", json::object()},
                {"servers", json::object()}};
    for (const auto& [name, counts] : report.counts.backends) {
        out["backends"][shown_name(report, name)] = backend(report, name, counts);
    }
    for (const auto& one : report.alerts.alerts) {
        if (const auto found = out["backends"].find(shown_name(report, one.backend)); found != out["backends"].end()) {
            (*found)["alerts"][one.rule] = {{"state", to_string(one.state)}, {"ratio", number(one.ratio.value())}};
        }
    }
    for (const auto& [one, totals] : report.servers.servers) {
        out["servers"][shown_name(report, one)] = server(report, series_of(one), totals);
    }
    each_sum(report, [&](const ServerSeries& series, const poll::ServerTotals& totals) {
        out["servers"][series.label] = server(report, series, totals);
    });
    return dump(out);
}

std::string index_html(const Report& report) {
    std::string out(index_head);
    if (!report.not_ready.empty()) {
        out += "<p><strong>Not ready: " + html(report.not_ready) + ".</strong></p>\n";
    }
    if (!report.notice.empty()) {
        out += "<p><strong>Ready, but " + html(report.notice) + ".</strong></p>\n";
    }
    out += fmt::format(
        "<table><tr><th>{}</th><th>alerts</th><th>4xx</th><th>responses</th><th>2xx</th><th>3xx</th>"
        "<th>4xx</th><th>5xx</th></tr>\n",
        noun(report.names));
    auto alerts = loud_alerts(report);
    for (const auto& [name, counts] : report.counts.backends) {
        out += row(shown_name(report, name), counts, client_errors_of(report, name), outage_of(report, name),
                   alerts[name]);
    }
    out += "</table>\n";
    for (const auto& one : report.alerts.alerts) {
        if (!quiet(one)) {
            out += "<p>" + html(sentence(report, one)) + ".</p>\n";
        }
    }
    return out + "<p>" + rfc3339(report.at) + "</p>\n</body></html>\n";
}

}  // namespace upstat::publish
