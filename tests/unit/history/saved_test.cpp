// SPDX-License-Identifier: Apache-2.0
#include "history/saved.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "history/read.hpp"

namespace upstat::history {
namespace {

Moment at(std::int64_t seconds) {
    return {.at = Time(std::chrono::seconds(seconds)), .wall = Wall(std::chrono::seconds(seconds))};
}

const auto one = *poll::parse_server("10.0.0.1:80");

/// One server of one backend, polled every five seconds.
struct Agent {
    History history;
    std::map<attribute::BackendName, attribute::SeriesCounts> backends;
    poll::Servers servers;
    std::int64_t now = 1000;

    void poll(std::uint16_t code, std::uint64_t count) {
        servers[one].responses[{code, poll::Method::get}] += count;
        backends["app@file"][{code, poll::Method::get, attribute::Protocol::http}] += count;
        history.add(at(now), backends, servers);
        now += 5;
    }
    void note(const std::string& what) {
        history.note(
            {.at = at(now), .kind = "agent", .what = what, .backend = "app@file", .text = "t", .servers = {"s"}});
    }
};

std::uint64_t responses(const History& history) {
    const auto sums = server_sums(history.view());
    const auto backends = backend_sums(history.view());
    EXPECT_EQ(sums.size(), backends.size());
    return sums.empty() ? 0 : responses_in(sums.at(one));
}

const Time late = at(100'000).at;

TEST(Saved, GoesOnOverARestartAsIfItHadNotBeen) {
    Agent agent;
    agent.poll(200, 1000);
    agent.poll(200, 3);
    agent.note("one");
    auto text = saved_whole(agent.history, "epoch");
    auto mark = mark_of(agent.history);
    agent.poll(404, 4);
    agent.note("two");
    text += *saved_since(agent.history, mark);
    mark = mark_of(agent.history);
    agent.poll(200, 5);
    text += *saved_since(agent.history, mark);

    auto restored = restored_from(text, "epoch", late);
    EXPECT_EQ(restored.note, "");
    EXPECT_EQ(responses(restored.history), 12U);
    EXPECT_EQ(*restored.history.view().events, *agent.history.view().events);
    ASSERT_EQ(restored.history.view().columns.size(), 3U);
    EXPECT_EQ(restored.history.view().columns.back()->servers, agent.history.view().columns.back()->servers);

    agent.history = std::move(restored.history);  // the kernel has counted on meanwhile
    agent.now += 300;
    agent.poll(200, 6);
    EXPECT_EQ(responses(agent.history), 18U);
    EXPECT_EQ(agent.history.view().columns.back()->end - agent.history.view().columns.back()->begin,
              std::chrono::seconds(305));
}

TEST(Saved, TwoTraefiksGoOnEach) {
    Agent agent;
    auto there = one;
    there.zone = 3;
    const attribute::BackendName app_there("app@file", 3);
    const auto poll = [&](std::uint64_t count) {
        agent.servers[there].responses[{200, poll::Method::get}] += count;
        agent.backends[app_there][{200, poll::Method::get, attribute::Protocol::http}] += count;
        agent.poll(404, 1);
    };
    poll(50);
    poll(5);
    agent.history.note({.at = at(1000), .kind = "alert", .what = "firing", .backend = app_there, .text = "t"});
    auto restored = restored_from(saved_whole(agent.history, "e"), "e", late);
    EXPECT_EQ(restored.note, "");
    EXPECT_EQ(restored.history.view().events->back().backend, app_there);
    agent.history = std::move(restored.history);
    poll(7);
    EXPECT_EQ(responses_in(server_sums(agent.history.view()).at(there)), 12U);
    EXPECT_EQ(responses_in(server_sums(agent.history.view()).at(one)), 2U);
    EXPECT_EQ(responses_in(backend_sums(agent.history.view()).at(app_there)), 12U);
    EXPECT_EQ(responses_in(backend_sums(agent.history.view()).at("app@file")), 2U);
}

/// Before there were zones a subject had two members and an event none: all were the first Traefik's.
TEST(Saved, AFileOfOneTraefikIsAsItWas) {
    Agent agent;
    agent.poll(200, 1000);
    agent.poll(200, 3);
    const auto text = saved_whole(agent.history, "e");
    const auto old_subject = nlohmann::json::to_cbor(nlohmann::json::array({true, "app@file"}));
    EXPECT_TRUE(text.contains(std::string(old_subject.begin(), old_subject.end())));
    const auto old_event = nlohmann::json::to_cbor({{"event", "agent"},
                                                    {"at", 1'005'000},
                                                    {"wall", 1'005'000},
                                                    {"what", "started"},
                                                    {"backend", "app@file"},
                                                    {"text", "t"},
                                                    {"servers", nlohmann::json::array()}});
    const auto restored = restored_from(text + std::string(old_event.begin(), old_event.end()), "e", late);
    EXPECT_EQ(restored.note, "");
    EXPECT_EQ(responses(restored.history), 3U);
    EXPECT_EQ(restored.history.view().events->back().backend, attribute::BackendName("app@file"));
}

TEST(Saved, WhereTheMapsAreOthersServersCountFromZero) {
    Agent agent;
    agent.poll(200, 10);
    agent.poll(200, 3);
    auto restored = restored_from(saved_whole(agent.history, "one boot"), "another boot", late);
    poll::Servers servers;
    servers[one].responses[{200, poll::Method::get}] = 50;
    restored.history.add(at(2000), agent.backends, servers);
    EXPECT_EQ(responses_in(server_sums(restored.history.view()).at(one)), 53U);
}

TEST(Saved, WhatIsNewAfterARestartIsNoBurst) {
    Agent agent;
    agent.poll(200, 10);
    agent.poll(200, 3);
    auto restored = restored_from(saved_whole(agent.history, "e"), "e", late);
    agent.servers[*poll::parse_server("10.0.0.2:80")].responses[{200, poll::Method::get}] = 50'000;
    restored.history.add(at(2000), agent.backends, agent.servers);
    EXPECT_FALSE(server_sums(restored.history.view()).contains(*poll::parse_server("10.0.0.2:80")));
}

/// However a file is cut or damaged, nothing is counted twice afterwards.
TEST(Saved, ADamagedFileIsReadAsFarAsItIsGood) {
    Agent agent;
    agent.poll(200, 1000);
    agent.poll(200, 3);
    const auto whole = saved_whole(agent.history, "e");
    const auto mark = mark_of(agent.history);
    agent.poll(404, 4);
    const auto text = whole + *saved_since(agent.history, mark);
    for (std::size_t size = 0; size < text.size(); ++size) {
        auto restored = restored_from(std::string_view(text).substr(0, size), "e", late);
        restored.history.add(agent.history.view().at, agent.backends, agent.servers);
        EXPECT_LE(responses(restored.history), 7U) << size;
        EXPECT_TRUE(size < whole.size() || responses(restored.history) == 7U) << size;
    }
    std::mt19937 random(5);
    for (int i = 0; i < 3000; ++i) {
        auto bad = text;
        bad[random() % bad.size()] = static_cast<char>(random());
        restored_from(bad, "e", late).history.add(at(200'000), agent.backends, agent.servers);
    }
}

TEST(Saved, AnotherClockBeginsAnew) {
    Agent agent;
    agent.poll(200, 10);
    agent.poll(200, 3);
    const auto restored = restored_from(saved_whole(agent.history, "e"), "e", at(500).at);
    EXPECT_TRUE(restored.note.contains("another clock"));
    EXPECT_TRUE(restored.history.view().columns.empty());
}

TEST(Saved, WhatWasMadeCoarserMeanwhileIsSavedAsAWhole) {
    Agent agent;
    agent.poll(200, 1);
    agent.poll(200, 1);
    const auto mark = mark_of(agent.history);
    for (int i = 0; i < 1000; ++i) {
        agent.poll(200, 1);
    }
    EXPECT_FALSE(saved_since(agent.history, mark).has_value());
}

}  // namespace
}  // namespace upstat::history
