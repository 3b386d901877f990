// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "publish/report.hpp"

namespace upstat::publish {

/// So many seconds after the beginning, by whatever clock is asked.
struct At {
    std::chrono::seconds after;

    operator Time() const { return Time(after); }       // NOLINT(google-explicit-constructor)
    operator Wall() const { return Wall(after); }       // NOLINT(google-explicit-constructor)
    operator Moment() const { return {*this, *this}; }  // NOLINT(google-explicit-constructor)
};

inline At at(std::int64_t seconds) {
    return {std::chrono::seconds(seconds)};
}

/// A report with something of everything.
inline Report sample_report() {
    Report report;
    report.at = Wall(at(1'700'000'000)) + Millis(123);
    report.not_ready.clear();
    report.build = {{"version", "0.1.0"}, {"revision", "abc"}};
    report.agent = "edge-1";
    report.traefiks.push_back({.name = "traefik.service",
                               .pid = 42,
                               .cgroup = "/system.slice/traefik.service",
                               .api = "http://127.0.0.1:8080",
                               .version = "3.7.15",
                               .attached = true,
                               .shared = "",
                               .tls = "",
                               .problem = ""});
    report.alertmanagers = {{"http://one:9093", {}}, {"http://two:9093", {}}};
    report.counts.at = at(1'700'000'000);
    report.counts.backends["app@file"] = {
        {{404, poll::Method::get, attribute::Protocol::http}, 7},
        {{200, poll::Method::post, attribute::Protocol::http}, 90},
        {{299, poll::Method::get, attribute::Protocol::http}, 18446744073709551615ULL},
        {{101, poll::Method::get, attribute::Protocol::websocket}, 1}};
    report.counts.backends["quiet@file"] = {};

    poll::ServerTotals totals;
    totals.requests = 100;
    totals.connects = 3;
    totals.responses = {{{200, poll::Method::get}, 80}, {{404, poll::Method::get}, 15}};
    totals.unanswered = {{"reset", 2}, {"novel", 1}};
    totals.unread = {{"tls", 4}};
    totals.connect_failures = {{"refused", 5}};
    const auto first = *poll::parse_server("10.0.0.1:80");
    const auto second = *poll::parse_server("[fd00::1]:80");
    report.servers.servers[first] = totals;
    report.probes["health-check"][first] = {
        .requests = 9, .responses = {{{401, poll::Method::extension}, 7}}, .unanswered = {{"reset", 2}}};
    report.probes["other"][{}] = {.requests = 1, .responses = {{{404, poll::Method::extension}, 1}}};
    report.servers.streams = {*poll::parse_server("10.0.0.3:25")};

    attribute::Catalogue catalogue;
    auto& backend = catalogue.backends["app@file"];
    backend.provider = "file";
    backend.listed = {{.url = "http://one", .up = true, .servers = {first, second}},
                      {.url = "http://two", .up = false, .servers = {first}},
                      {.url = "http://one", .up = true, .servers = {}}};
    report.catalogue = std::make_shared<const attribute::Catalogue>(std::move(catalogue));

    report.client_errors.backends["app@file"] = {.matching = 1.0, .all = 8.0};
    report.client_errors.backends["quiet@file"] = {.matching = 0.0, .all = 0.0};
    judge::Alert alert;
    alert.rule = "TraefikHighHttp4xxErrorRateBackend";
    alert.backend = "app@file";
    alert.state = judge::State::firing;
    alert.percent = 12.5;
    alert.ratio = {.matching = 1.0, .all = 8.0};
    alert.worst = judge::Worst{.server = "10.0.0.1:80", .code = 404, .count = 15};
    alert.active_since = at(1'699'999'900);
    alert.firing_since = at(1'699'999'960);
    report.alerts.at = {.at = at(1'700'000'000), .wall = report.at};
    report.alerts.alerts = {alert};
    report.rules = {judge::Rule{}};
    judge::Rule server_errors;
    server_errors.name = "ServerErrors";
    server_errors.codes = "5..";
    report.rules.push_back(server_errors);
    alert.rule = server_errors.name;
    alert.state = judge::State::pending;
    alert.percent = 50;
    alert.ratio = {.matching = 4.0, .all = 8.0};
    alert.worst = judge::Worst{.server = "[fd00::1]:80", .code = 503, .count = 7};
    alert.firing_since.reset();
    report.alerts.alerts.push_back(alert);
    alert.backend = "quiet@file";
    alert.state = judge::State::inactive;
    alert.percent.reset();
    alert.ratio = {.matching = 0.0, .all = 0.0};
    alert.worst.reset();
    alert.active_since.reset();
    report.alerts.alerts.push_back(alert);

    report.kernel_errors = {{"not_tcp", 0}, {"totals_full", 2}};
    report.maps = {{.map = "totals", .entries = 10, .capacity = 65536}};
    report.programs = {{.program = "upstat_egress", .runs = 1000, .nanoseconds = 123456789}};
    report.last_poll = report.at;
    report.poll_duration = std::chrono::microseconds(1500);
    report.polls.success = 12;
    report.process.cpu_seconds = 1.25;
    report.process.open_fds = 17;
    return report;
}

}  // namespace upstat::publish
