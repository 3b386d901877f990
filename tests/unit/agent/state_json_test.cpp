// SPDX-License-Identifier: Apache-2.0
#include "agent/state_json.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "attribute/life.hpp"

namespace upstat::agent {
namespace {

using nlohmann::json;

Time at(int seconds) {
    return Time(std::chrono::seconds(seconds));
}

Moment moment(int seconds) {
    return {.at = at(seconds), .wall = Wall(std::chrono::seconds(seconds + 3600))};
}

attribute::Growth growth_of_its_text(const attribute::Growth& growth) {
    return growth_from(json::parse("{" + to_members(growth) + "}"));
}

TEST(Saved, ALedgerAndEachGrowthComeBackFromTheirTexts) {
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        SCOPED_TRACE(seed);
        attribute::Life life(seed);
        attribute::Ledger ledger;
        attribute::Ledger told;
        for (int step = 0; step < 30; ++step) {
            life.step();
            const auto growth = ledger.growth(life.snapshot(), *life.catalogue());
            ledger.absorb(life.snapshot(), life.catalogue());
            if (growth) {
                told.absorb(growth_of_its_text(*growth));
            } else {
                told = attribute::Ledger(ledger_from(json::parse(to_text(ledger.state()))));
            }
            ASSERT_EQ(told, ledger) << "step " << step;
        }
    }
}

TEST(Saved, CountsOfAnyLengthAreWrittenAsTheyAre) {
    using attribute::server;
    for (const std::uint64_t count : {0UL, 9UL, 10UL, 99UL, 100UL, 999UL, 1000UL, ~0UL}) {
        const attribute::Growth growth{
            .at = at(7),
            .grown = {{.server = server(1), .requests = count, .responses = {{attribute::ok, count}}}},
            .unknown = {{server(2), {.requests = count, .connects = count, .responses = {}}}}};
        const auto back = growth_of_its_text(growth);
        EXPECT_EQ(back.at, growth.at);
        EXPECT_EQ(back.grown, growth.grown) << count;
        EXPECT_EQ(back.unknown, growth.unknown) << count;
    }
}

TEST(Saved, RoutesComeBack) {
    auto catalogue = *attribute::listing({{"a|b", {1}}});
    catalogue.backends.at("a|b").routes = {{.host = "a", .backend = "a"}, {.host = "b", .backend = "b"}};
    auto snapshot = attribute::poll(1, {{attribute::server(1), attribute::answered(9)}});
    attribute::Ledger ledger;
    ledger.absorb(snapshot, std::make_shared<const attribute::Catalogue>(catalogue));
    snapshot.routed[attribute::server(1)] = {{1, {{attribute::ok, 2}}}, {2, {{attribute::ok, 3}}}};
    ledger.absorb(snapshot, ledger.state().catalogue);
    auto back = ledger_from(json::parse(to_text(ledger.state())));
    EXPECT_EQ(back.route_names, (std::vector<attribute::BackendName>{"a", "b"}));
    EXPECT_EQ(back.last_routed, ledger.state().last_routed);

    const attribute::Growth growth{.at = at(7),
                                   .grown = {{.server = attribute::server(1),
                                              .requests = 9,
                                              .responses = {{attribute::ok, 9}},
                                              .routes = {{2, {{attribute::ok, 4}}}}}},
                                   .unknown = {}};
    EXPECT_EQ(growth_of_its_text(growth).grown, growth.grown);
    auto saved = json::parse(to_text(ledger.state()));
    saved["last_routed"][1] = 3;
    EXPECT_THROW(ledger_from(saved), std::exception) << "a number that was never given";
}

TEST(Saved, SinceWhenNobodyListsThemComesBack) {
    const auto snapshot = attribute::poll(5, {{attribute::server(1), attribute::answered(9)}});
    attribute::Ledger ledger;
    ledger.absorb(snapshot, attribute::listing({{"a", {1}}}));
    ledger.absorb(snapshot, attribute::listing({}));
    ASSERT_TRUE(ledger.forget(snapshot, std::chrono::days(7)));
    const auto text = to_text(ledger.state());
    const auto back = ledger_from(json::parse(text));
    EXPECT_EQ(back.unlisted_backends.at("a").since, at(5));
    EXPECT_EQ(back, ledger.state());
    auto older = json::parse(text);
    older.erase("unlisted_backends");
    older.erase("unlisted_servers");
    EXPECT_TRUE(ledger_from(older).unlisted_servers.empty());
}

TEST(Saved, EveryCodeThatTheKernelCountsIsTakenAndNoOther) {
    const auto with = [](int code) {
        return json::parse(R"({"at":1,"grown":["10.0.0.1:1",1,[)" + std::to_string(code) + R"(,1,1]],"strangers":{}})");
    };
    EXPECT_NO_THROW(growth_from(with(600)));
    EXPECT_NO_THROW(growth_from(with(999)));
    EXPECT_THROW(growth_from(with(1000)), std::exception);
}

/// What upstat 0.1.0 wrote, byte by byte.
TEST(Saved, AnOlderUpstatsTextsAreRead) {
    const auto growth = growth_from(json::parse(
        R"({"at":2000,"grown":["10.0.0.1:1",13,[200,1,12]],"strangers":{"10.0.0.1:2":{"requests":4,"connects":1,)"
        R"("answers":[200,1,4],"unanswered":{"reset":2},"unread":{"tls":3},"connect_failures":{"refused":5}}}})"));
    EXPECT_EQ(growth.grown.at(0).responses, (poll::ResponseCounts{{attribute::ok, 12}}));
    EXPECT_EQ(growth.unknown.at(attribute::server(2)), (poll::ServerTotals{.requests = 4,
                                                                           .connects = 1,
                                                                           .responses = {{attribute::ok, 4}},
                                                                           .unanswered = {{"reset", 2}},
                                                                           .unread = {{"tls", 3}},
                                                                           .connect_failures = {{"refused", 5}}}));
}

TEST(Saved, ALedgerWithoutServersOfTcpServicesIsRead) {
    attribute::Ledger ledger;
    ledger.absorb(attribute::poll(1, {{attribute::server(1), attribute::answered(5)}}),
                  attribute::listing({{"a", {1}}}));
    auto saved = json::parse(to_text(ledger.state()));
    ASSERT_EQ(saved.erase("streams"), 1) << "as upstat 0.2.0 wrote it";
    EXPECT_EQ(attribute::Ledger(ledger_from(saved)), ledger);
}

TEST(Saved, AHistoryComesBackFromItsText) {
    measure::History history;
    history.polls = {at(1), at(6)};
    history.backends["a@file"] = {
        .sampled = {false, true},
        .series = {{{.code = 404, .method = poll::Method::post, .protocol = attribute::Protocol::websocket},
                    {std::numeric_limits<double>::quiet_NaN(), 7}}}};
    const auto back = history_from(json::parse(to_text(history)));
    EXPECT_EQ(back.polls, history.polls);
    ASSERT_EQ(back.backends.size(), 1U);
    const auto& backend = back.backends.at("a@file");
    EXPECT_EQ(backend.sampled, (std::vector<bool>{false, true}));
    const auto& totals =
        backend.series.at({.code = 404, .method = poll::Method::post, .protocol = attribute::Protocol::websocket});
    EXPECT_TRUE(std::isnan(totals.at(0)));
    EXPECT_EQ(totals.at(1), 7);
}

TEST(Saved, AlertsComeBackFromTheirText) {
    const std::vector<judge::Alert> alerts{{.rule = "R",
                                            .backend = "b",
                                            .state = judge::State::firing,
                                            .percent = std::nullopt,
                                            .active_since = moment(5),
                                            .firing_since = moment(65),
                                            .resolved_at = std::nullopt}};
    EXPECT_EQ(alerts_from(json::parse(to_json(alerts).dump())), alerts);
}

TEST(Saved, AnythingElseThrowsWhatTheAgentCatches) {
    for (const auto* const text : {"{}", "[]", "5", R"({"polls": ["x"], "backends": {}})"}) {
        EXPECT_THROW(history_from(json::parse(text)), std::exception) << text;
    }
    EXPECT_THROW(alerts_from(json::parse(R"([{"rule": 5}])")), json::exception);
}

TEST(Saved, WhatIsOfAnotherTraefikComesBackAsItsOwn) {
    attribute::Ledger ledger;
    const auto here = attribute::listing({{"shop", {1}},
                                          {std::string("\0"
                                                       "3/shop",
                                                       7),
                                           {2}}},
                                         {9});
    const auto both =
        std::make_shared<const attribute::Catalogue>(attribute::merged(*here, attribute::moved_to(*here, 3)));
    auto theirs = attribute::server(1);
    theirs.zone = 3;
    auto stranger = attribute::server(7);
    stranger.zone = 65535;
    const auto snapshot = attribute::poll(1, {{attribute::server(1), attribute::answered(5)},
                                              {theirs, attribute::answered(7)},
                                              {stranger, attribute::answered(1)}});
    ledger.absorb(snapshot, both);
    EXPECT_EQ(attribute::Ledger(ledger_from(json::parse(to_text(ledger.state())))), ledger);
    const attribute::Growth growth{.at = at(7),
                                   .grown = {{.server = theirs, .requests = 1, .responses = {}}},
                                   .unknown = {{stranger, attribute::answered(1)}}};
    EXPECT_EQ(growth_of_its_text(growth).grown, growth.grown);
    EXPECT_EQ(growth_of_its_text(growth).unknown, growth.unknown);

    measure::History history{.polls = {at(1)}, .backends = {}};
    history.backends[{"shop", 3}].sampled = {true};
    EXPECT_EQ(history_from(json::parse(to_text(history))).backends, history.backends);
    judge::Alert alert;
    alert.backend = {"shop", 3};
    EXPECT_EQ(alerts_from(to_json(std::vector{alert})).at(0).backend, alert.backend);
    for (const auto* const broken : {R"({"a":"x"})", R"({"65536":"x"})", R"({"":"x"})", R"({"1":2})"}) {
        EXPECT_ANY_THROW(zones_from(json::parse(broken))) << broken;
    }
    const Tenants::All tenants{{0, {.name = "/a", .ended = {}}}, {7, {.name = "/b", .ended = at(5)}}};
    EXPECT_EQ(tenants_from(to_json(tenants)), tenants);
    for (const auto* const broken : {R"({"a":{"name":"x"}})", R"({"1":"x"})", R"({"1":{}})", R"({"1":{"name":2}})"}) {
        EXPECT_ANY_THROW(tenants_from(json::parse(broken))) << broken;
    }
}

}  // namespace
}  // namespace upstat::agent
