// SPDX-License-Identifier: Apache-2.0
#include "base/backoff.hpp"

#include <gtest/gtest.h>

namespace upstat {
namespace {

using namespace std::chrono_literals;

constexpr Time start{1'700'000'000s};

/// The wait after a failure at `now`, to the millisecond.
Millis wait_after_failure(Backoff& backoff, Time now, std::optional<Millis> asked = std::nullopt) {
    backoff.failed(now, asked);
    auto wait = 0ms;
    while (!backoff.ready(now + wait)) {
        ++wait;
    }
    return wait;
}

TEST(Backoff, WaitsTwiceAsLongEachTimeUpToAMinute) {
    Backoff backoff(1);
    EXPECT_TRUE(backoff.ready(start));
    for (const Millis most : {5s, 10s, 20s, 40s, 60s, 60s, 60s}) {
        const auto wait = wait_after_failure(backoff, start);
        EXPECT_GE(wait, most / 2);
        EXPECT_LE(wait, most);
    }
    backoff.succeeded();
    EXPECT_TRUE(backoff.ready(start));
    EXPECT_LE(wait_after_failure(backoff, start), 5s) << "from the beginning";
}

TEST(Backoff, AgentsWithOtherSeedsComeAtOtherMoments) {
    std::set<Millis> waits;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        Backoff backoff(seed);
        waits.insert(wait_after_failure(backoff, start));
        Backoff same(seed);
        EXPECT_TRUE(waits.contains(wait_after_failure(same, start)));
    }
    EXPECT_GT(waits.size(), 10U);
}

TEST(Backoff, WhatTheOtherSideAsksForIsKeptWithinBounds) {
    Backoff backoff(1);
    EXPECT_EQ(wait_after_failure(backoff, start, 120s), 120s);
    EXPECT_EQ(wait_after_failure(backoff, start, 24h), 5min) << "a receiver silences nothing for a day";
    EXPECT_GE(wait_after_failure(backoff, start, 1ms), 10s) << "it makes no wait shorter";
}

}  // namespace
}  // namespace upstat
