// SPDX-License-Identifier: Apache-2.0
#include "base/version.hpp"

#include <gtest/gtest.h>

#include <regex>
#include <string>

namespace upstat {
namespace {

TEST(Version, IsThreeNumbersAndARevision) {
    EXPECT_TRUE(std::regex_match(std::string(version()), std::regex(R"(\d+\.\d+\.\d+)"))) << version();
    EXPECT_TRUE(std::regex_match(std::string(revision()), std::regex("[0-9a-f]{7,40}|unknown"))) << revision();
}

}  // namespace
}  // namespace upstat
