// SPDX-License-Identifier: Apache-2.0
#include "base/regular_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "base/temporary_directory.hpp"

namespace upstat {
namespace {

namespace fs = std::filesystem;

TEST(RegularFile, IsReadFromAnyPlace) {
    const TemporaryDirectory directory;
    std::ofstream(directory.path() / "f") << "0123456789";
    const auto file = open_regular(directory.path() / "f");
    ASSERT_TRUE(file.fd);
    EXPECT_EQ(file.status.st_size, 10);
    EXPECT_EQ(read_at(file.fd, 0, 4), "0123");
    EXPECT_EQ(read_at(file.fd, 8, 4), "89");
    EXPECT_EQ(read_at(file.fd, 80, 4), "");
    EXPECT_EQ(read_at(file.fd, UINT64_MAX, 4), "");
}

/// The kernel itself tells of each open; O_PATH is none.
TEST(RegularFile, NothingElseIsEverOpened) {
    const TemporaryDirectory directory;
    const auto fifo = directory.path() / "fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    const Fd watch(inotify_init1(IN_NONBLOCK));
    ASSERT_GE(inotify_add_watch(watch.get(), fifo.c_str(), IN_OPEN), 0);
    EXPECT_FALSE(open_regular(fifo).fd);
    EXPECT_FALSE(open_regular_inside(directory.path(), "/fifo").fd);
    std::array<char, 4096> events{};
    EXPECT_LT(read(watch.get(), events.data(), events.size()), 0);
    const Fd opened(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK));
    EXPECT_GT(read(watch.get(), events.data(), events.size()), 0);
    EXPECT_FALSE(open_regular("/dev/null").fd);
    EXPECT_FALSE(open_regular(directory.path()).fd);
    EXPECT_FALSE(open_regular(directory.path() / "none").fd);
}

TEST(NamedFile, IsReadAsAWholeOrRefused) {
    const TemporaryDirectory directory;
    const auto file = directory.path() / "f";
    std::ofstream(file) << "0123456789";
    EXPECT_EQ(read_named_file(file), "0123456789");
    EXPECT_EQ(read_named_file(file, 10), "0123456789");
    EXPECT_EQ(read_named_file(file, 9).error().message, "cannot read " + file.string() + ": it is longer than 9 bytes");
    fs::resize_file(file, std::uintmax_t{1} << 40);
    EXPECT_EQ(read_named_file(file).error().message,
              "cannot read " + file.string() + ": it is longer than 4194304 bytes");
    ASSERT_EQ(mkfifo((directory.path() / "fifo").c_str(), 0600), 0);
    for (const auto& other : {directory.path() / "fifo", directory.path(), fs::path("/dev/zero")}) {
        const auto refused = read_named_file(other);
        ASSERT_FALSE(refused) << other;
        EXPECT_EQ(refused.error().message, "cannot read " + other.string() + ": it is no regular file");
        EXPECT_EQ(refused.error().kind, Error::Kind::usage);
        EXPECT_NE(refused.error().hint, "");
    }
    EXPECT_EQ(read_named_file("/nowhere/f").error().message, "cannot read /nowhere/f: No such file or directory");
}

TEST(RegularFile, ALinkStaysInItsRoot) {
    const TemporaryDirectory directory;
    const auto top = directory.path() / "top";
    fs::create_directories(top);
    std::ofstream(directory.path() / "secret") << "outside";
    std::ofstream(top / "secret") << "inside";
    fs::create_symlink("/secret", top / "absolute");
    fs::create_symlink("../../secret", top / "relative");
    for (const auto* const name : {"/absolute", "relative", "../../secret"}) {
        EXPECT_EQ(read_at(open_regular_inside(top, name).fd, 0, 100), "inside") << name;
    }
    EXPECT_FALSE(open_regular_inside(directory.path() / "none", "/secret").fd);
}

}  // namespace
}  // namespace upstat
