// SPDX-License-Identifier: Apache-2.0
#include "base/flat_map.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace upstat {
namespace {

using Names = FlatMap<int, std::string>;

TEST(FlatMap, HoldsWhatItHeldAndWhatItIsToldTo) {
    Names names{{2, "two"}, {5, "five"}, {7, "seven"}};
    names.insert_missing(std::vector{1, 2, 3, 6, 7, 9});
    EXPECT_EQ(names, (Names{{1, ""}, {2, "two"}, {3, ""}, {5, "five"}, {6, ""}, {7, "seven"}, {9, ""}}));
}

TEST(FlatMap, HoldsWhatAnEmptyOneIsTold) {
    Names names;
    names.insert_missing(std::vector{4, 8});
    EXPECT_EQ(names, (Names{{4, ""}, {8, ""}}));
}

TEST(FlatMap, NothingMovesWhereAllIsThere) {
    Names names{{2, "two"}, {5, "five"}};
    const auto* const before = &names.at(5);
    names.insert_missing(std::vector{2, 5});
    EXPECT_EQ(&names.at(5), before);
}

}  // namespace
}  // namespace upstat
