// SPDX-License-Identifier: Apache-2.0
#include "programs/root.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "programs/counter.hpp"

namespace upstat::programs {
namespace {

namespace fs = std::filesystem;

/// A directory with everything in it that upstat looks for, on a file system that is no bpffs.
class PlainDirectory : public testing::Test {
  protected:
    PlainDirectory() {
        fs::create_directories(tree_ / "layout-2/links");
        fs::create_directory(tree_ / "clearing");
        for (const auto* const file : {"layout-2/totals", "layout-2/links/1-egress", "notes"}) {
            std::ofstream(tree_ / file) << "precious";
        }
        fs::create_symlink("upstat detach has begun", tree_ / "detaching");
        fs::create_symlink(tree_, link_);
    }
    ~PlainDirectory() override { fs::remove_all(home_); }
    PlainDirectory(const PlainDirectory&) = delete;
    PlainDirectory& operator=(const PlainDirectory&) = delete;
    PlainDirectory(PlainDirectory&&) = delete;
    PlainDirectory& operator=(PlainDirectory&&) = delete;

    /// How many files and directories there are.
    [[nodiscard]] std::ptrdiff_t size() const {
        return std::distance(fs::recursive_directory_iterator(home_), fs::recursive_directory_iterator());
    }

    fs::path home_ = fs::temp_directory_path() / ("upstat-root-test-" + std::to_string(::getpid()));
    fs::path tree_ = home_ / "tree";
    fs::path link_ = home_ / "link";
};

TEST_F(PlainDirectory, IsNoRoot) {
    for (const auto& path :
         {tree_, tree_ / "", link_, link_ / "", link_ / "layout-2", tree_ / "layout-2/totals", tree_ / "to/be/made"}) {
        const auto checked = check_root(path);
        ASSERT_FALSE(checked) << path;
        EXPECT_EQ(checked.error().kind, Error::Kind::host) << path;
        EXPECT_NE(checked.error().message.find(path.parent_path().string()), std::string::npos)
            << checked.error().text();
        EXPECT_FALSE(checked.error().hint.empty()) << path;
    }
}

TEST_F(PlainDirectory, DetachRefusesItAndRemovesNothing) {
    const auto before = size();
    for (const auto& path :
         {tree_, tree_ / "", link_, link_ / "", link_ / ".", tree_ / "layout-2", tree_ / "layout-2/totals"}) {
        const auto removed = Counter::detach(path);
        ASSERT_FALSE(removed) << path;
        EXPECT_EQ(removed.error().kind, Error::Kind::host) << path;
        EXPECT_EQ(size(), before) << path;
    }
}

TEST_F(PlainDirectory, DetachFindsNothingWhereNothingIs) {
    const auto removed = Counter::detach(home_ / "nowhere/at/all");
    ASSERT_TRUE(removed) << removed.error().text();
    EXPECT_FALSE(removed->any);
    EXPECT_TRUE(removed->left.empty());
}

}  // namespace
}  // namespace upstat::programs
