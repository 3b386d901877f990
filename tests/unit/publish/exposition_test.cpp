// SPDX-License-Identifier: Apache-2.0
#include "publish/exposition.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "publish/sample.hpp"

namespace upstat::publish {
namespace {

std::vector<std::string> lines(const std::string& text) {
    std::vector<std::string> out;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        out.push_back(line);
    }
    return out;
}

bool has_line(const std::string& text, const std::string& line) {
    return ("\n" + text).contains("\n" + line + "\n");
}

Page page_of(const Report& report) {
    return {.report = std::make_shared<const Report>(report)};
}

/// The page of a report none of whose series is young.
std::string text_of(const Report& report) {
    return page_text(page_of(report));
}

TEST(Exposition, GivesEveryMetric) {
    const auto text = text_of(sample_report());
    for (
        const auto* line : {
            R"(traefik_backend_requests_total{backend="app@file",code="404",method="GET",protocol="http"} 7)",
            R"(traefik_backend_requests_total{backend="app@file",code="101",method="GET",protocol="websocket"} 1)",
            R"(traefik_backend_requests_total{backend="app@file",code="299",method="GET",protocol="http"} 18446744073709551615)",
            R"(traefik_backend_server_up{backend="app@file",url="http://one"} 1)",
            R"(traefik_backend_server_up{backend="app@file",url="http://two"} 0)",
            R"(upstat_server_requests_total{server="10.0.0.1:80"} 100)",
            R"(upstat_server_requests_total{server="unmapped"} 0)",
            R"(upstat_server_responses_total{server="10.0.0.1:80",code="404",method="GET"} 15)",
            R"(upstat_server_unanswered_total{server="10.0.0.1:80",reason="reset"} 2)",
            R"(upstat_server_unanswered_total{server="10.0.0.1:80",reason="novel"} 1)",
            R"(upstat_server_outstanding_requests{server="10.0.0.1:80"} 2)",
            R"(upstat_server_connects_total{server="10.0.0.1:80"} 3)",
            R"(upstat_server_connect_failures_total{server="10.0.0.1:80",reason="refused"} 5)",
            R"(upstat_server_unread_connections_total{server="10.0.0.1:80",reason="tls"} 4)",
            R"(upstat_server_probe_requests_total{server="10.0.0.1:80",kind="health-check"} 9)",
            R"(upstat_server_probe_responses_total{server="10.0.0.1:80",code="401",kind="health-check"} 7)",
            R"(upstat_server_probe_responses_total{server="overflow",code="404",kind="other"} 1)",
            R"(upstat_server_probe_unanswered_total{server="10.0.0.1:80",kind="health-check",reason="reset"} 2)",
            R"(upstat_backend_server_info{backend="app@file",server="[fd00::1]:80",provider="file",agent="edge-1"} 1)",
            R"(upstat_backend_4xx_ratio{backend="app@file"} 0.125)",
            R"(upstat_alert_state{alert="TraefikHighHttp4xxErrorRateBackend",backend="app@file"} 2)",
            R"(upstat_alert_ratio{alert="TraefikHighHttp4xxErrorRateBackend",backend="app@file"} 0.125)",
            R"(upstat_alert_ratio{alert="ServerErrors",backend="app@file"} 0.5)",
            "upstat_last_poll_timestamp_seconds 1700000000.123",
            "upstat_poll_duration_seconds 0.0015",
            R"(upstat_polls_total{result="success"} 12)",
            R"(upstat_polls_total{result="failure"} 0)",
            R"(upstat_push_total{result="failure"} 0)",
            R"(upstat_alertmanager_notifications_total{receiver="http://one:9093",result="success"} 0)",
            R"(upstat_alertmanager_notifications_total{receiver="http://one:9093",result="failure"} 0)",
            R"(upstat_traefiks{state="counted"} 1)",
            R"(upstat_traefiks{state="not_counted"} 0)",
            "upstat_backends 1",
            R"(upstat_traefik_api_requests_total{result="success"} 0)",
            R"(upstat_map_entries{map="totals"} 10)",
            R"(upstat_map_capacity{map="totals"} 65536)",
            R"(upstat_kernel_errors_total{place="not_tcp"} 0)",
            R"(upstat_kernel_errors_total{place="totals_full"} 2)",
            R"(upstat_probe_runs_total{program="upstat_egress"} 1000)",
            R"(upstat_probe_run_seconds_total{program="upstat_egress"} 0.123456789)",
            "upstat_config_last_reload_successful 1",
            R"(upstat_build_info{revision="abc",version="0.1.0"} 1)",
            "process_cpu_seconds_total 1.25",
            "process_open_fds 17",
        }) {
        EXPECT_TRUE(has_line(text, line)) << line;
    }
}

TEST(Exposition, EveryMetricHasHelpAndTypeOnceAndNoSeriesStandsTwice) {
    const auto all = lines(text_of(sample_report()));
    std::set<std::string> seen;
    std::set<std::string> described;
    std::string metric;
    for (const auto& line : all) {
        if (line.starts_with("# HELP ")) {
            metric = line.substr(7, line.find(' ', 7) - 7);
            EXPECT_TRUE(described.insert(metric).second) << line;
        } else if (line.starts_with("# TYPE ")) {
            EXPECT_TRUE(line.starts_with("# TYPE " + metric + " ")) << line;
        } else {
            EXPECT_TRUE(line.starts_with(metric + "{") || line.starts_with(metric + " ")) << line;
            EXPECT_TRUE(seen.insert(line.substr(0, line.rfind(' '))).second) << line;
        }
    }
    EXPECT_GT(described.size(), 20U);
}

TEST(Exposition, ShowsTheCommonestAtZeroFromTheStart) {
    const auto text = text_of(sample_report());
    for (const auto* line : {
             R"(traefik_backend_requests_total{backend="quiet@file",code="200",method="GET",protocol="http"} 0)",
             R"(traefik_backend_requests_total{backend="quiet@file",code="404",method="GET",protocol="http"} 0)",
             R"(traefik_backend_requests_total{backend="quiet@file",code="503",method="GET",protocol="http"} 0)",
             R"(upstat_server_requests_total{server="unmapped"} 0)",
             R"(upstat_server_connects_total{server="unmapped"} 0)",
         }) {
        EXPECT_TRUE(has_line(text, line)) << line;
    }
    EXPECT_FALSE(text.contains(R"(backend="app@file",code="404",method="POST")")) << "no more for a method";
}

/// A name as long as they are on a big cluster.
std::string backend_name(std::size_t index) {
    return "shop-" + std::to_string(10000 + index) + "-web-8080@kubernetes";
}

/// So many servers, each in a backend of its own, without traffic.
Report idle_report(std::size_t servers) {
    Report report;
    report.agent = "ip-10-42-117-203.eu-central-1.compute.internal";
    attribute::Catalogue catalogue;
    for (std::size_t i = 0; i < servers; ++i) {
        const auto server =
            *poll::parse_server("10.142." + std::to_string(i / 250) + "." + std::to_string(i % 250), 8080);
        report.servers.servers[server] = {};
        report.counts.backends[backend_name(i)] = {};
        catalogue.backends[backend_name(i)] = {
            .provider = "kubernetes",
            .listed = {{.url = "http://" + to_string(server), .up = true, .servers = {server}}}};
        report.alerts.alerts.push_back(
            {.rule = judge::Rule{}.name, .backend = backend_name(i), .state = judge::State::inactive});
    }
    report.catalogue = std::make_shared<const attribute::Catalogue>(std::move(catalogue));
    return report;
}

std::size_t samples(const std::string& text, const std::string& with = "") {
    return static_cast<std::size_t>(std::ranges::count_if(
        lines(text), [&](const std::string& line) { return !line.starts_with("#") && line.contains(with); }));
}

TEST(Exposition, TenThousandIdleServersAreUnderTwelveMebibytes) {
    const auto one = text_of(idle_report(1));
    EXPECT_LE(samples(one, R"(server="10.142.0.0:8080")"), 12U);
    EXPECT_LT(text_of(idle_report(10'000)).size(), std::size_t{12} << 20);
}

/// What a family of Traefik's names says, with the old names in it.
std::set<std::string> family(const std::string& text, const std::string& noun) {
    std::set<std::string> said;
    for (auto line : lines(text)) {
        if (line.starts_with("traefik_" + noun)) {
            for (auto at = line.find(noun); at != std::string::npos && at < 60; at = line.find(noun, at + 1)) {
                line.replace(at, noun.size(), "backend");
            }
            said.insert(line);
        }
    }
    return said;
}

TEST(Exposition, ServicesAreNamedAsIsWanted) {
    auto report = sample_report();
    const auto backends = family(text_of(report), "backend");
    ASSERT_GT(backends.size(), 10U);
    EXPECT_TRUE(family(text_of(report), "service").empty());
    report.names = Names::service;
    EXPECT_EQ(family(text_of(report), "service"), backends);
    EXPECT_TRUE(family(text_of(report), "backend").empty());
    report.names = Names::both;
    EXPECT_EQ(family(text_of(report), "service"), backends);
    EXPECT_EQ(family(text_of(report), "backend"), backends);
    EXPECT_EQ(text_of(report).find("traefik_service_requests_total{service=\"app@file\",code=\"299\","),
              text_of(report).rfind("traefik_service_requests_total{service=\"app@file\",code=\"299\","));
}

TEST(Exposition, BothNamesOfTenThousandIdleServersAreUnderEighteenMebibytes) {
    auto report = idle_report(10'000);
    report.names = Names::both;
    EXPECT_LT(text_of(report).size(), std::size_t{18} << 20);
}

TEST(Exposition, AYoungSeriesIsAtZeroByEachName) {
    const Time born(std::chrono::seconds(100));
    Young young;
    young.backends["app@file"].series = {{{404, poll::Method::get, attribute::Protocol::http}, born}};
    auto report = sample_report();
    report.names = Names::both;
    const auto text = page_text({.report = std::make_shared<const Report>(report),
                                 .young = std::make_shared<const Young>(young),
                                 .scraped_since = born - Millis(1)});
    for (const std::string noun : {"backend", "service"}) {
        EXPECT_TRUE(text.contains("traefik_" + noun + "_requests_total{" + noun +
                                  R"(="app@file",code="404",method="GET",protocol="http"} 0)"));
    }
}

TEST(Exposition, AClientsMethodsAddTheirOwnSeriesOnly) {
    auto report = sample_report();
    const auto before = samples(text_of(report));
    auto& backend = report.counts.backends["app@file"];
    auto& server = report.servers.servers.begin()->second;
    std::size_t added = 0;
    for (const auto method : {poll::Method::extension, poll::Method::head, poll::Method::put, poll::Method::delete_,
                              poll::Method::connect, poll::Method::options, poll::Method::trace, poll::Method::patch}) {
        backend[{.code = 405, .method = method}] = 1;
        server.responses[{.code = 405, .method = method}] = 1;
        added += 2;
    }
    EXPECT_EQ(samples(text_of(report)), before + added);
}

TEST(Exposition, ARatioWithoutTrafficIsAbsent) {
    EXPECT_FALSE(text_of(sample_report()).contains(R"(upstat_backend_4xx_ratio{backend="quiet@file"})"));
    EXPECT_FALSE(text_of(sample_report()).contains(R"(upstat_alert_ratio{alert="ServerErrors",backend="quiet@file"})"));
}

TEST(Exposition, EscapesLabelValues) {
    Report report;
    report.counts.backends["a\"b\\c\nd\xffz\xc3\xa9"] = {};
    EXPECT_TRUE(text_of(report).contains("backend=\"a\\\"b\\\\c\\nd\xef\xbf\xbdz\xc3\xa9\""));
}

TEST(Exposition, APushedPageLeavesTheProcessOut) {
    const auto page = page_of(sample_report());
    EXPECT_TRUE(page_text(page).contains("process_open_fds"));
    EXPECT_FALSE(pushed_text(page, "").contains("process_"));
    EXPECT_TRUE(pushed_text(page, "").contains("upstat_build_info"));
    EXPECT_TRUE(pushed_text(page, "").ends_with("\n"));
}

TEST(Exposition, ComesInPiecesUntilNoMoreAreWanted) {
    auto report = sample_report();
    for (int i = 0; i < 1000; ++i) {
        report.counts.backends["backend" + std::to_string(i)] = {};
    }
    const auto page = page_of(report);
    std::string joined;
    std::size_t pieces = 0;
    EXPECT_TRUE(write_page(page, [&](std::string_view piece) {
        joined += piece;
        ++pieces;
        return true;
    }));
    EXPECT_EQ(joined, page_text(page));
    EXPECT_GT(pieces, 1U);
    pieces = 0;
    EXPECT_FALSE(write_page(page, [&](std::string_view /*piece*/) {
        ++pieces;
        return false;
    }));
    EXPECT_EQ(pieces, 1U);
}

TEST(Exposition, PromtoolFindsNoFault) {
    const std::string promtool = "/usr/bin/promtool";
    if (access(promtool.c_str(), X_OK) != 0) {
        GTEST_SKIP() << "promtool (Debian's package prometheus) is not here";
    }
    auto report = sample_report();
    report.counts.backends["a\"b\\c\nd\xff"] = {};
    const auto path = testing::TempDir() + "upstat_page_" + std::to_string(getpid());
    std::ofstream(path) << text_of(report);
    const auto command = promtool + " check metrics < " + path + " 2>&1";
    // NOLINTNEXTLINE(cert-env33-c): a test runs a tool
    auto* const pipe = popen(command.c_str(), "r");
    std::string said;
    std::array<char, 512> some{};
    while (fgets(some.data(), some.size(), pipe) != nullptr) {
        said += some.data();
    }
    EXPECT_EQ(pclose(pipe), 0) << said;
    EXPECT_EQ(said, "");
    unlink(path.c_str());
}

TEST(Exposition, AYoungSeriesIsZeroWhileItIsYoung) {
    auto report = sample_report();
    Young young;
    const Time born{std::chrono::hours(1)};
    young.backends["app@file"].series = {{{404, poll::Method::get, attribute::Protocol::http}, born}};
    young.servers[{"10.0.0.1:80", 0}].responses = {{{404, poll::Method::get}, born}};
    Page page = page_of(report);
    page.young = std::make_shared<const Young>(young);
    const auto text_after = [&](Millis age) {
        page.scraped_since = born + age - std::chrono::seconds(75);
        page.pushed_since = page.scraped_since - Millis(1);
        return page_text(page);
    };
    const auto* const series =
        R"(traefik_backend_requests_total{backend="app@file",code="404",method="GET",protocol="http"} )";
    const auto* const server = R"(upstat_server_responses_total{server="10.0.0.1:80",code="404",method="GET"} )";
    for (const auto age : {Millis(0), Millis(74'999)}) {
        const auto text = text_after(age);
        EXPECT_TRUE(has_line(text, std::string(series) + "0"));
        EXPECT_TRUE(has_line(text, std::string(server) + "0"));
        EXPECT_TRUE(has_line(text, R"(upstat_server_outstanding_requests{server="10.0.0.1:80"} 2)"));
        EXPECT_TRUE(has_line(text, R"(upstat_server_requests_total{server="10.0.0.1:80"} 100)"));
    }
    const auto text = text_after(Millis(75'000));
    EXPECT_TRUE(has_line(text, std::string(series) + "7"));
    EXPECT_TRUE(has_line(text, std::string(server) + "15"));
    EXPECT_TRUE(has_line(pushed_text(page, ""), std::string(series) + "0"));
}

/// The sample's, and another Traefik's of the same names and addresses.
Report report_of_two() {
    auto report = sample_report();
    report.traefik_names = {{0, "traefik.service"}, {3, "a \"b\""}};
    auto server = *poll::parse_server("10.0.0.1:80");
    server.zone = 3;
    report.servers.servers[server] = {.requests = 6, .responses = {{{200, poll::Method::get}, 6}}};
    report.counts.backends[{"app@file", 3}] = {{{200, poll::Method::get, attribute::Protocol::http}, 6}};
    auto catalogue = *report.catalogue;
    catalogue.backends[{"app@file", 3}] = {.provider = "file",
                                           .listed = {{.url = "http://one", .up = true, .servers = {server}}}};
    report.catalogue = std::make_shared<const attribute::Catalogue>(std::move(catalogue));
    report.client_errors.backends[{"app@file", 3}] = {.matching = 2.0, .all = 8.0};
    auto alert = report.alerts.alerts.front();
    alert.backend.zone = 3;
    alert.state = judge::State::inactive;
    report.alerts.alerts.push_back(alert);
    return report;
}

TEST(Exposition, TwoTraefiksAreToldApartByTheirLabel) {
    const auto text = text_of(report_of_two());
    for (
        const auto* const line : {
            R"(traefik_backend_requests_total{backend="app@file",traefik="traefik.service",code="404",method="GET",protocol="http"} 7)",
            R"(traefik_backend_requests_total{backend="app@file",traefik="a \"b\"",code="200",method="GET",protocol="http"} 6)",
            R"(traefik_backend_server_up{backend="app@file",traefik="a \"b\"",url="http://one"} 1)",
            R"(upstat_server_requests_total{server="10.0.0.1:80",traefik="traefik.service"} 100)",
            R"(upstat_server_requests_total{server="10.0.0.1:80",traefik="a \"b\""} 6)",
            R"(upstat_server_requests_total{server="unmapped"} 0)",
            R"(upstat_backend_server_info{backend="app@file",traefik="a \"b\"",server="10.0.0.1:80",provider="file",agent="edge-1"} 1)",
            R"(upstat_backend_4xx_ratio{backend="app@file",traefik="a \"b\""} 0.25)",
            R"(upstat_alert_state{alert="TraefikHighHttp4xxErrorRateBackend",backend="app@file",traefik="traefik.service"} 2)",
            R"(upstat_alert_state{alert="TraefikHighHttp4xxErrorRateBackend",backend="app@file",traefik="a \"b\""} 0)",
        }) {
        EXPECT_TRUE(has_line(text, line)) << line;
    }
}

TEST(Exposition, APushSaysWhoseItIs) {
    EXPECT_TRUE(has_line(pushed_text(page_of(sample_report()), "boot/7"), R"(push_owner_info{owner="boot/7"} 1)"));
    EXPECT_FALSE(text_of(sample_report()).contains("push_owner_info"));
}

}  // namespace
}  // namespace upstat::publish
