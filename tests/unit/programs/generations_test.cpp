// SPDX-License-Identifier: Apache-2.0
#include "programs/generations.hpp"

#include <gtest/gtest.h>

namespace upstat::programs {
namespace {

TEST(Generations, AreKnownByTheFormOfTheirNames) {
    for (const auto* const name : {"layout-1", "layout-2-1", "layout-10-12"}) {
        EXPECT_TRUE(is_generation_name(name)) << name;
    }
    for (const auto* const name : {"", "layout", "layout-", "layout-x", "layout-2-", "layout-2-x", "layout-2-1-1",
                                   "layout--1", "my-layout-2", "layout-2 ", "links"}) {
        EXPECT_FALSE(is_generation_name(name)) << name;
    }
}

}  // namespace
}  // namespace upstat::programs
