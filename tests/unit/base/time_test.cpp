// SPDX-License-Identifier: Apache-2.0
#include "base/time.hpp"

#include <gtest/gtest.h>

namespace upstat {
namespace {

using namespace std::chrono_literals;

constexpr Time last{1'700'000'000'123ms};
constexpr Millis interval = 5s;

TEST(Aligned, APollIsToldByWhenItWasDue) {
    EXPECT_EQ(aligned(last, last + 5001ms, interval), last + 5s);
    EXPECT_EQ(aligned(last, last + 4999ms, interval), last + 5s);
    EXPECT_EQ(aligned(last, last + 5050ms, interval), last + 5s);
}

TEST(Aligned, AlsoBehindPollsThatFailed) {
    EXPECT_EQ(aligned(last, last + 15003ms, interval), last + 15s);
}

TEST(Aligned, TwelvePollsAreTwelveIntervals) {
    auto at = last;
    for (const auto late : {2ms, 0ms, 7ms, 1ms, 3ms, 0ms, 0ms, 4ms, 1ms, 2ms, 1ms, 0ms}) {
        at = aligned(at, at + interval + late, interval);
    }
    EXPECT_EQ(at - last, 12 * interval);
}

TEST(Aligned, ALateOneIsToldByItsOwnTime) {
    EXPECT_EQ(aligned(last, last + 5051ms, interval), last + 5051ms);
    EXPECT_EQ(aligned(last, last + 7s, interval), last + 7s);
    EXPECT_EQ(aligned(last, last + 300ms, interval), last + 300ms);
}

TEST(Aligned, TheFirstOneAndAClockThatWasSetBackHaveNothingToGoBy) {
    EXPECT_EQ(aligned(std::nullopt, last, interval), last);
    EXPECT_EQ(aligned(last, last - 1h, interval), last - 1h);
    EXPECT_EQ(aligned(last, last, interval), last);
}

TEST(Aligned, AnIntervalOfLessThanATenthOfASecondIsLeftAsItIs) {
    EXPECT_EQ(aligned(last, last + 51ms, 50ms), last + 51ms);
}

TEST(Rfc3339, HasMilliseconds) {
    using namespace std::chrono;
    EXPECT_EQ(rfc3339(sys_days(2023y / December / 12) + 21h + 12min + 32s + 22ms), "2023-12-12T21:12:32.022Z");
    EXPECT_EQ(rfc3339(Wall{}), "1970-01-01T00:00:00.000Z");
}

}  // namespace
}  // namespace upstat
