// SPDX-License-Identifier: Apache-2.0
#include "judge/judge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace upstat::judge {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

Moment at(int second) {
    return {.at = Time(seconds(second)), .wall = Wall(std::chrono::hours(1) + seconds(second))};
}

/// Ratios whose `all` is 100, so that the matching rate reads as percent.
std::map<std::string, measure::Ratios> percents(int second,
                                                const std::map<std::string, std::optional<double>>& backends) {
    measure::Ratios ratios{.at = at(second).at, .backends = {}};
    for (const auto& [backend, percent] : backends) {
        ratios.backends[backend] = {.matching = percent, .all = 100};
    }
    return {{Rule{}.name, ratios}};
}

/// One evaluation of the backend "b" alone.
Alerts evaluate(Judge& judge, int second, std::optional<double> percent) {
    return judge.evaluate(percents(second, {{"b", percent}}), at(second));
}

State state_after(Judge& judge, int second, std::optional<double> percent) {
    return evaluate(judge, second, percent).alerts.at(0).state;
}

const double nan = std::numeric_limits<double>::quiet_NaN();

TEST(Judge, GoesFromInactiveOverPendingToFiringAndBack) {
    Judge judge({Rule{}});
    EXPECT_EQ(state_after(judge, 0, 5), State::inactive);
    EXPECT_EQ(state_after(judge, 10, 6), State::pending);
    EXPECT_EQ(state_after(judge, 69, 6), State::pending);

    const auto fires = evaluate(judge, 70, 8);
    ASSERT_EQ(fires.transitions.size(), 1);
    EXPECT_EQ(fires.transitions[0].from, State::pending);
    const auto& firing = fires.transitions[0].now;
    EXPECT_EQ(firing.state, State::firing);
    EXPECT_EQ(firing.percent, 8);
    EXPECT_EQ(firing.active_since, at(10));
    EXPECT_EQ(firing.firing_since, at(70));
    EXPECT_EQ(fires.alerts, std::vector{firing});
    EXPECT_EQ(fires.at, at(70));

    EXPECT_TRUE(evaluate(judge, 80, 8).transitions.empty());
    const auto ends = evaluate(judge, 90, 5);
    ASSERT_EQ(ends.transitions.size(), 1);
    EXPECT_EQ(ends.transitions[0].from, State::firing);
    EXPECT_EQ(ends.alerts[0].state, State::inactive);
    EXPECT_EQ(ends.alerts[0].resolved_at, at(90));
    EXPECT_EQ(ends.alerts[0].active_since, std::nullopt);
    EXPECT_EQ(ends.alerts[0].firing_since, std::nullopt);
}

/// The group "a|b" has become "a|b|c".
Alerts hand_over(Judge& judge, int second, std::optional<double> percent) {
    return judge.evaluate(percents(second, {{"a|b|c", percent}}), at(second), {{"a|b", "a|b|c"}});
}

const Alert& alert_of(const Alerts& alerts, const std::string& backend) {
    return *std::ranges::find(alerts.alerts, attribute::BackendName(backend), &Alert::backend);
}

TEST(JudgeOfGroups, ASuccessorGoesOnFiring) {
    Judge judge({Rule{}});
    judge.evaluate(percents(0, {{"a|b", 8}}), at(0));
    judge.evaluate(percents(60, {{"a|b", 8}}), at(60));

    const auto handed = hand_over(judge, 65, std::nullopt);
    ASSERT_EQ(handed.transitions.size(), 2);
    EXPECT_EQ(alert_of(handed, "a|b").state, State::inactive);
    EXPECT_EQ(alert_of(handed, "a|b").resolved_at, at(65));
    EXPECT_EQ(handed.transitions[1].from, State::inactive);
    EXPECT_EQ(handed.transitions[1].now, alert_of(handed, "a|b|c"));
    EXPECT_EQ(alert_of(handed, "a|b|c").state, State::firing);
    EXPECT_EQ(alert_of(handed, "a|b|c").active_since, at(0));
    EXPECT_EQ(alert_of(handed, "a|b|c").firing_since, at(60));

    EXPECT_TRUE(judge.evaluate(percents(70, {{"a|b|c", 2}}), at(70)).transitions.empty()) << "few samples of its own";
    const auto late = judge.evaluate(percents(245, {{"a|b|c", 2}}), at(245));
    EXPECT_EQ(alert_of(late, "a|b|c").resolved_at, at(245)) << "a window later it ends as any other";
}

TEST(JudgeOfGroups, ASuccessorFiresWhenBothTogetherHaveHeldForLongEnough) {
    Judge judge({Rule{}});
    judge.evaluate(percents(0, {{"a|b", 8}}), at(0));
    const auto handed = hand_over(judge, 30, std::nullopt);
    EXPECT_EQ(alert_of(handed, "a|b|c").state, State::pending);
    EXPECT_EQ(handed.transitions.size(), 2);
    const auto fires = judge.evaluate(percents(60, {{"a|b|c", 8}}), at(60));
    EXPECT_EQ(alert_of(fires, "a|b|c").state, State::firing);
    EXPECT_EQ(fires.alerts.size(), 1) << "what was only pending leaves nothing behind";
}

/// As where requests have failed at no server that the successor lists.
TEST(JudgeOfGroups, ASuccessorWithoutARatioGoesOnAWindow) {
    Judge judge({Rule{}});
    judge.evaluate(percents(0, {{"a|b", 8}}), at(0));
    judge.evaluate(percents(60, {{"a|b", 8}}), at(60));
    const auto handed = judge.evaluate(percents(65, {}), at(65), {{"a|b", "a|b|c"}});
    EXPECT_EQ(alert_of(handed, "a|b|c").state, State::firing);
    EXPECT_EQ(alert_of(handed, "a|b|c").rule, Rule{}.name);
    EXPECT_EQ(handed.transitions.at(1).now.backend, attribute::BackendName("a|b|c"));
    EXPECT_EQ(alert_of(judge.evaluate(percents(70, {}), at(70)), "a|b|c").state, State::firing);
    const auto late = judge.evaluate(percents(245, {}), at(245));
    EXPECT_EQ(alert_of(late, "a|b|c").resolved_at, at(245)) << "and its end is told";
}

TEST(JudgeOfGroups, ASuccessorGoesOnOverAReload) {
    Judge judge({Rule{}});
    judge.evaluate(percents(0, {{"a|b", 8}}), at(0));
    judge.evaluate(percents(60, {{"a|b", 8}}), at(60));
    hand_over(judge, 65, std::nullopt);
    Judge next({Rule{}});
    next.restore(judge.ongoing());
    next.continue_from(std::move(judge));
    EXPECT_EQ(alert_of(next.evaluate(percents(70, {{"a|b|c", 2}}), at(70)), "a|b|c").state, State::firing);
}

TEST(JudgeOfGroups, ASuccessorsOwnLouderAlertStays) {
    Judge judge({Rule{}});
    judge.evaluate(percents(0, {{"a|b|c", 8}}), at(0));
    judge.evaluate(percents(50, {{"a|b|c", 8}, {"a|b", 8}}), at(50));
    const auto handed = hand_over(judge, 60, 8);
    EXPECT_EQ(alert_of(handed, "a|b|c").active_since, at(0));
    EXPECT_EQ(alert_of(handed, "a|b|c").state, State::firing);
    EXPECT_EQ(alert_of(judge.evaluate(percents(65, {{"a|b|c", 2}}), at(65)), "a|b|c").state, State::inactive)
        << "it has samples of its own";
}

TEST(JudgeOfGroups, QuietGroupsHandNothingOver) {
    Judge judge({Rule{}});
    judge.evaluate(percents(0, {{"a|b", 1}}), at(0));
    const auto handed = hand_over(judge, 5, 8);
    EXPECT_EQ(alert_of(handed, "a|b|c").active_since, at(5));
    EXPECT_EQ(handed.transitions.size(), 1);
}

TEST(Judge, FiresAtTheVeryEndOfHold) {
    Judge judge({Rule{}});
    evaluate(judge, 0, 6);
    EXPECT_EQ(judge.evaluate(percents(60, {{"b", 6}}), Moment{.at = at(60).at - Millis(1), .wall = {}}).alerts[0].state,
              State::pending);
    EXPECT_EQ(state_after(judge, 60, 6), State::firing);
}

TEST(Judge, FiresAtOnceWithoutHold) {
    Rule rule;
    rule.for_duration = Millis(0);
    Judge judge({rule});
    const auto alerts = evaluate(judge, 0, 6);
    EXPECT_EQ(alerts.alerts[0].state, State::firing);
    EXPECT_EQ(alerts.alerts[0].active_since, at(0));
    EXPECT_EQ(alerts.alerts[0].firing_since, at(0));
    ASSERT_EQ(alerts.transitions.size(), 1);
    EXPECT_EQ(alerts.transitions[0].from, State::inactive);
}

TEST(Judge, WantsMoreThanTheThreshold) {
    Judge judge({Rule{}});
    EXPECT_EQ(state_after(judge, 0, 5.0), State::inactive);
    EXPECT_EQ(state_after(judge, 1, std::nextafter(5.0, 6.0)), State::pending);
}

TEST(Judge, DividesBeforeItMultiplies) {
    // As PromQL does: 0.07 * 100 is 7.000000000000001, where 7 * 100 / 100 is 7.
    Rule rule;
    rule.threshold_percent = 7;
    Judge judge({rule});
    const auto alerts = evaluate(judge, 0, 7);
    EXPECT_EQ(alerts.alerts[0].percent, 7.0 / 100 * 100);
    EXPECT_EQ(alerts.alerts[0].state, State::pending);
}

class Ending : public testing::TestWithParam<std::optional<double>> {};

TEST_P(Ending, DeletesPending) {
    Judge judge({Rule{}});
    evaluate(judge, 0, 6);
    const auto ends = evaluate(judge, 30, GetParam());
    EXPECT_EQ(ends.alerts[0].state, State::inactive);
    EXPECT_EQ(ends.alerts[0].resolved_at, std::nullopt);
    EXPECT_EQ(ends.alerts[0].active_since, std::nullopt);
    ASSERT_EQ(ends.transitions.size(), 1);
    EXPECT_EQ(ends.transitions[0].from, State::pending);
    // The hold begins again.
    EXPECT_EQ(state_after(judge, 40, 6), State::pending);
    EXPECT_EQ(state_after(judge, 99, 6), State::pending);
    EXPECT_EQ(state_after(judge, 100, 6), State::firing);
}

TEST_P(Ending, ResolvesFiring) {
    Judge judge({Rule{}});
    evaluate(judge, 0, 6);
    evaluate(judge, 60, 6);
    const auto ends = evaluate(judge, 70, GetParam());
    EXPECT_EQ(ends.alerts[0].state, State::inactive);
    EXPECT_EQ(ends.alerts[0].resolved_at, at(70));
}

INSTANTIATE_TEST_SUITE_P(FalseMissingNaN, Ending, testing::Values(1.0, std::nullopt, nan));

TEST(Judge, ShowsNoPercentWithoutASampleOrForNaN) {
    Judge judge({Rule{}});
    EXPECT_EQ(evaluate(judge, 0, 3).alerts[0].percent, 3);
    EXPECT_EQ(evaluate(judge, 1, std::nullopt).alerts[0].percent, std::nullopt);
    EXPECT_EQ(evaluate(judge, 2, nan).alerts[0].percent, std::nullopt);
}

TEST(Judge, KeepsItsStateOverPollsThatFailed) {
    Judge judge({Rule{}});
    evaluate(judge, 0, 6);
    // Nothing at 10 to 290.
    EXPECT_EQ(state_after(judge, 300, 6), State::firing);
}

TEST(Judge, KeepsTheStateOfARuleThatWasNotEvaluated) {
    Judge judge({Rule{}});
    evaluate(judge, 0, 6);
    const auto alerts = judge.evaluate({}, at(10));
    ASSERT_EQ(alerts.alerts.size(), 1);
    EXPECT_EQ(alerts.alerts[0].state, State::pending);
    EXPECT_EQ(state_after(judge, 60, 6), State::firing);
}

TEST(Judge, RemembersAnEndFor15Minutes) {
    Judge judge({Rule{}});
    evaluate(judge, 0, 6);
    evaluate(judge, 60, 6);
    evaluate(judge, 100, 1);
    EXPECT_EQ(evaluate(judge, 100 + 900, 1).alerts[0].resolved_at, at(100));
    EXPECT_EQ(evaluate(judge, 100 + 901, 1).alerts[0].resolved_at, std::nullopt);
}

TEST(Judge, RemembersAnEndUntilItFiresAgain) {
    Judge judge({Rule{}});
    evaluate(judge, 0, 6);
    evaluate(judge, 60, 6);
    evaluate(judge, 100, 1);
    const auto pending = evaluate(judge, 110, 6);
    EXPECT_EQ(pending.alerts[0].state, State::pending);
    EXPECT_EQ(pending.alerts[0].resolved_at, at(100));
    const auto firing = evaluate(judge, 170, 6);
    EXPECT_EQ(firing.alerts[0].state, State::firing);
    EXPECT_EQ(firing.alerts[0].active_since, at(110));
    EXPECT_EQ(firing.alerts[0].resolved_at, std::nullopt);
}

TEST(Judge, TakesAVanishedBackendAsAMissingSample) {
    Judge judge({Rule{}});
    judge.evaluate(percents(0, {{"fires", 6}, {"quiet", 1}}), at(0));
    judge.evaluate(percents(60, {{"fires", 6}, {"quiet", 1}, {"waits", 6}}), at(60));

    const auto gone = judge.evaluate(percents(70, {}), at(70));
    ASSERT_EQ(gone.transitions.size(), 2);
    EXPECT_EQ(gone.transitions[0].now.backend, "fires");
    EXPECT_EQ(gone.transitions[0].from, State::firing);
    EXPECT_EQ(gone.transitions[1].now.backend, "waits");
    EXPECT_EQ(gone.transitions[1].from, State::pending);
    ASSERT_EQ(gone.alerts.size(), 1);  // only the one whose end has to be told
    EXPECT_EQ(gone.alerts[0].backend, "fires");
    EXPECT_EQ(gone.alerts[0].resolved_at, at(70));

    EXPECT_EQ(judge.evaluate(percents(970, {}), at(970)).alerts.size(), 1);
    EXPECT_TRUE(judge.evaluate(percents(971, {}), at(971)).alerts.empty());
}

TEST(Judge, KeepsRulesApart) {
    Rule strict{.name = "strict", .codes = "429", .threshold_percent = 1};
    Judge judge({Rule{}, strict});
    auto ratios = percents(0, {{"b", 3}});
    ratios["strict"] = ratios.at(Rule{}.name);
    const auto alerts = judge.evaluate(ratios, at(0)).alerts;
    ASSERT_EQ(alerts.size(), 2);
    EXPECT_EQ(alerts[0].rule, Rule{}.name);
    EXPECT_EQ(alerts[0].state, State::inactive);
    EXPECT_EQ(alerts[1].rule, "strict");
    EXPECT_EQ(alerts[1].state, State::pending);
}

TEST(Judge, GoesOnAfterARestart) {
    Judge before({Rule{}});
    const auto saved = evaluate(before, 0, 6).alerts;
    Judge after({Rule{}});
    after.restore(saved);
    const auto fires = evaluate(after, 60, 6);
    EXPECT_EQ(fires.alerts[0].state, State::firing);
    EXPECT_EQ(fires.alerts[0].active_since, at(0));

    Judge later({Rule{}});
    later.restore(fires.alerts);
    EXPECT_TRUE(evaluate(later, 70, 6).transitions.empty());
    const auto ends = evaluate(later, 80, 1);
    EXPECT_EQ(ends.transitions.size(), 1);

    Judge last({Rule{}});
    last.restore(ends.alerts);
    EXPECT_EQ(evaluate(last, 90, 1).alerts[0].resolved_at, at(80));
}

TEST(Judge, ResolvesARestoredFiringOfABackendThatIsGone) {
    Judge before({Rule{}});
    evaluate(before, 0, 6);
    Judge after({Rule{}});
    after.restore(evaluate(before, 60, 6).alerts);
    const auto gone = after.evaluate(percents(70, {}), at(70));
    ASSERT_EQ(gone.transitions.size(), 1);
    EXPECT_EQ(gone.transitions[0].now.resolved_at, at(70));
}

TEST(Judge, PassesOverWhatCannotBeRestored) {
    Alert unknown_rule;
    unknown_rule.rule = "gone";
    unknown_rule.backend = "b";
    Alert never_active;
    never_active.rule = Rule{}.name;
    never_active.backend = "b";
    never_active.state = State::pending;
    auto half = never_active;
    half.backend = "c";
    half.state = State::firing;
    half.active_since = at(0);
    Judge judge({Rule{}});
    judge.restore({unknown_rule, never_active, half});
    EXPECT_TRUE(judge.evaluate({}, at(1)).alerts.empty());
}

TEST(State, HasANameForEachValue) {
    EXPECT_EQ(to_string(State::inactive), "inactive");
    EXPECT_EQ(to_string(State::pending), "pending");
    EXPECT_EQ(to_string(State::firing), "firing");
}

TEST(Judge, HoldsOnlyAboveTheRulesMinimumOfTraffic) {
    Rule rule;
    rule.for_duration = {};
    rule.min_rate = 100;  // the rate that percents() makes
    Judge judge({rule});
    const auto quiet = evaluate(judge, 0, 90);
    EXPECT_EQ(quiet.alerts.at(0).state, State::inactive) << "PromQL: and sum(rate()) > 100";
    EXPECT_EQ(quiet.alerts.at(0).percent, 90) << "which is told all the same";
    rule.min_rate = 99.5;
    Judge busy({rule});
    EXPECT_EQ(state_after(busy, 0, 90), State::firing);
}

TEST(Judge, TellsTheRatioThatItJudged) {
    Judge judge({Rule{}});
    const auto alert = evaluate(judge, 0, 7).alerts.at(0);
    EXPECT_EQ(alert.ratio, (measure::Ratio{.matching = 7, .all = 100}));
    const auto gone = evaluate(judge, 10, std::nullopt);
    EXPECT_EQ(gone.alerts.at(0).ratio.value(), std::nullopt);
}

}  // namespace
}  // namespace upstat::judge
