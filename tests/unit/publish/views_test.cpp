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
    EXPECT_EQ(app["alerts"]["TraefikHighHttp4xxErrorRateBackend"], "firing");
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

TEST(Views, AlertsHoldStatesAndTimes) {
    const auto out = json::parse(alerts_json(sample_report()));
    const auto& alert = out["alerts"][0];
    EXPECT_EQ(alert["state"], "firing");
    EXPECT_EQ(alert["percent"], 12.5);
    EXPECT_EQ(alert["firing_since"], "2023-11-14T22:12:40.000Z");
    EXPECT_TRUE(alert["resolved_at"].is_null());
    EXPECT_EQ(out["rules"][0]["threshold_percent"], 5);
    EXPECT_EQ(out["rules"][0]["window_seconds"], 180);
}

TEST(Views, StatusTellsWhatIsWrong) {
    auto report = sample_report();
    report.push.count("");
    report.push.count("the Pushgateway answered with status 400");
    const auto out = json::parse(status_json(report));
    EXPECT_EQ(out["ready"], true);
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

TEST(Views, TheIndexEscapesNames) {
    auto report = sample_report();
    report.counts.backends["<script>"] = {};
    const auto page = index_html(report);
    EXPECT_TRUE(page.contains("&lt;script&gt;"));
    EXPECT_FALSE(page.contains("<script>"));
    EXPECT_TRUE(page.contains(R"(<tr class="firing"><td>app@file</td><td>firing</td><td>12.50 %</td>)")) << page;
    EXPECT_TRUE(page.contains("href=\"/metrics\""));
}

}  // namespace
}  // namespace upstat::publish
