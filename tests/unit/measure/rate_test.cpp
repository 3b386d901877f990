// SPDX-License-Identifier: Apache-2.0
#include "measure/rate.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace upstat::measure {
namespace {

using std::chrono::seconds;

Time at(int second) {
    return Time(seconds(second));
}

/// Samples of one value a step, from `from` on.
std::vector<Sample> every(int step, int from, const std::vector<double>& values) {
    std::vector<Sample> samples;
    for (const double value : values) {
        samples.push_back({.at = at(from), .value = value});
        from += step;
    }
    return samples;
}

constexpr auto window = seconds(180);

/// What promtool 2.42, 2.53 and 3.5 print for the same samples, to the last digit. (test_rule_oracle.py compares many
/// more.)
struct Promtool {
    double v2_42;
    double v2_53;
    double v3_5;
};

void expect(const Promtool& promtool, const std::vector<Sample>& samples, Time evaluation, Millis range) {
    EXPECT_EQ(rate(samples, evaluation, range, Dialect::v2_42), promtool.v2_42);
    EXPECT_EQ(rate(samples, evaluation, range, Dialect::v2_51), promtool.v2_53);
    EXPECT_EQ(rate(samples, evaluation, range, Dialect::v2_54), promtool.v2_53);
    EXPECT_EQ(rate(samples, evaluation, range, Dialect::v3_0), promtool.v3_5);
}

TEST(Rate, NeedsTwoSamplesInTheWindow) {
    EXPECT_EQ(rate({}, at(0), window), std::nullopt);
    EXPECT_EQ(rate(every(10, 0, {1}), at(0), window), std::nullopt);
    EXPECT_EQ(rate(every(200, 0, {1, 2}), at(200), window), std::nullopt);
    EXPECT_EQ(rate(every(10, 500, {1, 2}), at(200), window), std::nullopt);
}

TEST(Rate, FollowsVersion3UnlessToldOtherwise) {
    const auto samples = every(90, 20, {1000, 1000, 1180});
    EXPECT_EQ(rate(samples, at(200), window), rate(samples, at(200), window, Dialect::v3_0));
    EXPECT_NE(rate(samples, at(200), window), rate(samples, at(200), window, Dialect::v2_54));
}

TEST(Rate, OfASteadyCounterIsItsSlope) {
    std::vector<double> values;
    for (int i = 0; i <= 20; ++i) {
        values.push_back(1000 + (10 * i));
    }
    expect({1, 1, 1}, every(10, 0, values), at(200), window);
}

TEST(Rate, DoesNotLookBeyondTheEvaluation) {
    const auto samples = every(10, 0, {0, 10, 20, 1000000});
    EXPECT_EQ(rate(samples, at(20), window), rate(std::span(samples).first(3), at(20), window));
}

TEST(Rate, LooksAtASampleOnTheWindowsStartOnlyBefore3) {
    expect({1.0, 1.0, 2.0}, every(90, 20, {1000, 1000, 1180}), at(200), window);
}

TEST(Rate, HasMilliseconds) {
    const std::vector<Sample> samples{{at(20) + Millis(1), 1000}, {at(110), 1000}, {at(200), 1180}};
    expect({1.00000555558642, 1.00000555558642, 1.00000555558642}, samples, at(200), window);
    expect({1.00000555558642, 1.00000555558642, 2.0}, samples, at(200), window - Millis(1));
}

TEST(Rate, MendsResets) {
    // 50, then 20 from zero, then 10; before 3.0 the first sample counts, so all three steps are in the window.
    expect({0.4444444444444445, 0.4444444444444445, 0.25}, every(60, 21, {100, 150, 20, 30}), at(201), window);
    // Two resets, one right behind the other.
    expect({0.4444444444444445, 0.4444444444444445, 0.25}, every(60, 21, {100, 50, 20, 30}), at(201), window);
}

TEST(Rate, ReadsAResetToTheSameValueAsNoChange) {
    expect({0, 0, 0}, every(60, 20, {100, 100, 100, 100}), at(200), window);
}

TEST(Rate, DrawsOnByHalfAnIntervalWhereTheSeriesBeginsAndEndsInTheWindow) {
    constexpr double rounded = 0.16666666666666666;
    expect({rounded, rounded, rounded}, every(10, 120, {1000, 1010, 1020}), at(200), window);
}

TEST(Rate, TakesElevenTenthsOfAnIntervalAsTooFar) {
    const auto samples = every(10, 100, {100000, 100010, 100020});
    expect({0.8064516129032258, 0.8064516129032258, 0.8064516129032258}, samples, at(131), seconds(31));
    expect({1.0, 1.0, 1.0}, samples, at(131) - Millis(1), seconds(31));
    // 3 * 1.1 is a little more than 3.3 as doubles go: 3.3 s off is not yet too far.
    const auto odd = every(3, 100, {100000, 100010, 100020});
    expect({1.1612903225806452, 1.1612903225806452, 1.1612903225806452}, odd, at(109) + Millis(300), seconds(31));
    expect({0.967741935483871, 0.967741935483871, 0.967741935483871}, odd, at(109) + Millis(301), seconds(31));
}

TEST(Rate, DoesNotDrawACounterOnBelowZero) {
    expect({0.11666666666666667, 0.11666666666666667, 0.11666666666666667}, every(10, 120, {1, 11, 21}), at(140),
           window);
    expect({0.11111111111111112, 0.11111111111111112, 0.11111111111111112}, every(10, 120, {0, 10, 20}), at(140),
           window);
}

TEST(Rate, CutsAtZeroBeforeOrAfterTheHalfInterval) {
    // The start is 80 s off, the counter's zero 8 s, half an interval 5 s.
    expect({0.27999999999999997, 0.25, 0.25}, every(10, 100, {8, 18, 28}), at(120), seconds(100));
}

TEST(Rate, LosesWhatASeriesWasBornWith) {
    expect({0, 0, 0}, every(10, 100, {5, 5, 5}), at(120), window);
    constexpr double five_in_three_minutes = 0.02777777777777778;
    expect({five_in_three_minutes, five_in_three_minutes, five_in_three_minutes}, every(10, 90, {0, 5, 5, 5}), at(120),
           window);
}

TEST(Rate, RoundsAsPrometheusDoes) {
    // Chosen so that every other order of the same operations gives another double.
    const std::vector<Sample> samples{
        {Time(Millis(153)), 1000}, {Time(Millis(4903)), 1001}, {Time(Millis(9955)), 1019}};
    expect({1.9383799224648028, 1.9383799224648028, 1.9383799224648028}, samples, Time(Millis(10174)), seconds(13));
}

TEST(Rate, TakesAWindowThatIsNoWholeSecond) {
    const std::vector<Sample> samples{{Time(Millis(0)), 0}, {Time(Millis(500)), 3}, {Time(Millis(1500)), 9}};
    expect({5.294117647058823, 5.294117647058823, 5.294117647058823}, samples, Time(Millis(1500)), Millis(1700));
}

TEST(Sum, IsAbsentWithoutValues) {
    EXPECT_EQ(Sum().value(), std::nullopt);
}

TEST(Sum, OfOneZeroIsZeroAndNotAbsent) {
    Sum sum;
    sum.add(0);
    EXPECT_EQ(sum.value(), 0.0);
}

TEST(Sum, CarriesWhatIsLostFrom2_54On) {
    const auto ten_tenths = [](Dialect dialect) {
        Sum sum(dialect);
        for (int i = 0; i < 10; ++i) {
            sum.add(0.1);
        }
        return sum.value();
    };
    EXPECT_EQ(ten_tenths(Dialect::v2_42), 0.9999999999999999);
    EXPECT_EQ(ten_tenths(Dialect::v2_51), 0.9999999999999999);
    EXPECT_EQ(ten_tenths(Dialect::v2_54), 1.0);
    EXPECT_EQ(ten_tenths(Dialect::v3_0), 1.0);
}

TEST(Sum, CarriesAlsoWhenTheNextValueIsTheLarger) {
    Sum sum;
    for (const double value : {1.0, 1e100, 1.0, -1e100}) {
        sum.add(value);
    }
    EXPECT_EQ(sum.value(), 2.0);
}

}  // namespace
}  // namespace upstat::measure
