// SPDX-License-Identifier: Apache-2.0
#include "base/file.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace upstat {
namespace {

TEST(ReadFile, AllOfIt) {
    const auto file = std::filesystem::path(testing::TempDir()) / "upstat-read-file";
    const std::string text(100000, 'x');
    std::ofstream(file) << text;
    EXPECT_EQ(read_file(file), text);
    std::filesystem::remove(file);
    EXPECT_EQ(read_file(file), std::nullopt);
}

TEST(ReadFile, AFileOfProcHasNoSize) {
    EXPECT_TRUE(read_file("/proc/self/stat").value_or("").ends_with('\n'));
}

// As a process's files do that ended in between: opened, and then read(2) fails.
TEST(ReadFile, NothingWhereReadingFails) {
    EXPECT_EQ(read_file("/tmp"), std::nullopt);
}

}  // namespace
}  // namespace upstat
