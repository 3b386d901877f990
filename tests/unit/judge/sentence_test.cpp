// SPDX-License-Identifier: Apache-2.0
#include "judge/sentence.hpp"

#include <gtest/gtest.h>

namespace upstat::judge {
namespace {

Transition transition(State from, State to, std::optional<double> percent,
                      const std::optional<Worst>& worst = std::nullopt) {
    Transition result{.from = from, .now = {}};
    result.now.rule = Rule{}.name;
    result.now.backend = "shop@file";
    result.now.state = to;
    result.now.percent = percent;
    result.now.worst = worst;
    return result;
}

const Worst bad{.server = "10.0.0.1:80", .code = 404, .count = 412};

TEST(Sentence, TellsAFiringWhole) {
    auto firing = transition(State::pending, State::firing, 12.3456, bad);
    firing.now.active_since = Moment{.at = {}, .wall = Wall(std::chrono::seconds(1'700'000'000))};
    EXPECT_EQ(
        sentence(firing, Rule{}),
        "TraefikHighHttp4xxErrorRateBackend is firing for backend shop@file: 12.35 % of its responses in the last 3m "
        "were 4.. (threshold 5 % for 1m or longer, above it since 2023-11-14T22:13:20.000Z); most come from server "
        "10.0.0.1:80: 412 responses with 404");
    EXPECT_EQ(sentence(firing.now, Rule{}), sentence(firing, Rule{}));
}

TEST(Sentence, TellsAPendingOne) {
    EXPECT_EQ(
        sentence(transition(State::inactive, State::pending, 100), Rule{}),
        "TraefikHighHttp4xxErrorRateBackend is pending for backend shop@file: 100 % of its responses in the last 3m "
        "were 4.. (threshold 5 %, fires after 1m)");
}

TEST(Sentence, TellsTheTwoEndsApart) {
    EXPECT_NE(sentence(transition(State::firing, State::inactive, 1), Rule{}).find(" is resolved for "),
              std::string::npos);
    EXPECT_NE(sentence(transition(State::pending, State::inactive, 1), Rule{}).find(" is no longer pending for "),
              std::string::npos);
    EXPECT_NE(sentence(transition({}, State::inactive, 1).now, Rule{}).find(" is resolved for "), std::string::npos);
}

TEST(Sentence, SaysWhenThereIsNoValue) {
    EXPECT_EQ(sentence(transition(State::firing, State::inactive, std::nullopt), Rule{}),
              "TraefikHighHttp4xxErrorRateBackend is resolved for backend shop@file: its share of 4.. in the last 3m "
              "cannot be told for want of responses (threshold 5 %)");
}

TEST(Sentence, SaysAnOutageFirst) {
    auto ended = transition(State::firing, State::inactive, std::nullopt);
    ended.now.outage = "no responses for 38s, 36 connects a second refused";
    EXPECT_EQ(
        sentence(ended, Rule{}),
        "TraefikHighHttp4xxErrorRateBackend is resolved for backend shop@file: no responses for 38s, 36 connects a "
        "second refused; its share of 4.. in the last 3m cannot be told for want of responses (threshold 5 %)");
}

TEST(Sentence, TellsOfRequestsWithoutAResponse) {
    Rule rule;
    rule.share = Share::connect_failures;
    auto pending =
        transition(State::inactive, State::pending, 100, Worst{.server = "10.0.0.1:80", .code = 0, .count = 7});
    EXPECT_NE(sentence(pending, rule).find("100 % of its requests in the last 3m found no server: the connect failed"),
              std::string::npos);
    EXPECT_TRUE(sentence(pending, rule).ends_with("; most come from server 10.0.0.1:80: 7 of them"));
    rule.share = Share::unanswered;
    EXPECT_NE(sentence(pending, rule).find("100 % of its requests in the last 3m were left without a response"),
              std::string::npos);
    EXPECT_NE(sentence(transition(State::firing, State::inactive, std::nullopt), rule)
                  .find("its share of requests without a response in the last 3m cannot be told for want of requests"),
              std::string::npos);
}

TEST(Sentence, ShowsAValueJustAboveTheThresholdAsAbove) {
    EXPECT_NE(sentence(transition(State::inactive, State::pending, 5.001), Rule{}).find(" 5.001 % "),
              std::string::npos);
}

TEST(DurationText, IsShort) {
    using std::chrono::seconds;
    EXPECT_EQ(duration_text(seconds(180)), "3m");
    EXPECT_EQ(duration_text(seconds(5400)), "1h30m");
    EXPECT_EQ(duration_text(seconds(3605)), "1h5s");
    EXPECT_EQ(duration_text(Millis(60500)), "1m0.5s");
    EXPECT_EQ(duration_text(Millis(0)), "0s");
    EXPECT_EQ(duration_text(seconds(15)), "15s");
}

}  // namespace
}  // namespace upstat::judge
