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

Page page_of(const Report& report, ZeroStart& zero_start) {
    return render(std::make_shared<const Report>(report), zero_start);
}

/// The page of a report whose series have all been shown before.
std::string text_of(const Report& report) {
    ZeroStart zero_start;
    zero_start.served(page_of(report, zero_start).number);
    return page_text(page_of(report, zero_start));
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
            R"(upstat_backend_server_info{backend="app@file",server="[fd00::1]:80",provider="file",traefik="http://127.0.0.1:8080"} 1)",
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

TEST(Exposition, ShowsWhatCanAppearAtZero) {
    const auto text = text_of(sample_report());
    for (const auto* line : {
             R"(traefik_backend_requests_total{backend="quiet@file",code="404",method="GET",protocol="http"} 0)",
             R"(traefik_backend_requests_total{backend="quiet@file",code="504",method="GET",protocol="http"} 0)",
             R"(traefik_backend_requests_total{backend="app@file",code="404",method="POST",protocol="http"} 0)",
             R"(upstat_server_responses_total{server="10.0.0.1:80",code="500",method="GET"} 0)",
             R"(upstat_server_unanswered_total{server="unmapped",reason="closed"} 0)",
             R"(upstat_server_connect_failures_total{server="unmapped",reason="timeout"} 0)",
             R"(upstat_server_unread_connections_total{server="unmapped",reason="http2"} 0)",
         }) {
        EXPECT_TRUE(has_line(text, line)) << line;
    }
    EXPECT_FALSE(text.contains(R"(backend="quiet@file",code="404",method="POST")"));
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
    ZeroStart zero_start;
    const auto page = page_of(sample_report(), zero_start);
    EXPECT_TRUE(page_text(page).contains("process_open_fds"));
    EXPECT_FALSE(pushed_text(page).contains("process_"));
    EXPECT_TRUE(pushed_text(page).contains("upstat_build_info"));
    EXPECT_TRUE(pushed_text(page).ends_with("\n"));
    EXPECT_TRUE(page_text(page).starts_with(pushed_text(page)));
}

TEST(Exposition, ComesInPiecesUntilNoMoreAreWanted) {
    auto report = sample_report();
    for (int i = 0; i < 1000; ++i) {
        report.counts.backends["backend" + std::to_string(i)] = {};
    }
    ZeroStart zero_start;
    const auto page = page_of(report, zero_start);
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

/// What a page says of app's answers with this code to GET.
std::string shown(const Report& report, ZeroStart& zero_start, const std::string& code = "404") {
    const auto text = page_text(page_of(report, zero_start));
    const auto series =
        "traefik_backend_requests_total{backend=\"app\",code=\"" + code + R"(",method="GET",protocol="http"} )";
    const auto found = text.find(series);
    if (found == std::string::npos) {
        return "absent";
    }
    const auto start = found + series.size();
    return text.substr(start, text.find('\n', start) - start);
}

Report with(std::uint16_t code, std::uint64_t count) {
    Report report;
    report.counts.backends["app"] = {{{code, poll::Method::get, attribute::Protocol::http}, count}};
    return report;
}

TEST(ZeroStart, ASeriesIsZeroUntilAPageWithItWasDelivered) {
    ZeroStart zero_start;
    EXPECT_EQ(shown(with(404, 5), zero_start), "0");  // page 1
    EXPECT_EQ(shown(with(404, 6), zero_start), "0");  // page 2
    zero_start.served(1);
    EXPECT_EQ(shown(with(404, 7), zero_start), "7");
}

TEST(ZeroStart, AnUnusualCodeIsBornWhenItAppears) {
    ZeroStart zero_start;
    EXPECT_EQ(shown(with(404, 5), zero_start, "418"), "absent");  // page 1
    zero_start.served(1);
    EXPECT_EQ(shown(with(418, 3), zero_start, "418"), "0");  // page 2
    zero_start.served(1);
    EXPECT_EQ(shown(with(418, 4), zero_start, "418"), "0");  // page 3
    zero_start.served(3);
    EXPECT_EQ(shown(with(418, 4), zero_start, "418"), "4");
}

TEST(ZeroStart, AZeroThatWasDeliveredIsABirth) {
    ZeroStart zero_start;
    EXPECT_EQ(shown(with(200, 5), zero_start, "404"), "0");  // page 1
    zero_start.served(1);
    EXPECT_EQ(shown(with(404, 9), zero_start, "404"), "9");
}

TEST(ZeroStart, ASeriesThatWasAwayBeforeItWasDeliveredBeginsAgain) {
    ZeroStart zero_start;
    EXPECT_EQ(shown(with(404, 5), zero_start), "0");      // page 1
    EXPECT_EQ(page_of(Report(), zero_start).number, 2U);  // without the backend
    zero_start.served(2);                                 // a page that did not show it
    EXPECT_EQ(shown(with(404, 6), zero_start), "0");      // page 3
    zero_start.served(2);
    EXPECT_EQ(shown(with(404, 7), zero_start), "0");  // page 4
    zero_start.served(4);
    EXPECT_EQ(shown(with(404, 8), zero_start), "8");
}

TEST(ZeroStart, ABornSeriesComesBackAsItIs) {
    ZeroStart zero_start;
    shown(with(418, 5), zero_start, "418");
    zero_start.served(1);
    EXPECT_EQ(shown(with(404, 5), zero_start, "418"), "absent");
    EXPECT_EQ(shown(with(418, 6), zero_start, "418"), "6") << "it was away alone";
    EXPECT_EQ(page_of(Report(), zero_start).number, 4U);
    EXPECT_EQ(shown(with(418, 7), zero_start, "418"), "7") << "it was away with its backend";
}

TEST(ZeroStart, RestoredSeriesAreBorn) {
    ZeroStart zero_start;
    zero_start.restore(with(418, 5).counts);
    EXPECT_EQ(shown(with(418, 6), zero_start, "418"), "6");
    EXPECT_EQ(shown(with(404, 6), zero_start, "404"), "0");
}

}  // namespace
}  // namespace upstat::publish
