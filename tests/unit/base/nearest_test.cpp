// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.hpp"

#include <gtest/gtest.h>

#include <array>

namespace upstat {
namespace {

constexpr std::array<std::string_view, 5> names{"poll.interval", "push.interval", "push.url", "status", "state.path"};

TEST(Nearest, ASlipIsForgiven) {
    EXPECT_EQ(nearest("pol.interval", names), "poll.interval");
    EXPECT_EQ(nearest("push-interval", names), "push.interval");
    EXPECT_EQ(nearest("push.rul", names), "push.url");
    EXPECT_EQ(nearest("stauts", names), "status");
    EXPECT_EQ(nearest("path", names), "state.path") << "the last part alone";
}

TEST(Nearest, WhatIsLikeNoneHasNoHint) {
    for (const auto& mistyped : {std::string(), std::string("zebra"), std::string("val"), std::string(100'000, 'p')}) {
        EXPECT_EQ(nearest(mistyped, names), "");
    }
    EXPECT_EQ(nearest("a", {}), "");
}

}  // namespace
}  // namespace upstat
