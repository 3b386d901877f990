// SPDX-License-Identifier: Apache-2.0
#include "agent/receivers.hpp"

#include <gtest/gtest.h>

namespace upstat::agent {
namespace {

TEST(ReachedFromOutside, NamesTheHostWhereAnyAddressIsListenedOn) {
    for (const std::string address : {":9479", "0.0.0.0:9479", "[::]:9479"}) {
        EXPECT_EQ(reached_from_outside("http://" + address, "edge-1.example"), "http://edge-1.example:9479") << address;
    }
    EXPECT_EQ(reached_from_outside("https://0.0.0.0:9479", "edge-1"), "https://edge-1:9479");
    EXPECT_EQ(reached_from_outside("http://10.0.0.7:80", "edge-1"), "http://10.0.0.7:80");
    EXPECT_EQ(reached_from_outside("http://[fd00::1]:80", "edge-1"), "http://[fd00::1]:80");
}

TEST(ReachedFromOutside, IsEmptyWhereItWouldLeadNowhere) {
    for (const auto* const host : {"edge 1", "a%zz", "100%", "\xc3\xbc/1", "edge/1", "rack1:slot2", "u@h", ""}) {
        EXPECT_EQ(reached_from_outside("http://:9479", host), "") << host;
    }
    EXPECT_EQ(reached_from_outside("http://127.0.0.1:9479", "edge-1"), "") << "nobody else gets there";
    EXPECT_EQ(reached_from_outside("http://[::1]:9479", "edge-1"), "");
}

}  // namespace
}  // namespace upstat::agent
