// SPDX-License-Identifier: Apache-2.0
#include "attribute/ledger.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "attribute/life.hpp"

namespace upstat::attribute {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;
using testing::Pair;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr poll::ResponseKey missing{.code = 404, .method = poll::Method::get};
constexpr Series ok_series{.code = 200, .method = poll::Method::get, .protocol = Protocol::http};

const SharedCatalogue nobody = listing({});

std::uint64_t sum(const SeriesCounts& counts) {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0},
                           [](std::uint64_t total, const auto& entry) { return total + entry.second; });
}

std::map<std::string, std::uint64_t> sums(const Counts& counts) {
    std::map<std::string, std::uint64_t> all;
    for (const auto& [name, series] : counts.backends) {
        all[name.name] = sum(series);
    }
    return all;
}

TEST(Ledger, CountsByCodeMethodAndProtocol) {
    Ledger ledger;
    const poll::ResponseKey upgrade{.code = 101, .method = poll::Method::get};
    const auto counts =
        ledger.absorb(poll(1, {{server(1), answered({{ok, 3}, {missing, 2}, {upgrade, 1}})}}), listing({{"a", {1}}}));
    EXPECT_EQ(counts.at, at(1));
    EXPECT_THAT(counts.backends.at("a"),
                UnorderedElementsAre(
                    Pair(ok_series, 3), Pair(Series{.code = 404, .method = poll::Method::get}, 2),
                    Pair(Series{.code = 101, .method = poll::Method::get, .protocol = Protocol::websocket}, 1)));
    EXPECT_EQ(to_string(Protocol::websocket), "websocket");
    EXPECT_EQ(to_string(Protocol::http), "http");
}

TEST(Ledger, ABackendWithoutAnAnswerIsThereEmpty) {
    Ledger ledger;
    EXPECT_THAT(ledger.absorb(poll(1, {}), listing({{"a", {1}}, {"b", {}}})).backends,
                UnorderedElementsAre(Pair("a", IsEmpty()), Pair("b", IsEmpty())));
}

TEST(Ledger, AServersAnswersAreThoseOfEveryBackendThatListsIt) {
    Ledger ledger;
    EXPECT_THAT(sums(ledger.absorb(poll(1, {{server(1), answered(5)}}), listing({{"a", {1}}, {"b", {1, 2}}}))),
                ElementsAre(Pair("a", 5), Pair("b", 5)));
}

TEST(Ledger, AServerOfATcpServiceIsLeftOut) {
    Ledger ledger;
    const auto show = [&ledger](int seconds, std::uint64_t count, const SharedCatalogue& catalogue) {
        const auto snapshot = poll(seconds, {{server(1), answered(count)}, {server(2), answered(1)}});
        ledger.absorb(snapshot, catalogue);
        return ledger.view(snapshot);
    };
    const auto streams = listing({{"a", {3}}}, {1});
    show(0, 2, nobody);  // before the API has answered
    EXPECT_EQ(show(10, 5, streams).unmapped, poll::ServerTotals{});
    const auto view = show(600, 9, streams);
    EXPECT_EQ(view.unmapped, answered(1)) << "of the other server alone";
    EXPECT_THAT(view.servers, ElementsAre(Key(server(3))));
    EXPECT_THAT(view.streams, ElementsAre(server(1)));
    show(610, 12, nobody);
    EXPECT_EQ(show(700, 12, nobody).unmapped, answered(4)) << "what came since no service lists it any more";
}

TEST(Ledger, AServerOfATcpServiceAndABackendIsTheBackends) {
    Ledger ledger;
    const auto both = listing({{"a", {1}}}, {1});
    const auto snapshot = poll(1, {{server(1), answered(5)}});
    EXPECT_THAT(sums(ledger.absorb(snapshot, both)), ElementsAre(Pair("a", 5)));
    EXPECT_EQ(ledger.view(snapshot).servers.at(server(1)), answered(5));
    EXPECT_THAT(ledger.view(snapshot).streams, IsEmpty());
    // also when no backend lists it any more: its late responses are the backend's
    const auto later = poll(90, {{server(1), answered(7)}});
    EXPECT_THAT(sums(ledger.absorb(later, listing({{"a", {}}}, {1}))), ElementsAre(Pair("a", 7)));
    EXPECT_EQ(ledger.view(later).servers.at(server(1)), answered(7));
    EXPECT_THAT(ledger.view(later).streams, IsEmpty());
}

TEST(Ledger, WhatWasLeftOutIsNotABackendsLater) {
    Ledger ledger;
    ledger.absorb(poll(1, {{server(1), answered(5)}}), listing({{"a", {}}}, {1}));
    const auto snapshot = poll(2, {{server(1), answered(7)}});
    EXPECT_THAT(sums(ledger.absorb(snapshot, listing({{"a", {1}}}))), ElementsAre(Pair("a", 2)));
    EXPECT_EQ(ledger.view(snapshot).servers.at(server(1)), answered(2));
}

TEST(Ledger, AMovedServerTakesNothingAlong) {
    Ledger ledger;
    ledger.absorb(poll(1, {{server(1), answered(5)}}), listing({{"a", {1}}, {"b", {}}}));
    EXPECT_THAT(sums(ledger.absorb(poll(2, {{server(1), answered(7)}}), listing({{"a", {}}, {"b", {1}}}))),
                ElementsAre(Pair("a", 5), Pair("b", 2)));
}

TEST(Ledger, ARemovedServerTakesNothingAwayAndItsLateAnswersStay) {
    Ledger ledger;
    ledger.absorb(poll(1, {{server(1), answered(5)}}), listing({{"a", {1}}}));
    EXPECT_THAT(sums(ledger.absorb(poll(2, {{server(1), answered(6)}}), listing({{"a", {}}}))),
                ElementsAre(Pair("a", 6)));
    EXPECT_THAT(sums(ledger.absorb(poll(3, {{server(1), answered(9)}}), listing({{"a", {}}}))),
                ElementsAre(Pair("a", 9)));
}

TEST(Ledger, TrafficBeforeTheFirstListingIsTheFirstOwners) {
    Ledger ledger;
    ledger.absorb(poll(1, {{server(1), answered(5)}}), listing({{"a", {}}}));
    ledger.absorb(poll(2, {{server(1), answered(6)}}), listing({{"a", {}}}));
    EXPECT_THAT(sums(ledger.absorb(poll(3, {{server(1), answered(8)}}), listing({{"a", {1}}}))),
                ElementsAre(Pair("a", 8)));
    EXPECT_THAT(sums(ledger.absorb(poll(4, {{server(1), answered(8)}}), listing({{"a", {}}, {"b", {1}}}))),
                ElementsAre(Pair("a", 8), Pair("b", 0)));
}

TEST(Ledger, ABackendLeavesAndComesBackWithItsCounters) {
    Ledger ledger;
    ledger.absorb(poll(1, {{server(1), answered(5)}}), listing({{"a", {1}}}));
    EXPECT_THAT(ledger.absorb(poll(2, {{server(1), answered(6)}}), nobody).backends, IsEmpty());
    EXPECT_THAT(sums(ledger.absorb(poll(3, {{server(1), answered(7)}}), listing({{"a", {1}}}))),
                ElementsAre(Pair("a", 7)));
}

constexpr auto week = std::chrono::days(7);
constexpr int week_seconds = 7 * 24 * 3600;

TEST(Ledger, WhatIsNotListedForLongIsForgotten) {
    Ledger ledger;
    const auto rest = listing({{"b", {2}}});
    ledger.absorb(poll(0, {{server(1), answered(5)}}), listing({{"a", {1}}, {"b", {2}}}));
    const auto show = [&](int seconds, std::uint64_t count, const SharedCatalogue& catalogue) {
        const auto snapshot = poll(seconds, {{server(1), answered(count)}});
        const auto counts = ledger.absorb(snapshot, catalogue);
        ledger.forget(snapshot, week);
        return std::pair(sums(counts), ledger.view(snapshot));
    };
    show(10, 6, rest);
    EXPECT_EQ(show(9 + week_seconds, 6, rest).second.servers.at(server(1)), answered(6));
    EXPECT_TRUE(ledger.state().backends.contains("a"));
    const auto gone = show(10 + week_seconds, 6, rest).second;
    EXPECT_FALSE(gone.servers.contains(server(1)));
    EXPECT_FALSE(ledger.state().backends.contains("a"));
    EXPECT_THAT(ledger.state().owners, ElementsAre(Key(server(2))));
    show(20 + week_seconds, 6, rest);
    EXPECT_EQ(show(100 + week_seconds, 6, rest).second.unmapped, poll::ServerTotals{}) << "what was a backend's";
    show(110 + week_seconds, 8, rest);
    EXPECT_EQ(show(200 + week_seconds, 8, rest).second.unmapped, answered(2)) << "what came later";
    const auto [back, view] = show(210 + week_seconds, 9, listing({{"a", {1}}, {"b", {2}}}));
    EXPECT_THAT(back, ElementsAre(Pair("a", 3), Pair("b", 0)));
    EXPECT_EQ(view.servers.at(server(1)), answered(1)) << "the rest is unmapped, or was shown before";
}

TEST(Ledger, NothingNewToForgetIsNothingToSave) {
    Ledger ledger;
    const auto snapshot = poll(0, {{server(1), answered(5)}});
    ledger.absorb(snapshot, listing({{"a", {1}}}));
    EXPECT_FALSE(ledger.forget(snapshot, week));
    ledger.absorb(snapshot, nobody);
    EXPECT_TRUE(ledger.forget(snapshot, week));
    EXPECT_FALSE(ledger.forget(snapshot, week));
    ledger.absorb(snapshot, listing({{"a", {1}}}));
    EXPECT_TRUE(ledger.forget(snapshot, week));
    EXPECT_THAT(ledger.state().unlisted_backends, IsEmpty());
    EXPECT_THAT(ledger.state().unlisted_servers, IsEmpty());
}

TEST(Ledger, WhatIsStillUsedIsNotForgotten) {
    Ledger ledger;
    ledger.absorb(poll(0, {{server(1), answered(5)}}), listing({{"a", {1}}}));
    const auto pass = [&](int seconds, const poll::ServerTotals& totals) {
        const auto snapshot = poll(seconds, {{server(1), totals}});
        ledger.absorb(snapshot, nobody);
        ledger.forget(snapshot, week);
        return ledger.state().backends.contains("a");
    };
    EXPECT_TRUE(pass(1, answered(5)));
    EXPECT_TRUE(pass(week_seconds, answered(6))) << "asked lately";
    EXPECT_TRUE(pass(week_seconds + 1, answered(6)));
    auto waits = answered(6);
    waits.requests++;
    EXPECT_TRUE(pass(week_seconds + 2, waits));
    EXPECT_TRUE(pass(2 * week_seconds + 2, waits)) << "a request waits";
    EXPECT_TRUE(pass(2 * week_seconds + 3, answered(7)));
    EXPECT_FALSE(pass(3 * week_seconds + 3, answered(7)));
}

TEST(Ledger, OfVeryManyNamesTheLongestUnlistedAreForgotten) {
    Ledger ledger;
    for (int round = 0; round < 3; ++round) {
        Catalogue many;
        for (int name = 0; name < 9'000; ++name) {
            many.backends[std::to_string(round) + "-" + std::to_string(name)];
        }
        const auto snapshot = poll(round, {});
        ledger.absorb(snapshot, std::make_shared<const Catalogue>(std::move(many)));
        ledger.forget(snapshot, week);
    }
    const auto snapshot = poll(3, {});
    ledger.absorb(snapshot, nobody);
    ledger.forget(snapshot, week);
    EXPECT_THAT(ledger.state().backends, SizeIs(20'000));
    EXPECT_TRUE(ledger.state().backends.contains("2-0"));
    EXPECT_FALSE(ledger.state().backends.contains("0-0"));
}

TEST(Ledger, WhoHasManyNamesHasNoOthersForgotten) {
    Ledger ledger;
    const auto pass = [&ledger](int seconds, Catalogue catalogue) {
        const auto snapshot = poll(seconds, {});
        ledger.absorb(snapshot, std::make_shared<const Catalogue>(std::move(catalogue)));
        ledger.forget(snapshot, week);
    };
    Catalogue few;
    few.backends[{"theirs", 1}];
    pass(0, std::move(few));
    pass(1, {});
    Catalogue many;
    for (int name = 0; name < 21'000; ++name) {
        many.backends[{std::to_string(name), 2}];
    }
    pass(2, std::move(many));
    pass(3, {});
    EXPECT_THAT(ledger.state().backends, SizeIs(20'000));
    EXPECT_TRUE(ledger.state().backends.contains({"theirs", 1})) << "the longest unlisted, but of who has one";
}

TEST(Ledger, TotalsThatWentBackAreWholeIncrements) {
    Ledger ledger;
    const auto catalogue = listing({{"a", {1}}});
    ledger.absorb(poll(1, {{server(1), answered({{ok, 10}, {missing, 1}})}}), catalogue);
    // the 404s are more than before, but they are of new maps too
    const auto counts = ledger.absorb(poll(2, {{server(1), answered({{ok, 4}, {missing, 3}})}}), catalogue);
    EXPECT_THAT(sums(counts), ElementsAre(Pair("a", 18)));
    // only the requests show it
    EXPECT_THAT(sums(ledger.absorb(poll(3, {{server(1), answered({{missing, 3}})}}), catalogue)),
                ElementsAre(Pair("a", 21)));
}

TEST(Ledger, NewMapsAreWholeIncrementsEvenWhenTheyGrew) {
    Ledger ledger;
    const auto catalogue = listing({{"a", {1}}});
    ledger.absorb(poll(1, {{server(1), answered(10)}}), catalogue);
    ledger.maps_made_anew();
    EXPECT_THAT(sums(ledger.absorb(poll(2, {{server(1), answered(12)}}), catalogue)), ElementsAre(Pair("a", 22)));
}

TEST(Ledger, ASeriesThatOnePollMissesIsNotCountedTwice) {
    Ledger ledger;
    const auto catalogue = listing({{"a", {1}}});
    ledger.absorb(poll(1, {{server(1), answered(10)}}), catalogue);
    ledger.absorb(poll(2, {}), catalogue);
    EXPECT_THAT(sums(ledger.absorb(poll(3, {{server(1), answered(11)}}), catalogue)), ElementsAre(Pair("a", 11)));
}

TEST(Ledger, GrowthIsWhatGrewAndNothingElse) {
    Ledger ledger;
    const auto catalogue = listing({{"a", {1, 2}}});
    ledger.absorb(poll(1, {{server(1), answered({{ok, 10}, {missing, 1}})}, {server(2), answered(4)}}), catalogue);
    const auto growth =
        ledger.growth(poll(2, {{server(1), answered({{ok, 12}, {missing, 1}})}, {server(2), answered(4)}}), *catalogue);
    ASSERT_TRUE(growth);
    EXPECT_EQ(growth->at, at(2));
    EXPECT_THAT(growth->grown,
                ElementsAre(Growth::Grown{.server = server(1), .requests = 13, .responses = {{ok, 12}}}));
    EXPECT_THAT(growth->unknown, IsEmpty());
    EXPECT_THAT(ledger.growth(poll(2, {{server(2), answered(4)}}), *catalogue)->grown, IsEmpty());
}

TEST(Ledger, ThereIsNoGrowthOfAnotherCatalogueOrOfNewMaps) {
    Ledger ledger;
    const auto catalogue = listing({{"a", {1}}});
    ledger.absorb(poll(1, {{server(1), answered(10)}}), catalogue);
    EXPECT_FALSE(ledger.growth(poll(2, {{server(1), answered(11)}}), *listing({{"a", {1, 2}}})));
    EXPECT_FALSE(ledger.growth(poll(2, {{server(1), answered(9)}}), *catalogue));
    EXPECT_TRUE(ledger.growth(poll(2, {{server(1), answered(11)}}), *listing({{"a", {1}}})));
}

// --- the server-level series ---

TEST(Ledger, ListedServersAreShownAsThemselvesAlsoWithoutTraffic) {
    Ledger ledger;
    const auto snapshot = poll(1, {{server(1), answered(5)}});
    ledger.absorb(snapshot, listing({{"a", {1, 2}}}));
    EXPECT_THAT(ledger.view(snapshot).servers,
                ElementsAre(Pair(server(1), answered(5)), Pair(server(2), poll::ServerTotals{})));
    ledger.absorb(snapshot, nobody);
    EXPECT_THAT(ledger.view(snapshot).servers, ElementsAre(Key(server(1))));  // once listed is enough
}

TEST(Ledger, AnUnknownServerIsHeldBackForAMinuteAndThenUnmapped) {
    Ledger ledger;
    const auto show = [&](std::int64_t seconds, std::uint64_t count, const SharedCatalogue& catalogue = nobody) {
        const auto snapshot = poll(seconds, {{server(1), answered(count)}});
        ledger.absorb(snapshot, catalogue);
        return ledger.view(snapshot);
    };
    EXPECT_EQ(show(0, 5), ServerView{});
    EXPECT_EQ(show(59, 6), ServerView{});
    EXPECT_EQ(show(60, 7).unmapped, answered(7));
    EXPECT_EQ(show(65, 9).unmapped, answered(9));
    // what was folded stays there; the server shows the rest
    const auto listed = show(70, 12, listing({{"a", {1}}}));
    EXPECT_EQ(listed.unmapped, answered(9));
    EXPECT_THAT(listed.servers, ElementsAre(Pair(server(1), answered(3))));
    EXPECT_THAT(show(200, 20).servers, ElementsAre(Pair(server(1), answered(11))));
}

TEST(Ledger, AnOrdinaryNewServerIsWhole) {
    Ledger ledger;
    ledger.absorb(poll(0, {{server(1), answered(5)}}), nobody);
    const auto snapshot = poll(55, {{server(1), answered(8)}});
    ledger.absorb(snapshot, listing({{"a", {1}}}));
    EXPECT_THAT(ledger.view(snapshot).servers, ElementsAre(Pair(server(1), answered(8))));
    EXPECT_EQ(ledger.view(snapshot).unmapped, poll::ServerTotals{});
}

TEST(Ledger, ARequestThatWaitsWhileItsServerIsFirstListedIsOutstandingOnce) {
    Ledger ledger;
    auto totals = answered(5);
    totals.requests = 6;
    ledger.absorb(poll(0, {{server(1), totals}}), nobody);
    ledger.absorb(poll(60, {{server(1), totals}}), nobody);
    auto snapshot = poll(65, {{server(1), totals}});
    ledger.absorb(snapshot, listing({{"a", {1}}}));
    EXPECT_EQ(ledger.view(snapshot).unmapped.outstanding(), 0);
    EXPECT_EQ(ledger.view(snapshot).servers.at(server(1)).outstanding(), 1);
    snapshot = poll(70, {{server(1), answered(6)}});
    ledger.absorb(snapshot, listing({{"a", {1}}}));
    EXPECT_EQ(ledger.view(snapshot).servers.at(server(1)), answered(1));
}

TEST(Ledger, UnmappedNeverGoesBackWithTheMaps) {
    Ledger ledger;
    ledger.absorb(poll(0, {{server(1), answered(5)}}), nobody);
    ledger.absorb(poll(60, {{server(1), answered(5)}}), nobody);
    const auto snapshot = poll(65, {{server(1), answered(2)}});
    ledger.absorb(snapshot, nobody);
    EXPECT_EQ(ledger.view(snapshot).unmapped, answered(7));
}

// --- a property, on random lives ---

SeriesCounts series_of_ever_listed(const Life& life, const poll::Snapshot& snapshot) {
    SeriesCounts counts;
    for (const auto& one : life.ever_listed()) {
        const auto totals = snapshot.servers.find(one);
        if (totals == snapshot.servers.end()) {
            continue;
        }
        for (const auto& [response, count] : totals->second.responses) {
            counts[{.code = response.code, .method = response.method, .protocol = Protocol::http}] += count;
        }
    }
    return counts;
}

SeriesCounts all_backends(const Counts& counts) {
    SeriesCounts all;
    for (const auto& [name, series] : counts.backends) {
        for (const auto& [key, count] : series) {
            all[key] += count;
        }
    }
    erase_if(all, [](const auto& entry) { return entry.second == 0; });
    return all;
}

/// One that is only told what each poll changes, and becomes a copy where that does not do.
class Follower {
  public:
    void follow(const Ledger& leader, const poll::Snapshot& snapshot, const SharedCatalogue& catalogue) {
        if (const auto growth = leader.growth(snapshot, *catalogue)) {
            ledger_.absorb(*growth);
            ++growths;
        } else {
            ledger_ = Ledger(leader.state());
            ledger_.absorb(snapshot, catalogue);
        }
    }
    [[nodiscard]] const Ledger& ledger() const { return ledger_; }

    int growths = 0;

  private:
    Ledger ledger_;
};

void expect_grown(const poll::ServerTotals& before, const poll::ServerTotals& after) {
    EXPECT_LE(before.requests, after.requests);
    for (const auto& [response, count] : before.responses) {
        EXPECT_LE(count, after.responses.at(response));
    }
}

TEST(LedgerProperty, NothingIsLostOrCountedTwiceAndARestartChangesNothing) {
    for (std::uint32_t seed = 0; seed < 40; ++seed) {
        SCOPED_TRACE(seed);
        Life life(seed);
        Ledger ledger;
        Ledger restarted;
        Follower follower;
        ServerView before;
        for (int step = 0; step < 40; ++step) {
            life.step();
            const auto snapshot = life.snapshot();
            follower.follow(ledger, snapshot, life.catalogue());
            const auto counts = ledger.absorb(snapshot, life.catalogue());
            ASSERT_EQ(follower.ledger(), ledger) << "step " << step;
            ASSERT_EQ(all_backends(counts), series_of_ever_listed(life, snapshot)) << "step " << step;

            ASSERT_EQ(restarted.absorb(snapshot, life.catalogue()).backends, counts.backends);
            ASSERT_EQ(restarted, ledger);
            if (life.pick(0, 5) == 0) {
                restarted = Ledger(restarted.state());
            }

            const auto view = ledger.view(snapshot);
            expect_grown(before.unmapped, view.unmapped);
            for (const auto& [one, totals] : before.servers) {
                if (const auto now = view.servers.find(one); now != view.servers.end()) {
                    expect_grown(totals, now->second);
                }
            }
            for (const auto& [one, totals] : view.servers) {
                EXPECT_TRUE(life.ever_listed().contains(one));
                EXPECT_GE(totals.outstanding(), 0);
            }
            EXPECT_EQ(view.unmapped.outstanding(), 0);
            before = view;
        }
        EXPECT_GT(follower.growths, 0);
    }
}

TEST(LedgerProperty, APollMoreOrLessChangesNothing) {
    for (std::uint32_t seed = 0; seed < 30; ++seed) {
        Life life(seed);
        Ledger often;
        Ledger rarely;
        const SharedCatalogue catalogue = listing({{"a", {1, 2, 3, 4, 5, 6}}, {"b", {7, 8, 9, 10, 11, 12}}});
        Counts last;
        for (int step = 0; step < 30; ++step) {
            life.step();
            last = often.absorb(life.snapshot(), catalogue);
        }
        EXPECT_EQ(rarely.absorb(life.snapshot(), catalogue).backends, last.backends);
    }
}

poll::Server in_zone(poll::Server server, std::uint16_t zone) {
    server.zone = zone;
    return server;
}

TEST(Ledger, TwoTraefiksBackendsOfOneNameAreTwo) {
    const auto one = moved_to(*listing({{"shop", {1}}, {"cart", {2}}}, {9}), 3);
    const auto both = std::make_shared<const Catalogue>(merged(*listing({{"shop", {1}}}), one));
    Ledger ledger;
    const auto counts = ledger.absorb(poll(1, {{server(1), answered(5)},
                                               {in_zone(server(1), 3), answered({{ok, 7}, {missing, 1}})},
                                               {in_zone(server(2), 3), answered(2)},
                                               {in_zone(server(9), 3), answered(4)}}),
                                      both);
    EXPECT_EQ(sum(counts.backends.at({"shop", 0})), 5U);
    EXPECT_EQ(sum(counts.backends.at({"shop", 3})), 8U);
    EXPECT_EQ(sum(counts.backends.at({"cart", 3})), 2U);
    EXPECT_EQ(counts.backends.size(), 3U);
}

TEST(Ledger, ATraefiksBackendCountsOnlyWhatItsOwnTraefikAsked) {
    Ledger ledger;
    const auto counts = ledger.absorb(poll(1, {{server(1), answered(5)}, {in_zone(server(1), 3), answered(7)}}),
                                      listing({{"shop", {1}}}));
    EXPECT_EQ(sums(counts), (std::map<std::string, std::uint64_t>{{"shop", 5}}));
    EXPECT_EQ(sum(ledger
                      .absorb(poll(100, {{server(1), answered(5)}, {in_zone(server(1), 3), answered(7)}}),
                              listing({{"shop", {1}}}))
                      .backends.at("shop")),
              5U);
    EXPECT_EQ(ledger.state().unmapped.response_sum(), 7U);
}

/// One server of a and b, whose routes are told apart, and one of a alone.
SharedCatalogue routed_catalogue() {
    auto catalogue = *listing({{"a", {2}}, {"a|b", {1}}, {"b", {}}});
    catalogue.backends.at("a|b").routes = {{.host = "a", .backend = "a"}, {.host = "b", .backend = "b"}, {}};
    return std::make_shared<const Catalogue>(std::move(catalogue));
}

poll::Snapshot routed_poll(int seconds, std::uint64_t all, poll::Routes routes) {
    auto snapshot = poll(seconds, {{server(1), answered({{ok, all}, {missing, 3}})}, {server(2), answered(5)}});
    snapshot.routed[server(1)] = std::move(routes);
    return snapshot;
}

using Sums = std::map<std::string, std::uint64_t>;

TEST(Ledger, WhatCameByARouteIsItsBackends) {
    Ledger ledger;
    EXPECT_EQ(sums(ledger.absorb(routed_poll(1, 10, {}), routed_catalogue())), (Sums{{"a", 5}, {"a|b", 13}, {"b", 0}}));
    const auto a = ledger.route_of("a");
    const auto b = ledger.route_of("b");
    EXPECT_NE(a, 0);
    EXPECT_NE(b, 0);
    EXPECT_NE(a, b);
    EXPECT_EQ(ledger.route_of("a|b"), 0);
    EXPECT_EQ(ledger.route_of({"a", 3}), 0) << "another Traefik's";
    const auto next = routed_poll(2, 30, {{a, {{ok, 12}}}, {b, {{ok, 3}}}});
    EXPECT_EQ(sums(ledger.absorb(next, routed_catalogue())), (Sums{{"a", 17}, {"a|b", 18}, {"b", 3}}));
    EXPECT_EQ(sums(ledger.absorb(next, routed_catalogue())), (Sums{{"a", 17}, {"a|b", 18}, {"b", 3}}));
    const auto alone = listing({{"a", {1, 2}}, {"b", {}}});
    EXPECT_EQ(sums(ledger.absorb(routed_poll(3, 40, {{a, {{ok, 12}}}, {b, {{ok, 8}}}}), alone)),
              (Sums{{"a", 22}, {"b", 8}}))
        << "a late response is still that of the route by which its request came";
}

TEST(Ledger, RoutesKeepTheirNumbersAndNewMapsBeginAnew) {
    Ledger ledger;
    ledger.absorb(routed_poll(1, 10, {}), routed_catalogue());
    const auto b = ledger.route_of("b");
    ledger.absorb(routed_poll(2, 20, {{b, {{ok, 9}}}}), routed_catalogue());
    ledger.absorb(poll(3, {}), nobody);
    ledger.absorb(poll(4, {}), routed_catalogue());
    EXPECT_EQ(ledger.route_of("b"), b);
    ledger.maps_made_anew();
    EXPECT_EQ(sums(ledger.absorb(routed_poll(5, 20, {{b, {{ok, 9}}}}), routed_catalogue())).at("b"), 18U);
    EXPECT_EQ(sums(ledger.absorb(routed_poll(6, 4, {{b, {{ok, 2}}}}), routed_catalogue())).at("b"), 20U) << "went back";
}

TEST(Ledger, NumbersOfALostStateAreNobodys) {
    Ledger ledger;
    const auto before = routed_poll(1, 10, {{1, {{ok, 4}}}, {2, {{ok, 1}}}});
    EXPECT_EQ(sums(ledger.absorb(before, routed_catalogue())), (Sums{{"a", 5}, {"a|b", 13}, {"b", 0}}));
    EXPECT_EQ(ledger.route_of("a"), 3) << "1 and 2 were other backends'";
    EXPECT_EQ(ledger.route_of("b"), 4);
    EXPECT_EQ(Ledger(ledger.state()).route_of("b"), 4);
}

TEST(Ledger, NumbersThatTheKernelWasToldAreNotGivenAgain) {
    Ledger ledger;
    ledger.skip_numbers(7);
    ledger.skip_numbers(5);
    ledger.absorb(routed_poll(1, 10, {}), routed_catalogue());
    EXPECT_EQ(ledger.route_of("a"), 8);
    EXPECT_EQ(sums(ledger.absorb(routed_poll(2, 20, {{7, {{ok, 9}}}}), routed_catalogue())).at("a"), 5)
        << "a late response to the backend that had 7";
}

TEST(Ledger, OneNumberIsLeftAndThenNone) {
    Ledger ledger;
    ledger.skip_numbers(65534);
    ledger.absorb(routed_poll(1, 10, {}), routed_catalogue());
    EXPECT_EQ(ledger.route_of("a"), 65535);
    EXPECT_EQ(ledger.route_of("b"), 0);
    EXPECT_TRUE(ledger.is_out_of_numbers());
    ledger.absorb(poll(2, {}), nobody);
    EXPECT_FALSE(ledger.is_out_of_numbers()) << "none is missing";
}

TEST(Ledger, GrowthHasWhatCameByRoutes) {
    Ledger leader;
    leader.absorb(routed_poll(1, 10, {{1, {{ok, 4}}}}), routed_catalogue());
    Ledger follower(leader.state());
    const auto next = routed_poll(2, 20, {{1, {{ok, 4}}}, {leader.route_of("b"), {{ok, 9}, {missing, 1}}}});
    const auto growth = leader.growth(next, *routed_catalogue());
    ASSERT_TRUE(growth);
    EXPECT_EQ(growth->grown.at(0).routes, (poll::Routes{{leader.route_of("b"), {{ok, 9}, {missing, 1}}}}));
    leader.absorb(next, routed_catalogue());
    follower.absorb(*growth);
    EXPECT_EQ(follower, leader);
    EXPECT_FALSE(leader.growth(routed_poll(3, 20, {{1, {{ok, 3}}}}), *routed_catalogue())) << "went back";
}

TEST(Catalogue, MovesToAZoneAndBack) {
    const auto here = *listing({{"shop", {1, 2}}, {"cart", {2}}}, {9});
    const auto there = moved_to(here, 3);
    EXPECT_NE(there, here);
    EXPECT_EQ(zones_in(there), std::set<std::uint16_t>{3});
    EXPECT_EQ(part_of(there, 3), here);
    EXPECT_EQ(part_of(there, 0), Catalogue{});
    const auto both = merged(here, there);
    EXPECT_EQ(part_of(both, 0), here);
    EXPECT_EQ(part_of(both, 3), here);
    EXPECT_EQ(zones_in(both), (std::set<std::uint16_t>{0, 3}));
}

}  // namespace
}  // namespace upstat::attribute
