// SPDX-License-Identifier: Apache-2.0
#include "publish/text.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace upstat::publish {
namespace {

std::string label(std::string_view value) {
    std::string out;
    append_label_value(out, value);
    return out;
}

std::string number(double value) {
    std::string out;
    append_number(out, value);
    return out;
}

TEST(Text, Utf8PassesAndTheRestIsReplaced) {
    EXPECT_EQ(label("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    EXPECT_EQ(label("\xc3"), "\xef\xbf\xbd");                           // cut off
    EXPECT_EQ(label("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");           // too long a spelling
    EXPECT_EQ(label("\xed\xa0\x80").substr(0, 3), "\xef\xbf\xbd");      // a surrogate
    EXPECT_EQ(label("\xf4\x90\x80\x80").substr(0, 3), "\xef\xbf\xbd");  // beyond U+10FFFF
    EXPECT_EQ(label("\xe2\x28\xa1"), "\xef\xbf\xbd(\xef\xbf\xbd");
}

TEST(Text, NumbersAreShortAndExact) {
    EXPECT_EQ(number(0), "0");
    EXPECT_EQ(number(0.1), "0.1");
    EXPECT_EQ(number(1700000000.123), "1700000000.123");
    EXPECT_EQ(std::stod(number(1.0 / 3)), 1.0 / 3);
    EXPECT_EQ(number(std::nan("")), "NaN");
    EXPECT_EQ(number(std::numeric_limits<double>::infinity()), "+Inf");
    EXPECT_EQ(number(-std::numeric_limits<double>::infinity()), "-Inf");
}

}  // namespace
}  // namespace upstat::publish
