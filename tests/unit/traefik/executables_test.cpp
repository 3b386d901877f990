// SPDX-License-Identifier: Apache-2.0
#include "traefik/executables.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

#include <vector>

#include "traefik/fake_host.hpp"

namespace upstat::traefik {
namespace {

std::vector<ReadExecutable> all_of(Executables& executables, std::size_t count) {
    std::vector<ReadExecutable> all;
    while (all.size() < count) {
        pollfd ready{.fd = executables.fd(), .events = POLLIN, .revents = 0};
        EXPECT_EQ(::poll(&ready, 1, 60'000), 1) << "nothing comes";
        for (const auto& one : executables.take()) {
            all.push_back(one);
        }
    }
    return all;
}

/// Files that only root may read: they are opened before the privileges are gone.
TEST(Executables, AThreadReadsEachAndSaysWhichFileItWas) {
    const FakeHost host;
    host.write("/edge", elf_file(".go.buildinfo", build_info("github.com/traefik/traefik/v3/cmd/traefik")));
    host.write("/other", elf_file(".go.buildinfo", build_info("example.org/other")));
    for (const auto* const file : {"/edge", "/other"}) {
        chmod(host.at(file).c_str(), 0400);
    }
    ExecutableThreads threads;
    ASSERT_TRUE(threads.start({{.exe = host.at("/edge"), .file = {1}},
                               {.exe = host.at("/other"), .file = {2}},
                               {.exe = host.at("/nowhere"), .file = {3}}}));
    const auto all = all_of(threads, 3);
    EXPECT_EQ(all[0].asked, FileMark::File{1});
    EXPECT_EQ(all[0].read, mark_of(AT_FDCWD, host.at("/edge"), 0));
    EXPECT_TRUE(all[0].is_traefik);
    EXPECT_TRUE(all[1].read);
    EXPECT_FALSE(all[1].is_traefik);
    EXPECT_FALSE(all[2].read);
}

TEST(Executables, AChangeOfModeIsAnotherVersionOfTheSameFile) {
    const FakeHost host;
    host.write("/edge", "text");
    const auto before = mark_of(AT_FDCWD, host.at("/edge"), 0);
    while (mark_of(AT_FDCWD, host.at("/edge"), 0) == before) {  // a file system's clock has a coarse tick
        chmod(host.at("/edge").c_str(), 0400);
    }
    EXPECT_EQ(mark_of(AT_FDCWD, host.at("/edge"), 0)->file, before->file);
    EXPECT_FALSE(mark_of(AT_FDCWD, host.at("/nowhere"), 0));
}

}  // namespace
}  // namespace upstat::traefik
