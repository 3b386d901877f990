// SPDX-License-Identifier: Apache-2.0
#include "base/printable.hpp"

#include <gtest/gtest.h>

namespace upstat {
namespace {

TEST(Printable, TextStaysAsItIs) {
    for (const std::string text :
         {"", "shop@docker", "caf\u00e9 \u00a0 \u4e16\u754c \U0001f600 \uffff ~", "a\\b \"c\""}) {
        EXPECT_EQ(printable(text), text);
    }
}

TEST(Printable, ControlsAreEscaped) {
    EXPECT_EQ(printable("a\x1b[2Jb\n\t\x7f"), "a\\x1b[2Jb\\x0a\\x09\\x7f");
    EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
    EXPECT_EQ(printable("\u009b2J\u0080\u009f"), "\\xc2\\x9b2J\\xc2\\x80\\xc2\\x9f") << "C1, as UTF-8";
    EXPECT_EQ(printable("\x9b"), "\\x9b") << "C1, as a terminal of eight bits has it";
}

TEST(Printable, WhatIsNoUtf8IsEscaped) {
    EXPECT_EQ(printable("\xff"), "\\xff");
    EXPECT_EQ(printable("\xc0\x9b"), "\\xc0\\x9b") << "longer than need be";
    EXPECT_EQ(printable("\xe0\x80\x9b"), "\\xe0\\x80\\x9b") << "longer than need be";
    EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
    EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "above the last code point";
    EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82") << "cut off";
    EXPECT_EQ(printable("\xe2\x82z"), "\\xe2\\x82z");
    EXPECT_EQ(printable("\xf0\x9f\x98z"), "\\xf0\\x9f\\x98z");
}

TEST(Printable, LongTextIsCutBetweenCharacters) {
    EXPECT_EQ(printable(std::string(512, 'x')), std::string(512, 'x'));
    EXPECT_EQ(printable(std::string(513, 'x')), std::string(512, 'x') + "...");
    EXPECT_EQ(printable("ab\u00e9", 3), "ab...");
    EXPECT_EQ(printable("ab\u00e9", 4), "ab\u00e9");
}

}  // namespace
}  // namespace upstat
