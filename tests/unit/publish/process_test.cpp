// SPDX-License-Identifier: Apache-2.0
#include "publish/process.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace upstat::publish {
namespace {

namespace fs = std::filesystem;

class Process : public testing::Test {
  protected:
    Process() { fs::create_directories(root_ / "proc/self/fd"); }
    ~Process() override { fs::remove_all(root_); }
    void write(const std::string& path, const std::string& text) const { std::ofstream(root_ / path) << text; }

    fs::path root_ = fs::path(testing::TempDir()) / ("upstat_process_" + std::to_string(getpid()));
};

TEST_F(Process, IsReadFromProc) {
    write("proc/self/stat",
          "42 (up) stat) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 5 0 200 1048576 25 18446744073709551615 1\n");
    write("proc/stat", "cpu 1 2 3\nbtime 1700000000\nprocesses 5\n");
    write("proc/self/limits",
          "Limit                     Soft Limit           Hard Limit           Units\n"
          "Max open files            1024                 4096                 files\n"
          "Max address space         unlimited            unlimited            bytes\n");
    write("proc/self/fd/0", "");
    write("proc/self/fd/1", "");
    const auto stats = read_process(root_);
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    EXPECT_EQ(stats.cpu_seconds, 200 / ticks);
    EXPECT_EQ(stats.start_time_seconds, 1700000000 + 200 / ticks);
    EXPECT_EQ(stats.open_fds, 2U);
    EXPECT_EQ(stats.max_fds, 1024U);
    EXPECT_EQ(stats.virtual_bytes, 1048576U);
    EXPECT_EQ(stats.max_virtual_bytes, std::nullopt);
    EXPECT_EQ(stats.resident_bytes, 25U * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
}

TEST_F(Process, WhatIsMissingIsAbsent) {
    const auto stats = read_process(root_ / "nowhere");
    EXPECT_FALSE(stats.cpu_seconds || stats.start_time_seconds || stats.open_fds || stats.max_fds ||
                 stats.virtual_bytes || stats.resident_bytes);
}

TEST_F(Process, TheRealOneIsThere) {
    const auto stats = read_process("/");
    EXPECT_GT(stats.resident_bytes.value_or(0), 100'000U);
    EXPECT_GT(stats.open_fds.value_or(0), 2U);
    EXPECT_GT(stats.start_time_seconds.value_or(0), 1.6e9);
}

}  // namespace
}  // namespace upstat::publish
