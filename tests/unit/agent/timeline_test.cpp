// SPDX-License-Identifier: Apache-2.0
#include "agent/timeline.hpp"

#include <gtest/gtest.h>

namespace upstat::agent {
namespace {

using namespace std::chrono_literals;

class TimelineTest : public testing::Test {
  protected:
    [[nodiscard]] Timeline timeline(const std::string& boot, const std::optional<Timeline::Mark>& saved = {}) {
        return {{.wall = [this] { return wall_; }, .steady = {}, .since_boot = [this] { return since_boot_; }},
                boot,
                saved};
    }
    void pass(Millis time) {
        wall_ += time;
        since_boot_ += time;
    }

    Wall wall_{1'700'000'000s};
    Millis since_boot_ = 2h;
};

TEST_F(TimelineTest, BeginsAtTheWallClockAndDoesNotFollowIt) {
    const auto time = timeline("a");
    const auto begin = time.now();
    EXPECT_EQ(begin.at.time_since_epoch(), wall_.time_since_epoch());
    pass(5s);
    wall_ -= 1h;
    EXPECT_EQ(time.now().at - begin.at, 5s);
    EXPECT_EQ(time.now().wall - begin.wall, 5s - 1h);
}

TEST_F(TimelineTest, GoesOnWithinABootWhateverBecomesOfTheWallClock) {
    const auto last = timeline("a").now();
    const auto mark = timeline("a").mark(last);
    pass(20s);
    for (const Millis step : {0h, 1h, -1h, 24h * 365}) {
        wall_ += step;
        EXPECT_EQ(timeline("a", mark).now().at - last.at, 20s) << step.count();
    }
}

TEST_F(TimelineTest, GoesOnAfterABootByTheWallClock) {
    const auto last = timeline("a").now();
    const auto mark = timeline("a").mark(last);
    wall_ += 50s;
    since_boot_ = 30s;
    EXPECT_EQ(timeline("b", mark).now().at - last.at, 50s);
    wall_ -= 24h;  // the host has no clock of its own
    EXPECT_EQ(timeline("b", mark).now().at, last.at) << "nothing that was saved is in the future";
    EXPECT_EQ(timeline("b", mark).now().wall, wall_);
}

TEST_F(TimelineTest, AHostThatDoesNotNameItsBootsGoesByTheWallClock) {
    const auto last = timeline("").now();
    const auto mark = timeline("").mark(last);
    wall_ += 50s;
    EXPECT_EQ(timeline("", mark).now().at - last.at, 50s);
}

/// As in another time namespace, or a file that somebody has changed.
TEST_F(TimelineTest, ABootClockThatWasAheadIsNotBelieved) {
    const auto last = timeline("a").now();
    const auto mark = timeline("a").mark(last);
    since_boot_ -= 1h;
    wall_ += 50s;
    EXPECT_EQ(timeline("a", mark).now().at - last.at, 50s);
}

}  // namespace
}  // namespace upstat::agent
