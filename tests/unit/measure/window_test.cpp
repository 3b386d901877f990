// SPDX-License-Identifier: Apache-2.0
#include "measure/window.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace upstat::measure {
namespace {

using std::chrono::seconds;

constexpr auto keep = seconds(180);
constexpr attribute::Series ok{.code = 200, .method = poll::Method::get};
constexpr attribute::Series not_found{.code = 404, .method = poll::Method::get};
constexpr attribute::Series too_many{.code = 429, .method = poll::Method::post};

Time at(int second) {
    return Time(seconds(second));
}

attribute::Counts counts(int second, std::map<attribute::BackendName, attribute::SeriesCounts> backends) {
    return {.at = at(second), .backends = std::move(backends)};
}

const CodeSet& four_hundreds() {
    static const auto codes = CodeSet::compile("4..").value();
    return codes;
}

Ratio ratio_of(const Window& window, const std::string& backend, int second, Dialect dialect = Dialect::v3_0) {
    const auto ratios = measure(window, at(second), four_hundreds(), keep, dialect);
    EXPECT_EQ(ratios.at, at(second));
    return ratios.backends.contains(backend) ? ratios.backends.at(backend) : Ratio{};
}

TEST(Measure, GivesBothRatesAndTheirRatio) {
    Window window(keep);
    window.add(counts(0, {{"b", {{ok, 0}, {not_found, 0}}}}));
    window.add(counts(90, {{"b", {{ok, 80}, {not_found, 10}}}}));
    window.add(counts(180, {{"b", {{ok, 160}, {not_found, 20}}}}));
    const auto ratio = ratio_of(window, "b", 180);
    const auto good = rate(std::vector<Sample>{{at(90), 80}, {at(180), 160}}, at(180), keep);
    const auto bad = rate(std::vector<Sample>{{at(90), 10}, {at(180), 20}}, at(180), keep);
    EXPECT_EQ(ratio.matching, bad);
    EXPECT_EQ(ratio.all, *good + *bad);
    EXPECT_EQ(ratio.value(), *bad / (*good + *bad));
}

TEST(Measure, HasNoSampleWhereNoSeriesMatches) {
    Window window(keep);
    window.add(counts(0, {{"b", {{ok, 0}}}}));
    window.add(counts(5, {{"b", {{ok, 10}}}}));
    const auto ratio = ratio_of(window, "b", 5);
    EXPECT_EQ(ratio.matching, std::nullopt);
    EXPECT_EQ(ratio.all, 10.0 * (1.0 / 180));
    EXPECT_EQ(ratio.value(), std::nullopt);
}

TEST(Measure, IsZeroWhereAMatchingSeriesStandsStill) {
    Window window(keep);
    window.add(counts(0, {{"b", {{ok, 0}, {not_found, 7}}}}));
    window.add(counts(5, {{"b", {{ok, 10}, {not_found, 7}}}}));
    EXPECT_EQ(ratio_of(window, "b", 5).value(), 0.0);
}

TEST(Measure, IsNaNWithoutTraffic) {
    Window window(keep);
    window.add(counts(0, {{"b", {{ok, 9}, {not_found, 7}}}}));
    window.add(counts(5, {{"b", {{ok, 9}, {not_found, 7}}}}));
    const auto value = ratio_of(window, "b", 5).value();
    ASSERT_TRUE(value);
    EXPECT_TRUE(std::isnan(*value));
}

TEST(Measure, RatesFirstAndSumsThen) {
    // One series is reset while the other grows: summed first, the reset would be hidden or doubled.
    Window window(keep);
    window.add(counts(0, {{"b", {{not_found, 100}, {too_many, 0}}}}));
    window.add(counts(10, {{"b", {{not_found, 10}, {too_many, 50}}}}));
    const double expected = 10 * (10.0 + 5.0) / 10 / 180 + 50 * 10.0 / 10 / 180;
    EXPECT_NEAR(*ratio_of(window, "b", 10).all, expected, 1e-15);
}

TEST(Measure, SumsInTheOrderOfTheSeries) {
    // 0.1, 0.2 and 0.30000000000000004 a second: from the other end the sum would be 0.6.
    Window window(seconds(10));
    window.add(counts(0, {{"b", {{ok, 0}, {not_found, 0}, {too_many, 0}}}}));
    window.add(counts(1, {{"b", {{ok, 1}, {not_found, 2}, {too_many, 3}}}}));
    const auto ratios = measure(window, at(1), four_hundreds(), seconds(10), Dialect::v2_51);
    EXPECT_EQ(ratios.backends.at("b").all, 0.6000000000000001);
}

TEST(Measure, SumsAsTheDialectDoes) {
    Window window(seconds(10));
    attribute::SeriesCounts before;
    attribute::SeriesCounts after;
    for (std::uint16_t code = 400; code < 410; ++code) {
        before[{.code = code}] = 0;
        after[{.code = code}] = 1;
    }
    window.add(counts(0, {{"b", before}}));
    window.add(counts(1, {{"b", after}}));
    const auto ratio = [&](Dialect dialect) {
        return measure(window, at(1), four_hundreds(), seconds(10), dialect).backends.at("b");
    };
    EXPECT_EQ(ratio(Dialect::v2_51).all, 0.9999999999999999);
    EXPECT_EQ(ratio(Dialect::v2_51).matching, 0.9999999999999999);
    EXPECT_EQ(ratio(Dialect::v3_0).all, 1.0);
    EXPECT_EQ(ratio(Dialect::v3_0).matching, 1.0);
}

TEST(Measure, KeepsBackendsApart) {
    Window window(keep);
    window.add(counts(0, {{"a", {{ok, 0}}}, {"b", {{not_found, 0}}}}));
    window.add(counts(5, {{"a", {{ok, 5}}}, {"b", {{not_found, 5}}}}));
    EXPECT_EQ(ratio_of(window, "a", 5).value(), std::nullopt);
    EXPECT_EQ(ratio_of(window, "b", 5).value(), 1.0);
}

TEST(Measure, MatchesTheCodesOfTheRuleOnly) {
    Window window(keep);
    window.add(counts(0, {{"b", {{not_found, 0}, {too_many, 0}}}}));
    window.add(counts(5, {{"b", {{not_found, 1}, {too_many, 3}}}}));
    const auto codes = CodeSet::compile("429").value();
    EXPECT_EQ(measure(window, at(5), codes, keep).backends.at("b").value(), 0.75);
}

TEST(Measure, KnowsABackendWithoutAnswers) {
    Window window(keep);
    window.add(counts(0, {{"b", {}}}));
    const auto ratios = measure(window, at(0), four_hundreds(), keep);
    ASSERT_TRUE(ratios.backends.contains("b"));
    EXPECT_EQ(ratios.backends.at("b").all, std::nullopt);
}

TEST(Window, TakesANewSeriesOfAKnownBackendAsBornAtZero) {
    Window window(keep);
    window.add(counts(0, {{"b", {}}}));
    window.add(counts(5, {{"b", {{ok, 95}}}}));
    window.add(counts(10, {{"b", {{ok, 95}, {not_found, 5}}}}));
    const auto ratio = ratio_of(window, "b", 10);
    // Exactly what a Prometheus has that scraped the zeros.
    EXPECT_EQ(ratio.matching, rate(std::vector<Sample>{{at(0), 0}, {at(5), 0}, {at(10), 5}}, at(10), keep));
    EXPECT_EQ(ratio.matching, 5.0 * (1.0 / 180));
    EXPECT_EQ(ratio.value(), 0.05);
}

TEST(Window, TakesASeriesOfANewBackendAsItComes) {
    Window window(keep);
    window.add(counts(0, {{"other", {{ok, 1}}}}));
    window.add(counts(5, {{"other", {{ok, 1}}}, {"b", {{not_found, 100}}}}));
    EXPECT_EQ(ratio_of(window, "b", 5).all, std::nullopt);
    window.add(counts(10, {{"other", {{ok, 1}}}, {"b", {{not_found, 100}}}}));
    EXPECT_EQ(ratio_of(window, "b", 10).all, 0.0);
}

TEST(Window, LeavesAHoleWhereABackendWasAway) {
    Window window(keep);
    window.add(counts(0, {{"b", {{ok, 10}}}}));
    window.add(counts(5, {}));
    window.add(counts(10, {{"b", {{ok, 30}, {not_found, 4}}}}));
    const auto& backend = window.history().backends.at("b");
    EXPECT_EQ(backend.sampled, (std::vector<bool>{true, false, true}));
    EXPECT_TRUE(std::isnan(backend.series.at(ok)[1]));
    EXPECT_EQ(ratio_of(window, "b", 10).matching, rate(std::vector<Sample>{{at(0), 0}, {at(10), 4}}, at(10), keep));
}

TEST(Window, KeepsOnePollBeyondTheWindow) {
    Window window(seconds(10));
    for (int second = 0; second <= 60; second += 5) {
        window.add(counts(second, {{"b", {{ok, static_cast<std::uint64_t>(second)}}}}));
    }
    EXPECT_EQ(window.history().polls, (std::vector{at(50), at(55), at(60)}));
    EXPECT_EQ(window.history().backends.at("b").series.at(ok), (std::vector<double>{50, 55, 60}));
    window.add(counts(67, {{"b", {{ok, 67}}}}));
    EXPECT_EQ(window.history().polls, (std::vector{at(55), at(60), at(67)}));
}

TEST(Window, SeesTheSampleAtItsStartInOldDialects) {
    Window window(seconds(10));
    window.add(counts(0, {{"b", {{ok, 0}}}}));
    window.add(counts(5, {{"b", {{ok, 50}}}}));
    window.add(counts(10, {{"b", {{ok, 60}}}}));
    const auto all = [&](Dialect dialect) {
        return measure(window, at(10), four_hundreds(), seconds(10), dialect).backends.at("b").all;
    };
    EXPECT_EQ(all(Dialect::v2_51), 6.0);
    EXPECT_EQ(all(Dialect::v3_0), 2.0);
}

TEST(Window, ForgetsABackendWhoseSamplesAreAllTooOld) {
    Window window(seconds(10));
    window.add(counts(0, {{"b", {{ok, 0}}}}));
    window.add(counts(5, {}));
    window.add(counts(10, {}));
    EXPECT_TRUE(window.history().backends.contains("b"));
    window.add(counts(15, {}));
    EXPECT_FALSE(window.history().backends.contains("b"));
}

TEST(Window, KeepsMeasuringAVanishedBackendWhileItsSamplesLast) {
    Window window(keep);
    window.add(counts(0, {{"b", {{not_found, 0}}}}));
    window.add(counts(5, {{"b", {{not_found, 5}}}}));
    window.add(counts(10, {}));
    EXPECT_EQ(ratio_of(window, "b", 10).value(), 1.0);
    window.add(counts(184, {}));
    EXPECT_EQ(ratio_of(window, "b", 184).value(), std::nullopt);
}

TEST(Window, ComesBackAsItWasSaved) {
    Window window(keep);
    window.add(counts(0, {{"b", {{ok, 0}}}}));
    window.add(counts(5, {{"b", {{ok, 95}, {not_found, 5}}}, {"new", {{ok, 1}}}}));
    auto back = Window::restore(keep, window.history());
    ASSERT_TRUE(back) << back.error().text();
    for (auto* one : {&window, &*back}) {
        one->add(counts(10, {{"b", {{ok, 190}, {not_found, 10}}}, {"new", {{ok, 1}}}}));
    }
    EXPECT_EQ(ratio_of(*back, "b", 10).value(), ratio_of(window, "b", 10).value());
    EXPECT_EQ(ratio_of(*back, "b", 10).value(), 0.05);
}

TEST(Window, RefusesAHistoryThatContradictsItself) {
    const History sound{.polls = {at(0), at(5)},
                        .backends = {{"b", {.sampled = {true, true}, .series = {{ok, {1, 2}}}}}}};
    ASSERT_TRUE(Window::restore(keep, sound));

    auto history = sound;
    history.polls = {at(5), at(5)};
    EXPECT_FALSE(Window::restore(keep, history));
    history = sound;
    history.backends.at("b").sampled.pop_back();
    EXPECT_FALSE(Window::restore(keep, history));
    history = sound;
    history.backends.at("b").series.at(ok).push_back(3);
    EXPECT_FALSE(Window::restore(keep, history));
    history = sound;
    history.backends.at("b").series.at(ok)[0] = -1;
    const auto window = Window::restore(keep, history);
    ASSERT_FALSE(window);
    EXPECT_EQ(window.error().message, "the saved window is broken: a total is below zero or infinite (b)");
    history.backends.at("b").series.at(ok)[0] = std::numeric_limits<double>::infinity();
    EXPECT_FALSE(Window::restore(keep, history));
}

TEST(Window, StoresTimesOnceForManyServers) {
    Window window(keep);
    attribute::Counts many{.at = at(0), .backends = {}};
    for (int backend = 0; backend < 10000; ++backend) {
        for (int code = 0; code < 10; ++code) {
            many.backends["b" + std::to_string(backend)][{.code = static_cast<std::uint16_t>(400 + code)}] = 1;
        }
    }
    for (int poll = 0; poll < 8; ++poll) {
        many.at = at(5 * poll);
        window.add(many);
    }
    EXPECT_EQ(window.history().polls.size(), 8);
    EXPECT_EQ(window.history().backends.size(), 10000);
    EXPECT_EQ(measure(window, at(35), four_hundreds(), keep).backends.size(), 10000);
}

}  // namespace
}  // namespace upstat::measure
