// SPDX-License-Identifier: Apache-2.0
#include "publish/births.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace upstat::publish {
namespace {

using namespace std::chrono_literals;

constexpr Millis held = 75s;
const auto server = *poll::parse_server("10.0.0.1:80");

attribute::Series get(std::uint16_t code) {
    return {.code = code, .method = poll::Method::get};
}

Report with(std::uint16_t code, std::uint64_t count) {
    Report report;
    report.counts.backends["app"] = {{get(code), count}};
    return report;
}

Report with_server(poll::ServerTotals totals) {
    Report report;
    report.servers.servers[server] = std::move(totals);
    return report;
}

class BirthsTest : public testing::Test {
  protected:
    /// Takes this report so long after the first.
    void take(const Report& report, Millis after) {
        report_ = std::make_shared<const Report>(report);
        now_ = Time(1h) + after;
        young_ = births_.take(report_, now_, {.scraped = now_ - held, .pushed = now_ - held - pushed_longer_});
    }
    [[nodiscard]] std::uint64_t shown(std::uint16_t code) const {
        const auto& counts = report_->counts.backends.at("app");
        const auto young = young_->backends.find("app");
        return (young == young_->backends.end() ? counts : without_young(counts, young->second, now_ - held))
            .at(get(code));
    }
    [[nodiscard]] poll::ServerTotals shown_totals(const std::string& label = "10.0.0.1:80") const {
        const auto& totals = label == "unmapped"   ? report_->servers.unmapped
                             : label == "overflow" ? report_->overflow
                                                   : report_->servers.servers.at(server);
        const bool is_sum = label == "unmapped" || label == "overflow";
        const auto young = young_->servers.find({label, is_sum ? std::nullopt : std::optional(server.zone)});
        return young == young_->servers.end() ? totals : without_young(totals, young->second, now_ - held);
    }
    [[nodiscard]] bool nothing_is_young() const { return young_->backends.empty() && young_->servers.empty(); }

    Millis pushed_longer_{};
    Births births_;
    std::shared_ptr<const Report> report_;
    std::shared_ptr<const Young> young_;
    Time now_;
};

TEST_F(BirthsTest, ASeriesIsZeroForItsTimeHoweverManyPagesThereAre) {
    take(with(200, 0), 0s);
    take(with(200, 1), 100s);
    Report report = with(200, 2);
    report.counts.backends["app"][get(418)] = 20;
    for (const auto after : {105s, 110s, 179s}) {
        take(report, after);
        EXPECT_EQ(shown(418), 0U);
        EXPECT_EQ(shown(200), 2U);
    }
    take(report, 180s);
    EXPECT_EQ(shown(418), 20U);
    EXPECT_TRUE(nothing_is_young());
}

TEST_F(BirthsTest, WhatABackendShowsFromItsStartIsAsOldAsTheBackend) {
    take(with(200, 3), 0s);
    EXPECT_EQ(shown(200), 0U);
    take(with(404, 5), 70s);
    EXPECT_EQ(shown(404), 0U) << "shown at 0 for 70 s only";
    Report report = with(404, 5);
    report.counts.backends["app"][get(500)] = 7;
    take(report, 75s);
    EXPECT_EQ(shown(404), 5U);
    EXPECT_EQ(shown(500), 7U);
    report.counts.backends["app"][{.code = 404, .method = poll::Method::post}] = 1;
    take(report, 200s);
    EXPECT_FALSE(nothing_is_young()) << "of another method it is not";
}

TEST_F(BirthsTest, ABackendThatComesBackGoesOn) {
    take(with(418, 5), 0s);
    take(with(418, 5), 80s);
    take(Report(), 85s);
    take(with(418, 6), 90s);
    EXPECT_EQ(shown(418), 6U);
}

TEST_F(BirthsTest, ABackendThatWasForgottenIsBornAgain) {
    take(with(418, 5), 0s);
    take(with(418, 5), 80s);
    take(Report(), 85s);
    births_.keep({{"other", {}}});
    take(with(418, 2), 90s);
    EXPECT_EQ(shown(418), 0U) << "its counter began anew, and who reads has not seen it";
    take(with(418, 2), 165s);
    EXPECT_EQ(shown(418), 2U);
}

TEST_F(BirthsTest, WhatWasYoungWhenItsBackendLeftBeginsAgain) {
    take(with(418, 5), 0s);
    take(Report(), 10s);
    take(with(418, 6), 80s);
    EXPECT_EQ(shown(418), 0U) << "the backend was young";
    take(with(418, 6), 155s);
    EXPECT_EQ(shown(418), 6U);
    Report report = with(418, 6);
    report.counts.backends["app"][get(421)] = 9;
    take(report, 160s);
    take(Report(), 165s);
    take(report, 240s);
    EXPECT_EQ(shown(418), 6U);
    EXPECT_EQ(shown(421), 0U) << "the series was young";
}

TEST_F(BirthsTest, WhatScrapesHaveSeenDoesNotBeginAgainBecauseAPushHidesIt) {
    pushed_longer_ = 20s;
    take(with(418, 5), 0s);
    Report report = with(418, 5);
    report.counts.backends["app"][get(421)] = 9;
    take(report, 2s);
    take(report, 80s);
    EXPECT_EQ(shown(418), 5U);
    EXPECT_EQ(shown(421), 9U);
    take(Report(), 82s);
    take(report, 87s);
    EXPECT_EQ(shown(418), 5U) << "of the backend's own age";
    EXPECT_EQ(shown(421), 9U) << "of a series' own age";
}

TEST_F(BirthsTest, WhatWasSavedIsOld) {
    attribute::LedgerState saved;
    saved.backends["app"] = {{get(418), 5}};
    saved.unmapped.requests = 3;
    births_.restore(saved, false);
    Report report = with(418, 6);
    report.counts.backends["app"][get(421)] = 2;
    report.servers.unmapped.requests = 4;
    report.servers.servers[server].requests = 9;
    take(report, 0s);
    EXPECT_EQ(shown(418), 6U);
    EXPECT_EQ(shown(421), 0U);
    EXPECT_EQ(shown_totals("unmapped").requests, 4U);
    EXPECT_EQ(shown_totals().requests, 0U) << "the maps are new, and so is all that they count";
}

TEST_F(BirthsTest, OfMapsThatCountedBeforeAllServersAreOld) {
    births_.restore({}, true);
    take(with_server({.requests = 9, .responses = {{{418, poll::Method::get}, 9}}, .unread = {{"tls", 1}}}), 0s);
    EXPECT_TRUE(nothing_is_young());
}

TEST_F(BirthsTest, AServersSeriesAreBornOneByOne) {
    take(with_server({}), 0s);
    poll::ServerTotals totals{.requests = 30, .connects = 2, .connect_failures = {{"refused", 4}}};
    take(with_server(totals), 74s);
    EXPECT_EQ(shown_totals().requests, 0U) << "it was listed 74 s ago";
    EXPECT_EQ(shown_totals().connect_failures.at("refused"), 0U);
    totals.responses = {{{200, poll::Method::get}, 28}};
    totals.unanswered = {{"reset", 1}};
    take(with_server(totals), 80s);
    EXPECT_EQ(shown_totals().requests, 30U);
    EXPECT_EQ(shown_totals().connects, 2U);
    EXPECT_EQ(shown_totals().connect_failures.at("refused"), 0U) << "it failed 6 s ago";
    EXPECT_EQ(shown_totals().responses.at({200, poll::Method::get}), 0U);
    EXPECT_EQ(shown_totals().unanswered.at("reset"), 0U);
    totals.unread = {{"tls", 5}};
    take(with_server(totals), 100s);
    take(with_server(totals), 155s);
    EXPECT_EQ(shown_totals().responses.at({200, poll::Method::get}), 28U);
    EXPECT_EQ(shown_totals().unanswered.at("reset"), 1U);
    EXPECT_EQ(shown_totals().unread.at("tls"), 0U);
    take(with_server(totals), 175s);
    EXPECT_EQ(shown_totals(), totals);
    EXPECT_TRUE(nothing_is_young());
}

TEST_F(BirthsTest, SumsOfServersAreBornToo) {
    take(Report(), 0s);
    EXPECT_TRUE(nothing_is_young());
    Report report;
    report.servers.unmapped.requests = 20;
    report.overflow.responses = {{{200, poll::Method::get}, 20}};
    take(report, 100s);
    EXPECT_EQ(shown_totals("unmapped").requests, 0U);
    EXPECT_EQ(shown_totals("overflow").responses.begin()->second, 0U);
    take(report, 175s);
    EXPECT_EQ(shown_totals("unmapped").requests, 20U);
    EXPECT_EQ(shown_totals("overflow").responses.begin()->second, 20U);
}

}  // namespace
}  // namespace upstat::publish
