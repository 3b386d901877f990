// SPDX-License-Identifier: Apache-2.0
#include "base/outage.hpp"

#include <gmock/gmock.h>

namespace upstat {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

constexpr Time start{1'700'000'000s};

/// The lines of a log over time.
class Watch {
  public:
    void after(Millis time, const std::string& problem) {
        now_ += time;
        if (const auto line = outage_.note(problem, now_)) {
            EXPECT_EQ(line->failing, !problem.empty());
            lines.push_back(line->text);
        }
    }
    std::vector<std::string> lines;

  private:
    Outage outage_{"Alertmanager", "http://one:9093"};
    Time now_ = start;
};

TEST(Outage, IsOneLineWhenItBeginsAndOneWhenItEnds) {
    Watch watch;
    watch.after(0s, "");
    for (int i = 0; i < 120; ++i) {
        watch.after(5s, "POST http://one:9093: connection refused");
    }
    watch.after(5s, "");
    watch.after(5s, "");
    EXPECT_THAT(watch.lines, ElementsAre("Alertmanager: POST http://one:9093: connection refused",
                                         "Alertmanager: http://one:9093 works again after 600 s; 120 tries failed"));
}

TEST(Outage, TheNextOneIsSaidAtOnce) {
    Watch watch;
    watch.after(5s, "down");
    watch.after(5s, "");
    watch.after(5s, "down");
    watch.after(5s, "");
    EXPECT_THAT(watch.lines,
                ElementsAre("Alertmanager: down", "Alertmanager: http://one:9093 works again after 5 s; 1 try failed",
                            "Alertmanager: down", "Alertmanager: http://one:9093 works again after 5 s; 1 try failed"));
}

TEST(Outage, AnotherReasonIsSaid) {
    Watch watch;
    watch.after(5s, "refused");
    watch.after(5s, "refused");
    watch.after(5s, "status 503");
    watch.after(5s, "status 503");
    EXPECT_THAT(watch.lines, ElementsAre("Alertmanager: refused", "Alertmanager: status 503"));
}

TEST(Outage, ReasonsThatChangeAllTheTimeAreALineInTenMinutes) {
    Watch watch;
    for (int i = 0; i < 720; ++i) {  // an hour
        watch.after(5s, i % 2 == 0 ? "refused" : "timeout");
    }
    EXPECT_GE(watch.lines.size(), 8U);
    EXPECT_LE(watch.lines.size(), 3U + 6U);
}

TEST(Outage, ComingAndGoingAllTheTimeIsTwoLinesInTenMinutes) {
    Watch watch;
    for (int i = 0; i < 720; ++i) {
        watch.after(5s, i % 2 == 0 ? "refused" : "");
    }
    EXPECT_LE(watch.lines.size(), 2 * (3U + 6U));
}

TEST(Outage, WhatCouldNotBeSaidIsSaidLaterIfItGoesOn) {
    Watch watch;
    for (const auto* reason : {"a", "b", "c"}) {
        watch.after(1s, reason);
    }
    watch.after(1s, "");
    watch.lines.clear();
    watch.after(1s, "d");
    EXPECT_THAT(watch.lines, ElementsAre());
    watch.after(10min, "d");
    EXPECT_THAT(watch.lines, ElementsAre("Alertmanager: d"));
    watch.after(1s, "");
    EXPECT_EQ(watch.lines.back(), "Alertmanager: http://one:9093 works again after 601 s; 2 tries failed");
}

TEST(Outage, AShortOneThatWasNotSaidHasNoEndEither) {
    Watch watch;
    for (const auto* reason : {"a", "b", "c"}) {
        watch.after(1s, reason);
    }
    watch.after(1s, "");
    watch.lines.clear();
    watch.after(1s, "d");
    watch.after(1s, "");
    EXPECT_THAT(watch.lines, ElementsAre());
}

}  // namespace
}  // namespace upstat
