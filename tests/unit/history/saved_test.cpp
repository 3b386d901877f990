// SPDX-License-Identifier: Apache-2.0
#include "history/saved.hpp"

#include <gtest/gtest.h>

#include <random>

#include "history/read.hpp"

namespace upstat::history {
namespace {

Moment at(std::int64_t seconds) {
    return {.at = Time(std::chrono::seconds(seconds)), .wall = Wall(std::chrono::seconds(seconds))};
}

/// One server of one backend, polled every five seconds.
struct Agent {
    History history;
    std::map<std::string, attribute::SeriesCounts> backends;
    poll::Servers servers;
    std::int64_t now = 1000;

    void poll(std::uint16_t code, std::uint64_t count) {
        servers[*poll::parse_server("10.0.0.1:80")].responses[{code, poll::Method::get}] += count;
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
    return sums.empty() ? 0 : responses_in(sums.at("10.0.0.1:80"));
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

TEST(Saved, WhereTheMapsAreOthersServersCountFromZero) {
    Agent agent;
    agent.poll(200, 10);
    agent.poll(200, 3);
    auto restored = restored_from(saved_whole(agent.history, "one boot"), "another boot", late);
    poll::Servers servers;
    servers[*poll::parse_server("10.0.0.1:80")].responses[{200, poll::Method::get}] = 50;
    restored.history.add(at(2000), agent.backends, servers);
    EXPECT_EQ(responses_in(server_sums(restored.history.view()).at("10.0.0.1:80")), 53U);
}

TEST(Saved, WhatIsNewAfterARestartIsNoBurst) {
    Agent agent;
    agent.poll(200, 10);
    agent.poll(200, 3);
    auto restored = restored_from(saved_whole(agent.history, "e"), "e", late);
    agent.servers[*poll::parse_server("10.0.0.2:80")].responses[{200, poll::Method::get}] = 50'000;
    restored.history.add(at(2000), agent.backends, agent.servers);
    EXPECT_FALSE(server_sums(restored.history.view()).contains("10.0.0.2:80"));
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
