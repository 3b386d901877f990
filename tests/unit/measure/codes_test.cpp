// SPDX-License-Identifier: Apache-2.0
#include "measure/codes.hpp"

#include <gtest/gtest.h>

#include <initializer_list>

namespace upstat::measure {
namespace {

void expect_codes(const std::string& pattern, std::initializer_list<int> in, std::initializer_list<int> out) {
    const auto codes = CodeSet::compile(pattern);
    ASSERT_TRUE(codes) << codes.error().text();
    for (const int code : in) {
        EXPECT_TRUE(codes->matches(static_cast<std::uint16_t>(code))) << pattern << " " << code;
    }
    for (const int code : out) {
        EXPECT_FALSE(codes->matches(static_cast<std::uint16_t>(code))) << pattern << " " << code;
    }
}

TEST(CodeSet, TakesTheSeedsAndTheDefaultPattern) {
    expect_codes("4.*", {400, 404, 499}, {399, 500, 100, 599});
    expect_codes("4..", {400, 404, 499}, {399, 500, 100, 599});
}

TEST(CodeSet, IsAnchoredAtBothEnds) {
    expect_codes("4.*|503", {404, 503}, {504, 203});
    expect_codes(".*4", {104, 404, 594}, {440, 400});
    expect_codes("(404|42.)", {404, 429}, {403, 430});
    EXPECT_FALSE(CodeSet::compile("4"));
    EXPECT_FALSE(CodeSet::compile("40"));
    EXPECT_FALSE(CodeSet::compile("4044"));
}

TEST(CodeSet, LeavesOutWhatUsersLeaveOut) {
    expect_codes("4([0-8].|9[0-8])", {400, 498}, {499});
}

TEST(CodeSet, HasBothEndsOfItsRange) {
    expect_codes("...", {100, 599, 600, 999}, {0, 1, 99, 1000, 65535});
}

TEST(CodeSet, SaysWhatIsWrong) {
    const auto broken = CodeSet::compile("4[");
    ASSERT_FALSE(broken);
    EXPECT_EQ(broken.error().kind, Error::Kind::usage);
    EXPECT_NE(broken.error().message.find("codes '4[' is not a regular expression"), std::string::npos);
    EXPECT_FALSE(broken.error().hint.empty());

    const auto empty = CodeSet::compile("");
    ASSERT_FALSE(empty);
    EXPECT_NE(empty.error().message.find("matches no status code"), std::string::npos);

    EXPECT_FALSE(CodeSet::compile("4xx"));
    EXPECT_FALSE(CodeSet::compile(std::string(100000, '(')));
    EXPECT_FALSE(CodeSet::compile("4.." + std::string(300, '|')));
}

}  // namespace
}  // namespace upstat::measure
