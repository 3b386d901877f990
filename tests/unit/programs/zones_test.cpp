// SPDX-License-Identifier: Apache-2.0
#include "programs/zones.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/temporary_directory.hpp"

namespace upstat::programs {
namespace {

namespace fs = std::filesystem;

class ZonesTest : public testing::Test {
  protected:
    TemporaryDirectory directory_;
    Root root_{.path = directory_.path(),
               .directory = Fd(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC))};
};

TEST_F(ZonesTest, ANameKeepsItsNumberAndTheFirstIs0) {
    Zones zones(root_);
    EXPECT_EQ(zones.number_of("/a"), 0);
    EXPECT_EQ(zones.number_of("/b c"), 1);
    EXPECT_EQ(zones.number_of("/a"), 0);
    Zones again(root_);
    EXPECT_EQ(again.names(), (ZoneNames{{0, "/a"}, {1, "/b c"}}));
    EXPECT_EQ(again.number_of("/c"), 2);
}

TEST_F(ZonesTest, NoNumberIsGivenTwice) {
    EXPECT_EQ(Zones(root_).number_of("/a"), 0);
    fs::create_symlink("/z", directory_.path() / "zone-65534");
    Zones zones(root_);
    EXPECT_EQ(zones.number_of("/b"), 65535);
    EXPECT_EQ(zones.number_of("/c").error().kind, Error::Kind::runtime);
    EXPECT_EQ(zones.number_of("/z"), 65534);
}

TEST_F(ZonesTest, OnlyOursAreRead) {
    fs::create_symlink("/a", directory_.path() / "zone-01");
    fs::create_symlink("/a", directory_.path() / "zone-");
    fs::create_symlink("/a", directory_.path() / "zone-65536");
    fs::create_symlink("/a", directory_.path() / "zone-1x");
    std::ofstream(directory_.path() / "zone-2") << "/a";
    EXPECT_TRUE(Zones(root_).names().empty());
}

TEST_F(ZonesTest, NumbersOfEarlierMapsAreTakenOver) {
    Zones zones(root_);
    EXPECT_TRUE(zones.adopt({{2, "/a"}, {5, "/b"}}));
    EXPECT_EQ(zones.number_of("/b"), 5);
    EXPECT_EQ(zones.number_of("/c"), 6);
    EXPECT_TRUE(zones.adopt({{2, "/a"}, {7, "/d"}}));
    EXPECT_EQ(Zones(root_).names(), (ZoneNames{{2, "/a"}, {5, "/b"}, {6, "/c"}, {7, "/d"}}));
}

TEST_F(ZonesTest, AContradictionChangesNothing) {
    Zones zones(root_);
    EXPECT_EQ(zones.number_of("/a"), 0);
    EXPECT_FALSE(zones.adopt({{1, "/x"}, {0, "/b"}}));  // another name
    EXPECT_FALSE(zones.adopt({{1, "/a"}}));             // another number
    EXPECT_EQ(zones.names(), (ZoneNames{{0, "/a"}}));
}

}  // namespace
}  // namespace upstat::programs
