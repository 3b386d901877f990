// SPDX-License-Identifier: Apache-2.0
#include "agent/fills.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace upstat::agent {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

poll::Snapshot poll(int seconds, std::uint64_t entries, std::map<std::string, std::uint64_t> places = {}) {
    return {.at = Time(std::chrono::seconds(seconds)),
            .kernel_errors = std::move(places),
            .maps = {{.map = "totals", .entries = entries, .capacity = 100},
                     {.map = "requests", .entries = 1, .capacity = 10},
                     {.map = "overflow", .entries = 10, .capacity = 10}}};
}

TEST(FillWatch, WarnsOnceBeforeAMapIsFull) {
    FillWatch watch;
    EXPECT_THAT(watch.look(poll(0, 89)), IsEmpty());
    const auto notices = watch.look(poll(5, 90));
    ASSERT_THAT(notices, SizeIs(1));
    EXPECT_FALSE(notices[0].error);
    EXPECT_THAT(notices[0].text, HasSubstr("totals holds 90 of 100"));
    EXPECT_THAT(notices[0].text, HasSubstr("bpf.totals-size"));
    EXPECT_THAT(watch.look(poll(10, 95)), IsEmpty());
    EXPECT_THAT(watch.look(poll(15, 100)), IsEmpty());
}

TEST(FillWatch, SaysOnceThatAFullMapSpills) {
    FillWatch watch;
    watch.look(poll(0, 100));
    const auto notices = watch.look(poll(5, 100, {{"totals_full", 3}}));
    ASSERT_THAT(notices, SizeIs(1));
    EXPECT_TRUE(notices[0].error);
    EXPECT_THAT(notices[0].text, HasSubstr("bpf.totals-size"));
    EXPECT_THAT(notices[0].text, HasSubstr("server=\"overflow\""));
    EXPECT_THAT(watch.look(poll(10, 100, {{"totals_full", 9}})), IsEmpty());
}

TEST(FillWatch, WhatHappenedBeforeTheStartIsNoNews) {
    FillWatch watch;
    EXPECT_THAT(watch.look(poll(0, 50, {{"totals_full", 3}, {"storage_failed", 4}})), IsEmpty());
    EXPECT_THAT(watch.look(poll(5, 50, {{"totals_full", 3}, {"storage_failed", 4}})), IsEmpty());
}

poll::Server server(std::uint16_t port, std::uint16_t zone) {
    return {.port = port, .zone = zone};
}

TEST(FillWatch, SaysWhichTraefikTookTheRoom) {
    FillWatch watch;
    watch.look(poll(0, 50));
    auto spilled = poll(5, 50, {{"share_full", 7}, {"totals_full", 7}});
    spilled.servers[server(80, 0)].requests = 1000;
    spilled.servers[server(81, 1)].requests = 1;
    spilled.servers[server(82, 1)].requests = 1;
    const auto notices = watch.look(spilled, {{0, "traefik.service"}, {1, "hers"}});
    ASSERT_THAT(notices, SizeIs(1));
    EXPECT_TRUE(notices[0].error);
    EXPECT_THAT(notices[0].text, HasSubstr("7 events of servers that are new are counted"));
    EXPECT_THAT(notices[0].text, EndsWith("The Traefik that has the most series is hers"));
}

TEST(FillWatch, NamesNoTraefikWhereThereIsOne) {
    FillWatch watch;
    watch.look(poll(0, 50));
    const auto notices = watch.look(poll(5, 50, {{"share_full", 7}, {"totals_full", 7}}));
    ASSERT_THAT(notices, SizeIs(1));
    EXPECT_THAT(notices[0].text, EndsWith("restart upstat"));
}

TEST(FillWatch, NamesTheSysctlForSocketsWithoutMemory) {
    FillWatch watch;
    watch.look(poll(0, 1));
    const auto notices = watch.look(poll(5, 1, {{"storage_failed", 4}}));
    ASSERT_THAT(notices, SizeIs(1));
    EXPECT_TRUE(notices[0].error);
    EXPECT_THAT(notices[0].text, HasSubstr("4 times a connection"));
    EXPECT_THAT(notices[0].text, HasSubstr("net.core.optmem_max"));
    EXPECT_THAT(watch.look(poll(10, 1, {{"storage_failed", 6}})), IsEmpty());
    EXPECT_THAT(watch.look(poll(700, 1, {{"storage_failed", 7}})), SizeIs(1));
}

TEST(FillWatch, RoutesThatFindNoRoomAreSaid) {
    FillWatch watch;
    EXPECT_THAT(watch.look(poll(0, 50, {{"route_full", 3}})), IsEmpty());
    const auto notices = watch.look(poll(5, 50, {{"route_full", 7}}));
    ASSERT_THAT(notices, SizeIs(1));
    EXPECT_THAT(notices[0].text, HasSubstr("4 responses are counted for their server and for none of the backends"));
    EXPECT_THAT(notices[0].text, HasSubstr("Raise bpf.totals-size"));
}

TEST(FillWatch, WhatOneServerOfTheProbesShowsTooMuchIsSaid) {
    FillWatch watch;
    EXPECT_THAT(watch.look(poll(0, 50)), IsEmpty());
    const auto notices = watch.look(poll(5, 50, {{"probe_series", 4}, {"totals_full", 4}}));
    ASSERT_THAT(notices, SizeIs(1));
    EXPECT_TRUE(notices[0].error);
    EXPECT_THAT(notices[0].text, HasSubstr("4 responses of TLS or HTTP/2 servers are counted in"));
    auto full = poll(10, 50, {{"probe_series", 4}, {"totals_full", 8}});
    full.maps.push_back({.map = "probed", .entries = 8192, .capacity = 8192});
    const auto more = watch.look(full);
    ASSERT_THAT(more, SizeIs(1));
    EXPECT_THAT(more[0].text, HasSubstr("the kernel map probed is full"));
    EXPECT_THAT(more[0].text, HasSubstr("Run `upstat detach` and restart upstat: it is empty"));
}

}  // namespace
}  // namespace upstat::agent
