// SPDX-License-Identifier: Apache-2.0
#include "base/side_threads.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <semaphore>

namespace upstat {
namespace {

std::vector<int> all_of(SideThreads<int>& threads, std::size_t count) {
    std::vector<int> all;
    while (all.size() < count) {
        pollfd ready{.fd = threads.fd(), .events = POLLIN, .revents = 0};
        EXPECT_EQ(::poll(&ready, 1, 60'000), 1) << "nothing comes";
        for (const auto one : threads.take()) {
            all.push_back(one);
        }
    }
    return all;
}

TEST(SideThreads, OneThatHangsHoldsUpNoOtherAndSomeMayHang) {
    const auto gate = std::make_shared<std::counting_semaphore<>>(0);
    const auto hangs = [gate](const auto& give) {
        gate->acquire();
        give(2);
    };
    SideThreads<int> threads("side", 2);
    ASSERT_TRUE(threads.start(hangs));
    ASSERT_TRUE(threads.start([](const auto& give) { give(1); }));
    EXPECT_EQ(all_of(threads, 1), std::vector{1});
    while (!threads.start(hangs)) {  // the one that has given its result ends a moment later
        std::this_thread::yield();
    }
    EXPECT_FALSE(threads.start(hangs));
    gate->release(2);
    EXPECT_EQ(all_of(threads, 2), (std::vector{2, 2}));
}

TEST(SideThreads, NobodyWaitsForThemAtTheEnd) {
    const auto gate = std::make_shared<std::binary_semaphore>(0);
    const auto left = std::make_shared<std::binary_semaphore>(0);
    {
        SideThreads<int> threads("side", 1);
        ASSERT_TRUE(threads.start([gate, left](const auto& give) {
            gate->acquire();
            give(1);
            left->release();
        }));
    }
    gate->release();
    left->acquire();
}

}  // namespace
}  // namespace upstat
