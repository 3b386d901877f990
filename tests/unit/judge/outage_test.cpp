// SPDX-License-Identifier: Apache-2.0
#include "judge/outage.hpp"

#include <gtest/gtest.h>

namespace upstat::judge {
namespace {

using namespace std::chrono_literals;

const auto one = *poll::parse_server("10.0.0.1:80");
const auto two = *poll::parse_server("10.0.0.2:80");

/// Two servers of shop@file, one of which blog@file has as well, polled each 5 seconds.
class SilencesTest : public testing::Test {
  protected:
    SilencesTest() {
        catalogue_.backends["shop@file"].listed = {{.url = "http://one", .up = true, .servers = {one}},
                                                   {.url = "http://two", .up = true, .servers = {two}}};
        catalogue_.backends["blog@file"].listed = {{.url = "http://two", .up = true, .servers = {two}}};
        snapshot_.at = Time(1'700'000'000s);
        answer(one);
        answer(two);
        poll();
    }

    void poll() {
        snapshot_.at += 5s;
        silences_.look(snapshot_);
    }
    void answer(const poll::Server& server) {
        ++snapshot_.servers[server].requests;
        ++snapshot_.servers[server].responses[{.code = 404, .method = poll::Method::get}];
    }
    void refuse(const poll::Server& server, std::uint64_t count) {
        snapshot_.servers[server].connect_failures["refused"] += count;
    }
    [[nodiscard]] Outages outages() const { return silences_.outages(catalogue_); }

    attribute::Catalogue catalogue_;
    poll::Snapshot snapshot_{};
    Silences silences_{1min};
};

TEST_F(SilencesTest, ABackendWhoseServersAllRefuseIsOut) {
    for (int i = 0; i < 4; ++i) {
        refuse(one, 90);
        refuse(two, 90);
        poll();
    }
    EXPECT_EQ(outages(), (Outages{{"blog@file", "no responses for 20s, 18 connects a second refused"},
                                  {"shop@file", "no responses for 20s, 36 connects a second refused"}}));
    answer(two);
    poll();
    EXPECT_EQ(outages(), Outages{}) << "one responds to both";
}

TEST_F(SilencesTest, AServerThatFailedBeforeAnotherRespondedIsNoOutage) {
    refuse(one, 3);
    answer(two);
    poll();
    poll();
    EXPECT_EQ(outages(), Outages{});
    refuse(one, 1);
    poll();
    EXPECT_EQ(outages(), (Outages{{"shop@file", "no responses for 10s, 4 connects refused"}}))
        << "few are told as a number";
}

TEST_F(SilencesTest, ABackendThatNobodyAsksIsNone) {
    for (int i = 0; i < 100; ++i) {
        poll();
    }
    EXPECT_EQ(outages(), Outages{});
}

TEST_F(SilencesTest, AFailureOfLongAgoIsNone) {
    refuse(two, 1);
    poll();
    EXPECT_EQ(outages().at("blog@file"), "no responses for 5s, 1 connect refused");
    for (int i = 0; i < 12; ++i) {
        poll();
    }
    EXPECT_EQ(outages(), Outages{}) << "nobody asks any more";
}

TEST_F(SilencesTest, WhereResponsesCannotBeReadTheirAbsenceTellsNothing) {
    const auto tls = *poll::parse_server("10.0.0.9:443");
    catalogue_.backends["tls@file"].listed = {{.url = "https://tls", .up = true, .servers = {tls}}};
    snapshot_.servers[tls].unread["tls"] = 1;
    poll();
    refuse(tls, 1);
    poll();
    EXPECT_EQ(outages(), Outages{});
}

TEST_F(SilencesTest, RequestsThatEndWithoutAResponseAreToldByTheirReason) {
    auto& totals = snapshot_.servers[two];
    totals.requests += 62;
    totals.unanswered = {{"reset", 50}, {"missed", 10}};
    poll();
    EXPECT_EQ(outages().at("blog@file"),
              "no responses for 5s, 10 requests a second unanswered: reset, 2 requests wait for one");
}

TEST_F(SilencesTest, RequestsThatWaitAreAnOutageAfterAWhile) {
    snapshot_.servers[two].requests += 3;
    for (int i = 0; i < 11; ++i) {
        poll();
    }
    EXPECT_EQ(outages(), Outages{}) << "a response may take a while";
    poll();
    EXPECT_EQ(outages().at("blog@file"), "no responses for 1m, 3 requests wait for one");
}

TEST_F(SilencesTest, WhatUpstatCouldNotReadTellsNothing) {
    snapshot_.servers[two].requests += 8;
    snapshot_.servers[two].unanswered = {{"missed", 2}, {"unparsed", 2}, {"upgraded", 1}, {"aborted", 3}};
    poll();
    EXPECT_EQ(outages(), Outages{});
}

TEST_F(SilencesTest, MapsThatWereMadeAnewBeginAnew) {
    refuse(one, 10);
    refuse(two, 10);
    poll();
    ASSERT_EQ(outages().size(), 2U);
    snapshot_.servers = {};
    poll();
    EXPECT_EQ(outages(), Outages{});
    answer(one);
    poll();
    EXPECT_EQ(outages(), Outages{});
}

TEST_F(SilencesTest, AReloadGoesOn) {
    refuse(two, 100);
    poll();
    Silences next(3min);
    next.continue_from(silences_);
    refuse(two, 100);
    snapshot_.at += 5s;
    next.look(snapshot_);
    EXPECT_EQ(next.outages(catalogue_).at("blog@file"), "no responses for 10s, 20 connects a second refused");
}

}  // namespace
}  // namespace upstat::judge
