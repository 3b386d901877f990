// SPDX-License-Identifier: Apache-2.0
#include "base/directory_watch.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/temporary_directory.hpp"

namespace upstat {
namespace {

namespace fs = std::filesystem;

class Watching : public testing::Test {
  protected:
    Watching() {
        fs::create_directories(top_.path() / "conf");
        fs::create_directory_symlink("/conf", top_.path() / "link");
    }
    void write(const std::string& file) const { std::ofstream(top_.path() / file) << "x"; }
    [[nodiscard]] DirectoryWatch::Directory at(const std::string& path) const {
        return {.top = top_.path().string(), .path = path};
    }

    void watch(const std::string& path) { watch_.keep({DirectoryWatch::add(*watch_.handle(), at(path))}); }

    TemporaryDirectory top_;
    DirectoryWatch watch_;
};

TEST_F(Watching, TellsOfWhatIsWrittenRenamedAndRemoved) {
    watch("/conf");
    EXPECT_FALSE(watch_.take());
    write("conf/a");
    EXPECT_TRUE(watch_.take());
    EXPECT_FALSE(watch_.take());
    fs::rename(top_.path() / "conf/a", top_.path() / "conf/b");
    EXPECT_TRUE(watch_.take());
    fs::remove(top_.path() / "conf/b");
    EXPECT_TRUE(watch_.take());
    write("c");
    EXPECT_FALSE(watch_.take()) << "another directory";
}

TEST_F(Watching, ALinkStaysInside) {
    watch("/link");
    write("conf/a");
    EXPECT_TRUE(watch_.take());
}

TEST_F(Watching, WhatIsNotThereIsTriedAgainAndWhatIsNotWantedIsLeftAlone) {
    watch("/later");
    fs::create_directories(top_.path() / "later");
    watch("/later");
    write("later/a");
    EXPECT_TRUE(watch_.take());
    fs::remove_all(top_.path() / "later");
    EXPECT_TRUE(watch_.take());
    fs::create_directories(top_.path() / "later");
    watch("/later");
    write("later/a");
    EXPECT_TRUE(watch_.take());
    watch_.keep({});
    while (watch_.take()) {
    }
    write("later/b");
    EXPECT_FALSE(watch_.take());
}

TEST_F(Watching, AFileIsNoDirectory) {
    write("file");
    EXPECT_LT(DirectoryWatch::add(*watch_.handle(), at("/file")), 0);
    EXPECT_LT(DirectoryWatch::add(*watch_.handle(), at("conf/../file")), 0);
}

}  // namespace
}  // namespace upstat
