// SPDX-License-Identifier: Apache-2.0
#include "judge/succession.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "attribute/shared.hpp"

namespace upstat::judge {
namespace {

using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

/// Backends and the last bytes of their servers' addresses; groups stand for those that share one.
attribute::Catalogue of(std::initializer_list<std::pair<const std::string, std::vector<int>>> backends) {
    attribute::Catalogue all;
    for (const auto& [name, servers] : backends) {
        for (const int last : servers) {
            all.backends[name].listed.push_back(attribute::listed_at("http://10.0.0." + std::to_string(last)));
        }
    }
    return attribute::with_shared(all);
}

TEST(Succession, AMemberComes) {
    EXPECT_THAT(successors(of({{"a", {1, 2}}, {"b", {1, 2}}}), of({{"a", {1, 2}}, {"b", {1, 2}}, {"c", {1, 2}}})),
                UnorderedElementsAre(Pair("a|b", "a|b|c")));
}

TEST(Succession, AMemberGoes) {
    EXPECT_THAT(successors(of({{"a", {1}}, {"b", {1}}, {"c", {1}}}), of({{"a", {1}}, {"b", {1}}})),
                UnorderedElementsAre(Pair("a|b|c", "a|b")));
    EXPECT_THAT(successors(of({{"a", {1}}, {"b", {1}}}), of({{"b", {1}}})), UnorderedElementsAre(Pair("a|b", "b")));
}

TEST(Succession, WhoeverHasMostOfTheServers) {
    const auto before = of({{"a", {1, 2, 3}}, {"b", {1, 2, 3}}});
    EXPECT_THAT(successors(before, of({{"a", {1, 2, 3}}, {"c", {1}}, {"d", {2, 3}}})),
                UnorderedElementsAre(Pair("a|b", "a|d")));
}

TEST(Succession, OneThatMostlyHasOtherServersIsAnother) {
    const auto before = of({{"a", {1}}, {"b", {1}}, {"c", {2, 3}}, {"d", {2, 3}}});
    EXPECT_THAT(successors(before, of({{"a", {1, 2, 3}}, {"c", {1, 2, 3}}})), UnorderedElementsAre(Pair("c|d", "a|c")));
}

TEST(Succession, AnAddressThatGoesToAStrangerTakesNothingAlong) {
    EXPECT_THAT(successors(of({{"a", {1}}, {"b", {1}}}), of({{"c", {1}}, {"d", {1}}})), IsEmpty());
    EXPECT_THAT(successors(of({{"a", {1}}, {"b", {1}}}), {}), IsEmpty());
}

TEST(Succession, AGroupThatStaysAndABackendThatIsNoneHaveNone) {
    EXPECT_THAT(successors(of({{"a", {1}}, {"b", {1}}, {"c", {2}}}), of({{"a", {1}}, {"b", {1}}, {"d", {2}}})),
                IsEmpty());
}

}  // namespace
}  // namespace upstat::judge
