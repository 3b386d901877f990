// SPDX-License-Identifier: Apache-2.0
#include "programs/cpus.hpp"

#include <gtest/gtest.h>

namespace upstat::programs {
namespace {

TEST(Cpus, TheHighestIsTheLastOfTheList) {
    EXPECT_EQ(highest_cpu("0\n"), 0);
    EXPECT_EQ(highest_cpu("0-127\n"), 127);
    EXPECT_EQ(highest_cpu("0-3,8-11\n"), 11);
    EXPECT_EQ(highest_cpu("0-3,8\n"), 8);
}

TEST(Cpus, WhatIsNoListHasNone) {
    EXPECT_EQ(highest_cpu(""), std::nullopt);
    EXPECT_EQ(highest_cpu("none"), std::nullopt);
}

}  // namespace
}  // namespace upstat::programs
