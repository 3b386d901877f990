// SPDX-License-Identifier: Apache-2.0
#include "agent/ask_pace.hpp"

#include <gtest/gtest.h>

namespace upstat::agent {
namespace {

constexpr Millis poll = std::chrono::seconds(5);

Time at(std::int64_t millis) {
    return Time(std::chrono::hours(1)) + Millis(millis);
}

TEST(AskPace, IsASecondWhereAResponseCostsNothing) {
    AskPace pace;
    EXPECT_EQ(pace.wait(at(0), poll), Millis(0)) << "at once";
    pace.asked(at(0));
    pace.answered(at(2));
    EXPECT_EQ(pace.wait(at(2), poll), Millis(998));
    EXPECT_EQ(pace.wait(at(2), Millis(200)), Millis(198)) << "a poll's at most";
}

TEST(AskPace, IsSlowerTheLongerAResponseTakes) {
    AskPace pace;
    pace.asked(at(0));
    pace.answered(at(30));
    EXPECT_EQ(pace.wait(at(0), poll), Millis(3000));
    pace.answered(at(900));
    EXPECT_EQ(pace.wait(at(0), poll), poll);
}

TEST(AskPace, ASignMakesItQuickForAFewSeconds) {
    AskPace pace;
    pace.asked(at(0));
    pace.answered(at(1));
    pace.stir(at(500));
    EXPECT_EQ(pace.wait(at(500), poll), Millis(0));
    pace.asked(at(500));
    EXPECT_EQ(pace.wait(at(500), poll), Millis(20));
    pace.asked(at(5500));
    EXPECT_EQ(pace.wait(at(5500), poll), Millis(1000));
}

TEST(AskPace, AChangeLeavesTheBudgetToTheNextOne) {
    AskPace pace;
    int asked = 0;
    for (int move = 0; move < 20; ++move) {
        const auto began = at(move * 10'000);
        pace.stir(began);
        for (auto now = began; now < began + std::chrono::seconds(5); now += Millis(10)) {
            if (now == began + Millis(100)) {
                EXPECT_LE(pace.wait(now, poll), Millis(20)) << "each change is noticed early";
                pace.changed(now);
            }
            if (pace.wait(now, poll) == Millis(0)) {
                pace.asked(now);
                ++asked;
            }
        }
    }
    EXPECT_LE(asked, 20 * 40);
}

TEST(AskPace, SignsWithoutEndAreNotFollowedWithoutEnd) {
    AskPace pace;
    int asked = 0;
    for (auto now = at(0); now < at(600'000); now += Millis(10)) {
        pace.stir(now);
        if (pace.wait(now, poll) == Millis(0)) {
            pace.asked(now);
            ++asked;
        }
    }
    EXPECT_GE(asked, 600);
    EXPECT_LE(asked, 600 + 250 + 1200);
}

}  // namespace
}  // namespace upstat::agent
