// SPDX-License-Identifier: Apache-2.0
#include "publish/views.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "publish/sample.hpp"

namespace upstat::publish {
namespace {

using nlohmann::json;

TEST(Views, BackendsHoldTheTrueCounts) {
    const auto out = json::parse(backends_json(sample_report()));
    EXPECT_EQ(out["at"], "2023-11-14T22:13:20.123Z");
    const auto& app = out["backends"]["app@file"];
    EXPECT_EQ(app["codes"]["404"], 7);
    EXPECT_EQ(app["codes"]["299"], 18446744073709551615ULL);
    EXPECT_EQ(app["ratio"], 0.125);
    EXPECT_EQ(app["provider"], "file");
    EXPECT_EQ(app["alerts"], json({{"TraefikHighHttp4xxErrorRateBackend", {{"state", "firing"}, {"ratio", 0.125}}},
                                   {"ServerErrors", {{"state", "pending"}, {"ratio", 0.5}}}}));
    EXPECT_EQ(app["listed"][0]["servers"], json({"10.0.0.1:80", "[fd00::1]:80"}));
    EXPECT_EQ(app["listed"][1]["up"], false);
    EXPECT_TRUE(out["backends"]["quiet@file"]["ratio"].is_null());
    const auto& server = out["servers"]["10.0.0.1:80"];
    EXPECT_EQ(server["requests"], 100);
    EXPECT_EQ(server["outstanding"], 2);
    EXPECT_EQ(server["codes"]["200"], 80);
    EXPECT_EQ(server["unanswered"]["reset"], 2);
    EXPECT_TRUE(out["servers"].contains("unmapped"));
}

TEST(Views, AServersWindowIsWhatItGaveSince) {
    auto report = sample_report();
    report.before_at = report.counts.at - std::chrono::minutes(4);
    const judge::ResponsesByServer before{
        {*poll::parse_server("10.0.0.1:80"), {{{200, poll::Method::get}, 80}, {{404, poll::Method::get}, 11}}}};
    report.before = std::make_shared<const judge::ResponsesByServer>(before);
    const auto servers = json::parse(backends_json(report))["servers"];
    EXPECT_EQ(servers["10.0.0.1:80"]["window"], json({{"seconds", 240.0}, {"codes", {{"404", 4}}}}));
    EXPECT_EQ(servers["unmapped"]["window"]["codes"], json::object());
}

TEST(Views, AnOutageIsSaidFirst) {
    auto report = sample_report();
    report.outages["quiet@file"] = "no responses for 38s, <b>";
    EXPECT_EQ(json::parse(backends_json(report))["backends"]["quiet@file"]["outage"], "no responses for 38s, <b>");
}

TEST(Views, AlertsHoldStatesAndTimes) {
    const auto out = json::parse(alerts_json(sample_report()));
    const auto& alert = out["alerts"][0];
    EXPECT_EQ(alert["state"], "firing");
    EXPECT_EQ(alert["percent"], 12.5);
    EXPECT_EQ(alert["firing_since"], "2023-11-14T22:12:40.000Z");
    EXPECT_TRUE(alert["resolved_at"].is_null());
    EXPECT_EQ(alert["ratio"], 0.125);
    EXPECT_EQ(alert["rate"], 8);
    EXPECT_EQ(alert["worst"], json({{"server", "10.0.0.1:80"}, {"code", 404}, {"count", 15}}));
    EXPECT_TRUE(alert["sentence"].get<std::string>().contains(" is firing for backend app@file: 12.5 %"));
    EXPECT_EQ(out["alerts"][1]["ratio"], 0.5) << "its own";
    EXPECT_TRUE(out["alerts"][1]["sentence"].get<std::string>().contains("7 responses with 503"));
    EXPECT_TRUE(out["alerts"][2]["ratio"].is_null());
    EXPECT_EQ(out["alerts"][2]["sentence"], "");
    EXPECT_EQ(out["rules"][0]["threshold_percent"], 5);
    EXPECT_EQ(out["rules"][0]["window_seconds"], 180);
}

TEST(Views, StatusTellsWhatIsWrong) {
    auto report = sample_report();
    report.push.count("");
    report.push.count("the Pushgateway answered with status 400");
    report.alertmanagers["http://two:9093"].count("POST http://two:9093: connection refused");
    const auto out = json::parse(status_json(report));
    EXPECT_EQ(out["ready"], true);
    EXPECT_EQ(out["alertmanagers"]["http://one:9093"]["last_error"], "");
    EXPECT_EQ(out["alertmanagers"]["http://two:9093"]["last_error"], "POST http://two:9093: connection refused");
    EXPECT_EQ(out["results"]["alertmanager"]["failure"], 1);
    EXPECT_EQ(out["results"]["alertmanager"]["last_error"], "POST http://two:9093: connection refused");
    EXPECT_EQ(out["results"]["push"]["success"], 1);
    EXPECT_EQ(out["results"]["push"]["failure"], 1);
    EXPECT_EQ(out["results"]["push"]["last_error"], "the Pushgateway answered with status 400");
    EXPECT_EQ(out["traefiks"][0]["pid"], 42);
    EXPECT_EQ(out["maps"][0]["capacity"], 65536);
    EXPECT_EQ(out["kernel_errors"]["totals_full"], 2);
    EXPECT_EQ(out["left_out_servers"], json({"10.0.0.3:25"}));
    EXPECT_EQ(json::parse(status_json(Report()))["ready"], false);
}

TEST(Views, NamesThatAreNoUtf8DoNotBreakJson) {
    Report report;
    report.counts.backends["a\xff"] = {};
    EXPECT_TRUE(json::parse(backends_json(report))["backends"].contains("a\xef\xbf\xbd"));
}

TEST(Views, TwoTraefiksNamesAreToldApart) {
    auto report = sample_report();
    report.traefik_names = {{0, "traefik.service"}, {3, "edge"}};
    auto server = *poll::parse_server("10.0.0.1:80");
    server.zone = 3;
    report.servers.servers[server] = {.requests = 6, .responses = {{{200, poll::Method::get}, 6}}};
    report.counts.backends[{"app@file", 3}] = {{{200, poll::Method::get, attribute::Protocol::http}, 6}};
    auto alert = report.alerts.alerts.front();
    alert.backend.zone = 3;
    alert.state = judge::State::pending;
    report.alerts.alerts.push_back(alert);

    const auto out = json::parse(backends_json(report));
    EXPECT_EQ(out["backends"].size(), 3U);
    EXPECT_EQ(out["backends"]["app@file of edge"]["requests"], 6);
    EXPECT_EQ(out["backends"]["app@file of edge"]["traefik"], "edge");
    EXPECT_EQ(out["backends"]["app@file of edge"]["alerts"][alert.rule]["state"], "pending");
    EXPECT_EQ(out["backends"]["app@file of traefik.service"]["alerts"][alert.rule]["state"], "firing");
    EXPECT_EQ(out["backends"]["app@file of traefik.service"]["listed"][0]["servers"][0],
              "10.0.0.1:80 of traefik.service");
    EXPECT_TRUE(out["backends"].contains("quiet@file")) << "no other Traefik has one of this name";
    EXPECT_EQ(out["servers"]["10.0.0.1:80 of edge"]["requests"], 6);
    EXPECT_EQ(out["servers"]["10.0.0.1:80 of traefik.service"]["requests"], 100);
    const auto alerts = json::parse(alerts_json(report));
    EXPECT_EQ(alerts["alerts"].back()["backend"], "app@file of edge");
    EXPECT_EQ(alerts["alerts"].back()["traefik"], "edge");
}

}  // namespace
}  // namespace upstat::publish
