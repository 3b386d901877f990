// SPDX-License-Identifier: Apache-2.0
#include "publish/sockets_view.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "poll/socket_records.hpp"
#include "publish/sample.hpp"

namespace upstat::publish {
namespace {

using nlohmann::json;
using poll::socket_record;

constexpr auto hostile = "<b>\x1b[2J\"\xe2\x80\xae";

Report report_with(const std::vector<upstat_socket>& records) {
    auto report = sample_report();
    report.counts.backends[hostile] = {};
    attribute::Owners owners;
    owners[*poll::parse_server("10.0.0.1:80")] = {"app@file", hostile};
    owners[*poll::parse_server("[fd00::1]:80")] = {"app@file"};
    report.owners = std::make_shared<const attribute::Owners>(owners);
    report.sockets = poll::walk_of(records);
    return report;
}

json shown_by(const Report& report, const Query& query = {}) {
    const auto text = sockets_json(report, query);
    return text ? json::parse(*text) : json();
}

Query of(const std::string& backend, const std::string& server = {}) {
    Query query;
    query.backend = backend;
    query.server = server;
    return query;
}

std::vector<int> ports_of(const json& out) {
    std::vector<int> ports;
    for (const auto& socket : out.at("sockets")) {
        ports.push_back(socket.at("local_port"));
    }
    return ports;
}

TEST(SocketsView, ASocketHasItsServerItsBackendsAndItsResponses) {
    auto record = socket_record(1, "10.0.0.1:80", UPSTAT_SOCKET_IDLE);
    record.responses[0] = 12;
    record.responses[3] = 4'000'000'000;
    const auto out = shown_by(report_with({record}));
    EXPECT_EQ(out["at"], "2023-11-14T22:13:20.000Z");
    EXPECT_EQ(out["problem"], "");
    EXPECT_EQ(out["total"], 1);
    EXPECT_EQ(out["states"], json({{"idle", 1}}));
    EXPECT_EQ(out["sockets"][0], json({{"server", "10.0.0.1:80"},
                                       {"backends", {hostile, "app@file"}},
                                       {"local_port", 40001},
                                       {"state", "idle"},
                                       {"seconds", 0.0},
                                       {"age_seconds", 0.0},
                                       {"joined", false},
                                       {"responses", {{"2xx", 12}, {"3xx", 0}, {"4xx", 0}, {"5xx", 4'000'000'000}}}}));
}

TEST(SocketsView, TheWorstComeFirst) {
    auto bad = socket_record(1, "10.0.0.1:80", UPSTAT_SOCKET_IDLE);
    bad.responses[3] = 2;
    auto worse = socket_record(2, "10.0.0.1:80", UPSTAT_SOCKET_IDLE);
    worse.responses[3] = 3;
    auto missing = socket_record(3, "10.0.0.1:80", UPSTAT_SOCKET_IDLE);
    missing.responses[2] = 100;
    auto waits = socket_record(4, "10.0.0.1:80", UPSTAT_SOCKET_WAITING);
    waits.lasting = 1000;
    auto waits_longer = socket_record(5, "10.0.0.1:80", UPSTAT_SOCKET_CONNECTING);
    waits_longer.lasting = 2000;
    auto rests = socket_record(6, "10.0.0.1:80", UPSTAT_SOCKET_IDLE);
    rests.lasting = 9000;
    const auto out = shown_by(report_with({rests, waits, missing, bad, waits_longer, worse}));
    EXPECT_EQ(ports_of(out), (std::vector{40002, 40001, 40003, 40005, 40004, 40006}));
}

TEST(SocketsView, OnlyThoseOfABackendOrAServer) {
    const auto report = report_with({socket_record(1, "10.0.0.1:80", UPSTAT_SOCKET_IDLE),
                                     socket_record(2, "[fd00::1]:80", UPSTAT_SOCKET_IDLE),
                                     socket_record(3, "10.0.0.9:80", UPSTAT_SOCKET_UNREAD)});
    EXPECT_EQ(shown_by(report)["total"], 3);
    EXPECT_EQ(ports_of(shown_by(report, of("app@file"))), (std::vector{40001, 40002}));
    EXPECT_EQ(ports_of(shown_by(report, of(hostile))), (std::vector{40001}));
    EXPECT_EQ(ports_of(shown_by(report, of("", "[fd00::1]:80"))), (std::vector{40002}));
    EXPECT_EQ(ports_of(shown_by(report, of(hostile, "[fd00::1]:80"))), std::vector<int>());
    EXPECT_EQ(shown_by(report, of("", "10.0.0.8:80"))["total"], 0);
    EXPECT_EQ(shown_by(report, of("", "localhost:80"))["total"], 0);
    EXPECT_TRUE(shown_by(report, of("nobody")).is_null());
    EXPECT_TRUE(shown_by(report, of("", "<script>")).is_null());
}

TEST(SocketsView, BackendsOfTwoTraefiksAreToldApart) {
    auto second = socket_record(2, "10.0.0.1:80", UPSTAT_SOCKET_IDLE);
    second.server.zone = 1;
    auto report = report_with({socket_record(1, "10.0.0.1:80", UPSTAT_SOCKET_IDLE), second});
    report.traefik_names = {{0, "one"}, {1, "two"}};
    report.counts.backends[{"app@file", 1}] = {};
    auto owners = *report.owners;
    auto server = *poll::parse_server("10.0.0.1:80");
    server.zone = 1;
    owners[server] = {"app@file"};
    report.owners = std::make_shared<const attribute::Owners>(owners);
    EXPECT_EQ(ports_of(shown_by(report, of("app@file of one"))), (std::vector{40001}));
    const auto out = shown_by(report, of("app@file of two"));
    EXPECT_EQ(ports_of(out), (std::vector{40002}));
    EXPECT_EQ(out["sockets"][0]["backends"], json({"app@file of two"}));
    EXPECT_TRUE(shown_by(report, of("app@file")).is_null()) << "which of the two?";
}

TEST(SocketsView, OfManyTheWorstAreShownAndTheOthersCounted) {
    std::vector<upstat_socket> records;
    for (std::uint32_t i = 0; i < 5000; i++) {
        records.push_back(socket_record(i, "10.0.0.1:80", UPSTAT_SOCKET_IDLE));
        records.back().responses[3] = i;
    }
    const auto out = shown_by(report_with(records));
    EXPECT_EQ(out["total"], 5000);
    EXPECT_EQ(out["sockets"].size(), 1000U);
    EXPECT_EQ(out["left_out"], 4000);
    EXPECT_EQ(out["sockets"][0]["responses"]["5xx"], 4999);
    EXPECT_EQ(out["sockets"][999]["responses"]["5xx"], 4000);
}

TEST(SocketsView, WithoutAWalkItSaysWhy) {
    auto report = sample_report();
    report.not_ready = "no poll yet";
    EXPECT_EQ(shown_by(report)["problem"], "not ready: no poll yet");
    report.sockets = std::make_shared<const poll::SocketWalk>(
        fail(Error::Kind::host, "this kernel does not show its sockets", "what to do"), [] { return Wall(); });
    EXPECT_EQ(shown_by(report)["problem"], "this kernel does not show its sockets");
    EXPECT_EQ(shown_by(report)["hint"], "what to do");
    EXPECT_EQ(shown_by(report)["sockets"], json::array());
}

}  // namespace
}  // namespace upstat::publish
