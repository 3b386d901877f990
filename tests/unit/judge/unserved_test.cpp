// SPDX-License-Identifier: Apache-2.0
#include "judge/unserved.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace upstat::judge {
namespace {

using namespace std::chrono_literals;

const auto first = *poll::parse_server("10.0.0.1:80");
const auto second = *poll::parse_server("10.0.0.2:80");

/// shop@file has both servers, blog@file the second one; polled each 5 seconds.
class UnservedTest : public testing::Test {
  protected:
    UnservedTest() {
        catalogue_.backends["shop@file"].listed = {{.url = "http://one", .up = true, .servers = {first}},
                                                   {.url = "http://two", .up = true, .servers = {second}}};
        catalogue_.backends["blog@file"].listed = {{.url = "http://two", .up = true, .servers = {second}}};
        connects_.share = Share::connect_failures;
        unanswered_.share = Share::unanswered;
        snapshot_.at = Time(1'700'000'000s);
        snapshot_.servers[first];
        snapshot_.servers[second];
        responses_.backends["shop@file"] = {.matching = 0, .all = 6};
        responses_.backends["blog@file"] = {.matching = 0, .all = 0};
    }

    void poll(int times = 1) {
        for (; times > 0; --times) {
            snapshot_.at += 5s;
            unserved_.look(snapshot_);
        }
    }
    void refuse(const poll::Server& server, std::uint64_t count) {
        snapshot_.servers[server].connect_failures["refused"] += count;
    }
    void leave(const poll::Server& server, const std::string& reason, std::uint64_t count) {
        snapshot_.servers[server].unanswered[reason] += count;
    }
    [[nodiscard]] measure::Ratios ratios(const Rule& rule) const {
        return unserved_.ratios(rule, catalogue_, responses_);
    }
    [[nodiscard]] double share(const Rule& rule, const std::string& backend) const {
        return ratios(rule).backends.at(backend).value().value();
    }

    attribute::Catalogue catalogue_;
    poll::Snapshot snapshot_{};
    measure::Ratios responses_;
    Rule connects_;
    Rule unanswered_;
    Unserved unserved_{3min};
};

TEST_F(UnservedTest, IsAShareOfAllThatCameToAnEnd) {
    poll();
    refuse(first, 180);  // 1 a second, beside 6 responses
    leave(first, "closed", 360);
    poll();
    EXPECT_DOUBLE_EQ(share(connects_, "shop@file"), 1.0 / 9);
    EXPECT_DOUBLE_EQ(share(unanswered_, "shop@file"), 2.0 / 9);
    EXPECT_FALSE(ratios(connects_).backends.contains("blog@file")) << "none of its servers ever failed";
}

TEST_F(UnservedTest, WhatRoutesGaveToOthersCameFromTheServersToo) {
    catalogue_.backends["shop@file"].stands_for = {"a@file", "b@file"};
    responses_.backends["shop@file"] = {.matching = 0, .all = 0};
    responses_.backends["a@file"] = {.matching = 0, .all = 2};
    responses_.backends["b@file"] = {.matching = 0, .all = 7};
    poll();
    leave(first, "closed", 180);
    poll();
    EXPECT_DOUBLE_EQ(share(unanswered_, "shop@file"), 1.0 / 10);
}

TEST_F(UnservedTest, IsAllWhereNoServerResponds) {
    poll();
    refuse(second, 3);
    poll();
    EXPECT_DOUBLE_EQ(share(connects_, "blog@file"), 1);
    EXPECT_DOUBLE_EQ(share(unanswered_, "blog@file"), 0);
}

TEST_F(UnservedTest, WhatWasThereAtTheStartIsOfNoWindow) {
    refuse(first, 1000);
    poll(2);
    EXPECT_DOUBLE_EQ(share(connects_, "shop@file"), 0);
    refuse(second, 180);  // it never failed before
    poll();
    EXPECT_DOUBLE_EQ(share(connects_, "shop@file"), 1.0 / 7);
}

TEST_F(UnservedTest, WhatClientsGaveUpIsNoFailureOfAServer) {
    poll();
    leave(first, "aborted", 540);
    leave(first, "reset", 180);
    poll();
    EXPECT_DOUBLE_EQ(share(unanswered_, "shop@file"), 0.1);
}

TEST_F(UnservedTest, ForgetsBehindTheWindow) {
    poll();
    refuse(second, 9);
    poll();
    poll(35);
    EXPECT_DOUBLE_EQ(share(connects_, "blog@file"), 1);
    poll();
    EXPECT_TRUE(std::isnan(share(connects_, "blog@file"))) << "nobody asks";
    refuse(second, 1);
    poll();
    EXPECT_DOUBLE_EQ(share(connects_, "blog@file"), 1);
}

TEST_F(UnservedTest, MapsMadeAnewBeginAtZero) {
    refuse(second, 1000);
    poll(2);
    snapshot_.servers[second].connect_failures.clear();
    refuse(second, 180);
    poll();
    EXPECT_DOUBLE_EQ(share(connects_, "shop@file"), 1.0 / 7);
    snapshot_.servers.erase(snapshot_.servers.find(second));
    poll();
    EXPECT_TRUE(ratios(connects_).backends.empty());
}

TEST_F(UnservedTest, NamesTheServerThatFailsMost) {
    poll();
    refuse(first, 3);
    refuse(second, 4);
    leave(first, "reset", 9);
    poll();
    EXPECT_EQ(unserved_.worst(connects_, catalogue_, "shop@file"),
              (Worst{.server = "10.0.0.2:80", .code = 0, .count = 4}));
    EXPECT_EQ(unserved_.worst(unanswered_, catalogue_, "shop@file"),
              (Worst{.server = "10.0.0.1:80", .code = 0, .count = 9}));
    EXPECT_EQ(unserved_.worst(unanswered_, catalogue_, "blog@file"), std::nullopt);
}

TEST_F(UnservedTest, TellsWhileItsWindowIsNotFull) {
    EXPECT_TRUE(ratios(connects_).filling);
    poll(36);
    EXPECT_TRUE(ratios(connects_).filling);
    poll();
    EXPECT_FALSE(ratios(connects_).filling);
}

TEST_F(UnservedTest, GoesOnAfterAReload) {
    poll();
    refuse(second, 9);
    poll();
    Unserved next(1min);
    next.continue_from(std::move(unserved_));
    EXPECT_DOUBLE_EQ(next.ratios(connects_, catalogue_, responses_).backends.at("blog@file").value().value(), 1);
}

}  // namespace
}  // namespace upstat::judge
