// SPDX-License-Identifier: Apache-2.0
#include "publish/alertmanager.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "publish/sample.hpp"
#include "publish/text.hpp"

namespace upstat::publish {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr const char* rule_name = "TraefikHighHttp4xxErrorRateBackend";

Notifier notifier(std::vector<std::string> urls = {"http://one:9093"},
                  std::vector<judge::Rule> rules = {judge::Rule{}}) {
    NotifierOptions options;
    std::ranges::transform(urls, std::back_inserter(options.urls),
                           [](const std::string& url) { return parse_url(url).value(); });
    options.rules = std::move(rules);
    options.instance = "host";
    options.generator_url = "http://host:9479/";
    return *Notifier::make(std::move(options));
}

judge::Alerts firing(Moment since, double percent = 12.345) {
    judge::Alert alert;
    alert.rule = rule_name;
    alert.backend = "app@file";
    alert.state = judge::State::firing;
    alert.percent = percent;
    alert.active_since = Moment{.at = since.at - 1min, .wall = since.wall - 1min};
    alert.firing_since = since;
    judge::Alerts alerts;
    alerts.alerts = {alert};
    return alerts;
}

judge::Alerts resolved(Moment when, judge::State state = judge::State::inactive) {
    judge::Alerts alerts = firing(when);
    auto& alert = alerts.alerts.front();
    alert.state = state;
    alert.percent = 0;
    alert.active_since.reset();
    alert.firing_since.reset();
    alert.resolved_at = when;
    return alerts;
}

HttpDone taken(std::uint64_t ticket) {
    return {.ticket = ticket, .result = HttpResponse{.status = 200}};
}

/// Asks at `now`, and lets what is due be taken; how many there were.
std::size_t run(Notifier& notifier, const judge::Alerts& alerts, Moment now, bool well = true) {
    static std::uint64_t ticket = 0;
    const auto due = notifier.due(alerts, now);
    for (const auto& one : due) {
        notifier.started(one.receiver, ++ticket);
        EXPECT_TRUE(notifier.done(well ? taken(ticket) : HttpDone{ticket, std::unexpected("refused")}, now.at));
    }
    return due.size();
}

TEST(Notifier, AFiringAlertIsToldInFull) {
    auto one = notifier({"http://me:pw@one:9093/am/"});
    const auto due = one.due(firing(at(1'700'000'000)), at(1'700'000'005));
    ASSERT_EQ(due.size(), 1U);
    const auto& request = due[0].request;
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.url, "http://me:pw@one:9093/am/api/v2/alerts");
    EXPECT_EQ(request.headers, std::vector<std::string>{"Content-Type: application/json"});
    const auto body = json::parse(request.body);
    ASSERT_EQ(body.size(), 1U);
    EXPECT_EQ(
        body[0]["labels"],
        json({{"alertname", rule_name}, {"backend", "app@file"}, {"severity", "critical"}, {"instance", "host"}}));
    EXPECT_EQ(body[0]["startsAt"], "2023-11-14T22:13:20.000Z");
    EXPECT_EQ(body[0]["endsAt"], "2023-11-14T22:17:25.000Z");  // 4 x 1 minute from now
    EXPECT_EQ(body[0]["generatorURL"], "http://host:9479/?alert=TraefikHighHttp4xxErrorRateBackend&backend=app%40file");
    const auto& annotations = body[0]["annotations"];
    EXPECT_EQ(annotations["summary"], "Traefik high HTTP 4xx error rate backend app@file (instance host)");
    EXPECT_EQ(annotations["description"],
              "Traefik backend 4xx error rate is above 5%\n  VALUE = 12.35%\n  BACKEND = app@file\n  WINDOW = 3m");
    EXPECT_EQ(annotations["runbook"],
              "https://github.com/srerun/prometheus-alerts/blob/main/content/runbooks/embedded-exporter-v1/"
              "TraefikHighHttp4xxErrorRateBackend.md");
}

/// The one alert of the message about `alerts` under `rule`.
json told(judge::Rule rule, judge::Alerts alerts) {
    alerts.alerts[0].rule = rule.name;
    auto one = notifier({"http://one:9093"}, {std::move(rule)});
    return json::parse(one.due(alerts, at(200)).at(0).request.body).at(0);
}

TEST(Notifier, TheSentenceOfTheLogIsAnAnnotation) {
    auto alerts = firing(at(100));
    alerts.alerts[0].worst = judge::Worst{.server = "10.0.0.1:80", .code = 404, .count = 412};
    EXPECT_EQ(told({}, alerts)["annotations"]["sentence"],
              "TraefikHighHttp4xxErrorRateBackend is firing for backend app@file: 12.35 % of its responses in the last "
              "3m were 4.. (threshold 5 % for 1m or longer, above it since 1970-01-01T00:00:40.000Z); most come from "
              "server 10.0.0.1:80: 412 responses with 404");
    const auto ended = told({}, resolved(at(110), judge::State::pending));
    EXPECT_TRUE(ended["annotations"]["sentence"].get<std::string>().contains(" is resolved for backend app@file"));
}

TEST(Notifier, AResolveForWantOfResponsesDoesNotReadAsHealth) {
    auto alerts = resolved(at(110));
    alerts.alerts[0].percent.reset();
    alerts.alerts[0].outage = "no responses for 38s, 36 connects a second refused";
    const auto annotations = told({}, alerts)["annotations"];
    EXPECT_EQ(annotations["summary"],
              "Traefik high HTTP 4xx error rate backend app@file (instance host): no responses for 38s, 36 connects a "
              "second refused");
    EXPECT_TRUE(annotations["description"].get<std::string>().contains("VALUE = unknown (no responses for 38s, 36 "));
    EXPECT_TRUE(annotations["sentence"].get<std::string>().contains("app@file: no responses for 38s, 36 connects "));
}

TEST(Notifier, ARuleHasNoRunbookOfAnothers) {
    judge::Rule rule;
    rule.name = "ServerErrors";
    rule.codes = "5..";
    EXPECT_FALSE(told(rule, firing(at(100)))["annotations"].contains("runbook"));
    rule.annotations = {{"runbook", "https://r/5xx"}, {"summary", ""}, {"team", "shop"}};
    const auto annotations = told(rule, firing(at(100)))["annotations"];
    EXPECT_EQ(annotations["runbook"], "https://r/5xx");
    EXPECT_EQ(annotations["team"], "shop");
    EXPECT_FALSE(annotations.contains("summary"));
}

TEST(Notifier, AnAlertIsAboutABackendAServiceOrBoth) {
    judge::Rule rule;
    rule.names = Names::both;
    const auto both = told(rule, firing(at(100)));
    EXPECT_EQ(both["labels"]["backend"], "app@file");
    EXPECT_EQ(both["labels"]["service"], "app@file");
    rule.names = Names::service;
    const auto service = told(rule, firing(at(100)));
    EXPECT_FALSE(service["labels"].contains("backend"));
    EXPECT_EQ(service["labels"]["service"], "app@file");
    EXPECT_EQ(service["annotations"]["summary"], "Traefik high HTTP 4xx error rate service app@file (instance host)");
    EXPECT_TRUE(service["annotations"]["description"].get<std::string>().contains("\n  SERVICE = app@file\n"));
    EXPECT_TRUE(service["annotations"]["sentence"].get<std::string>().contains(" is firing for service app@file: "));
}

TEST(Notifier, ARuleDecidesItsLabels) {
    judge::Rule rule;
    rule.labels = {{"instance", ""}, {"severity", "warning"}, {"team", "shop"}};
    EXPECT_EQ(told(rule, firing(at(100)))["labels"],
              json({{"alertname", rule_name}, {"backend", "app@file"}, {"severity", "warning"}, {"team", "shop"}}));
    EXPECT_EQ(told(rule, firing(at(100), 99))["labels"], told(rule, firing(at(100), 7))["labels"]);
}

judge::Alerts of(judge::Alerts alerts, const std::string& traefik) {
    alerts.alerts[0].traefik = traefik;
    return alerts;
}

/// The label `traefik` of each alert in a message, with when it ends.
std::vector<std::pair<std::string, std::string>> ends_of(const Notification& notification) {
    std::vector<std::pair<std::string, std::string>> all;
    for (const auto& one : json::parse(notification.request.body)) {
        all.emplace_back(one["labels"].value("traefik", ""), one["endsAt"].get<std::string>());
    }
    return all;
}

TEST(Notifier, WhereItsLabelsChangeItEndsUnderThoseThatItHad) {
    using Ends = std::vector<std::pair<std::string, std::string>>;
    auto one = notifier();
    run(one, firing(at(100)), at(100));
    auto due = one.due(of(firing(at(100)), "a"), at(105));
    ASSERT_EQ(due.size(), 1U);
    EXPECT_EQ(ends_of(due[0]), (Ends{{"", rfc3339(at(105))}, {"a", rfc3339(at(345))}}));
    EXPECT_EQ(json::parse(due[0].request.body)[0]["startsAt"], rfc3339(at(100)));
    one.started(0, 1001);
    one.done({.ticket = 1001, .result = std::unexpected("refused")}, at(105));

    due = one.due(of(firing(at(100)), "b"), at(165));
    ASSERT_EQ(due.size(), 1U) << "nobody took it";
    EXPECT_EQ(ends_of(due[0]), (Ends{{"", rfc3339(at(165))}, {"a", rfc3339(at(165))}, {"b", rfc3339(at(405))}}));
    one.started(0, 1002);
    one.done(taken(1002), at(165));
    due = one.due(of(firing(at(100)), "b"), at(225));
    ASSERT_EQ(due.size(), 1U);
    EXPECT_EQ(ends_of(due[0]), (Ends{{"b", rfc3339(at(465))}})) << "once";
    one.started(0, 1003);
    one.done(taken(1003), at(225));

    due = one.due(of(resolved(at(230)), "c"), at(235));
    ASSERT_EQ(due.size(), 1U);
    EXPECT_EQ(ends_of(due[0]), (Ends{{"b", rfc3339(at(230))}, {"c", rfc3339(at(230))}}));
}

TEST(Notifier, WithoutAnAddressThereIsNoLink) {
    NotifierOptions options;
    options.urls = {parse_url("http://one:9093").value()};
    auto one = *Notifier::make(options);
    const auto body = json::parse(one.due(firing(at(100)), at(100)).at(0).request.body);
    EXPECT_FALSE(body[0].contains("generatorURL"));
}

TEST(Notifier, QuietAndPendingAlertsAreNotTold) {
    auto one = notifier();
    auto alerts = firing(at(100));
    alerts.alerts[0].state = judge::State::pending;
    alerts.alerts[0].firing_since.reset();
    EXPECT_EQ(run(one, alerts, at(100)), 0U);
    alerts.alerts[0].state = judge::State::inactive;
    EXPECT_EQ(run(one, alerts, at(105)), 0U);
}

TEST(Notifier, FiringIsToldAgainEveryMinute) {
    auto one = notifier();
    EXPECT_EQ(run(one, firing(at(100)), at(100)), 1U);
    EXPECT_EQ(run(one, firing(at(100)), at(105)), 0U);
    EXPECT_EQ(run(one, firing(at(100)), at(159)), 0U);
    EXPECT_EQ(run(one, firing(at(100)), at(160)), 1U);
    EXPECT_EQ(run(one, firing(at(100)), at(165)), 0U);
    EXPECT_EQ(one.results()["http://one:9093"].success, 2U);
}

TEST(Notifier, AResolveIsToldAtOnceAndForFifteenMinutes) {
    auto one = notifier();
    run(one, firing(at(100)), at(100));
    auto due = one.due(resolved(at(110)), at(110));
    ASSERT_EQ(due.size(), 1U);
    const auto body = json::parse(due[0].request.body);
    EXPECT_EQ(body[0]["startsAt"], rfc3339(at(100)));
    EXPECT_EQ(body[0]["endsAt"], rfc3339(at(110)));
    one.started(due[0].receiver, 1);
    one.done(taken(1), at(110));
    EXPECT_EQ(run(one, resolved(at(110)), at(115)), 0U);
    EXPECT_EQ(run(one, resolved(at(110), judge::State::pending), at(170)), 1U);
    EXPECT_EQ(run(one, resolved(at(110)), at(110 + 899)), 1U);
    EXPECT_EQ(run(one, resolved(at(110)), at(110 + 900)), 0U);
    EXPECT_EQ(run(one, firing(at(2000)), at(2000)), 1U) << "a new firing";
}

TEST(Notifier, WhatFailedIsTriedAgain) {
    auto one = notifier();
    EXPECT_EQ(run(one, firing(at(100)), at(100), false), 1U);
    EXPECT_EQ(run(one, firing(at(100)), at(102)), 0U) << "not at every evaluation";
    EXPECT_EQ(run(one, firing(at(100)), at(105)), 1U);
    EXPECT_EQ(run(one, firing(at(100)), at(110)), 0U);
    EXPECT_EQ(run(one, firing(at(100)), at(165), false), 1U) << "a repetition";
    EXPECT_EQ(run(one, firing(at(100)), at(170)), 1U) << "too";
    EXPECT_EQ(run(one, firing(at(100)), at(175)), 0U);
    EXPECT_EQ(one.results()["http://one:9093"].failure, 2U);
    EXPECT_EQ(one.results()["http://one:9093"].last_error, "");
}

/// The evaluations, 5 s apart, at which a message was sent.
std::vector<std::int64_t> tries(Notifier& notifier, const judge::Alerts& alerts, std::int64_t from, std::int64_t until,
                                bool well) {
    std::vector<std::int64_t> times;
    for (auto now = from; now < until; now += 5) {
        if (run(notifier, alerts, at(now), well) != 0) {
            times.push_back(now);
        }
    }
    return times;
}

TEST(Notifier, AReceiverThatIsDownForTenMinutesIsTriedFewTimesAndFoundWithinAMinute) {
    auto one = notifier();
    const auto down = tries(one, firing(at(1000)), 1000, 1600, false);
    EXPECT_GE(down.size(), 12U);
    EXPECT_LE(down.size(), 25U) << "not 120";
    const auto back = tries(one, firing(at(1000)), 1600, 1660, true);
    ASSERT_EQ(back.size(), 1U) << "and told once";
    EXPECT_LE(back[0] - down.back(), 65);
}

TEST(Notifier, WhatChangesMeanwhileGoesWithTheNextTry) {
    auto one = notifier();
    const auto down = tries(one, firing(at(1000)), 1000, 1300, false);
    const auto now = at(down.back() + 5);
    EXPECT_EQ(run(one, resolved(now), now), 0U) << "it waits";
    const auto due = one.due(resolved(now), at(down.back() + 60));
    ASSERT_EQ(due.size(), 1U);
    const auto body = json::parse(due[0].request.body);
    EXPECT_EQ(body[0]["startsAt"], rfc3339(at(1000)));
    EXPECT_EQ(body[0]["endsAt"], rfc3339(now));
}

TEST(Notifier, RetryAfterIsHonoured) {
    auto one = notifier();
    const auto due = one.due(firing(at(100)), at(100));
    one.started(due.at(0).receiver, 1);
    one.done({.ticket = 1, .result = HttpResponse{.status = 429, .retry_after = 120s}}, at(100));
    EXPECT_EQ(run(one, firing(at(100)), at(215)), 0U);
    EXPECT_EQ(run(one, firing(at(100)), at(220)), 1U);
}

TEST(Notifier, AFailureIsALineOfItsReceiver) {
    auto two = notifier({"http://one:9093", "http://me:secret@two:9093/am/"});
    const auto due = two.due(firing(at(100)), at(100));
    two.started(due.at(0).receiver, 1);
    two.started(due.at(1).receiver, 2);
    EXPECT_FALSE(two.done(taken(1), at(100))->line);
    const auto refused = two.done({.ticket = 2, .result = HttpResponse{.status = 500, .body = "no"}}, at(100));
    EXPECT_EQ(refused->problem, "http://two:9093/am answered with status 500: no");
    EXPECT_TRUE(refused->line->failing);
    EXPECT_EQ(refused->line->text, "Alertmanager: http://two:9093/am answered with status 500: no");
    const auto again = two.due(firing(at(100)), at(105));
    ASSERT_EQ(again.size(), 1U) << "the other one is well";
    two.started(again[0].receiver, 3);
    EXPECT_EQ(two.done(taken(3), at(105))->line->text,
              "Alertmanager: http://two:9093/am works again after 5 s; 1 try failed");
}

TEST(Notifier, EachReceiverIsCountedFromTheStart) {
    auto two = notifier({"http://one:9093", "http://me:secret@two:9093/am/"});
    auto results = two.results();
    ASSERT_EQ(results.size(), 2U);
    EXPECT_EQ(results.at("http://two:9093/am").success, 0U);
    EXPECT_EQ(results.at("http://one:9093").failure, 0U);
    run(two, firing(at(100)), at(100));
    EXPECT_EQ(two.results().at("http://two:9093/am").success, 1U);
}

TEST(Notifier, ASuccessorGoesOn) {
    auto before = notifier({"http://one:9093", "http://two:9093"});
    run(before, firing(at(100)), at(100), false);
    auto after = notifier({"http://three:9093", "http://two:9093"});
    after.succeed(before);
    EXPECT_EQ(after.results().at("http://two:9093").failure, 1U);
    EXPECT_EQ(after.results().at("http://three:9093").failure, 0U);
    const auto due = after.due(firing(at(100)), at(101));
    ASSERT_EQ(due.size(), 1U) << "two still waits";
    EXPECT_EQ(due[0].request.url, "http://three:9093/api/v2/alerts");
}

TEST(Notifier, ARequestHasItsFilesAndFollowsRedirects) {
    NotifierOptions options;
    options.urls = {parse_url("https://one:9093").value()};
    options.files = {.ca_file = "ca", .bearer_token_file = "token", .cert_file = "cert", .key_file = "key"};
    auto one = *Notifier::make(options);
    const auto due = one.due(firing(at(100)), at(100));
    EXPECT_EQ(due.at(0).request.files, options.files);
    EXPECT_TRUE(due.at(0).request.redirects);
}

TEST(Notifier, OneIsUnderWayToEachReceiver) {
    auto two = notifier({"http://one:9093", "http://two:9093"});
    const auto due = two.due(firing(at(100)), at(100));
    ASSERT_EQ(due.size(), 2U);
    EXPECT_EQ(due[1].request.url, "http://two:9093/api/v2/alerts");
    two.started(due[0].receiver, 1);
    two.started(due[1].receiver, 2);
    EXPECT_FALSE(two.done(taken(3), at(100)));
    EXPECT_EQ(two.done(taken(1), at(100))->problem, "");
    const auto next = two.due(resolved(at(110)), at(110));  // the second one hangs: only the first hears of it
    ASSERT_EQ(next.size(), 1U);
    EXPECT_EQ(next[0].receiver, 0U);
    two.started(next[0].receiver, 4);
    EXPECT_NE(two.done({.ticket = 2, .result = HttpResponse{.status = 500, .body = "no"}}, at(110))->problem, "");
    const auto late = two.due(resolved(at(110)), at(115));
    ASSERT_EQ(late.size(), 1U);
    EXPECT_EQ(late[0].receiver, 1U);
}

TEST(Notifier, AnAlertThatIsGoneIsForgotten) {
    auto one = notifier();
    EXPECT_EQ(run(one, firing(at(100)), at(100)), 1U);
    EXPECT_EQ(run(one, judge::Alerts(), at(105)), 0U);
    EXPECT_EQ(run(one, firing(at(100)), at(110)), 1U);
}

TEST(Notifier, AfterARestartAResolvedAlertHasAStart) {
    auto one = notifier();
    const auto due = one.due(resolved(at(110)), at(115));
    ASSERT_EQ(due.size(), 1U);
    EXPECT_EQ(json::parse(due[0].request.body)[0]["startsAt"], rfc3339(at(110)));
}

/// An Alertmanager refuses an alert that ends before it starts.
TEST(Notifier, AWallClockSetBackMakesNoAlertEndBeforeItStarts) {
    const auto since = Moment{.at = at(100), .wall = at(100'000)};
    const auto later = Moment{.at = at(200), .wall = at(10)};
    auto one = notifier();
    ASSERT_EQ(run(one, firing(since), since), 1U);
    const auto again = one.due(firing(since), later);
    ASSERT_EQ(again.size(), 1U);
    const auto goes_on = nlohmann::json::parse(again[0].request.body).at(0);
    EXPECT_EQ(goes_on["startsAt"], rfc3339(at(100'000)));
    EXPECT_EQ(goes_on["endsAt"], rfc3339(at(100'000)));
    one.started(again[0].receiver, 1'000'001);
    one.done(taken(1'000'001), at(200));
    const auto end = one.due(resolved(later), later);
    ASSERT_EQ(end.size(), 1U);
    const auto ended = nlohmann::json::parse(end[0].request.body).at(0);
    EXPECT_EQ(ended["startsAt"], rfc3339(at(10)));
    EXPECT_EQ(ended["endsAt"], rfc3339(at(10)));
}

}  // namespace
}  // namespace upstat::publish
