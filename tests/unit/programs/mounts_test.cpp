// SPDX-License-Identifier: Apache-2.0
#include "programs/mounts.hpp"

#include <gtest/gtest.h>

namespace upstat::programs {
namespace {

constexpr auto mountinfo =
    "24 30 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
    "34 24 0:31 / /sys/fs/bpf rw,nosuid shared:10 - bpf bpf rw,mode=700\n"
    "67 34 0:40 / /sys/fs/bpf rw,relatime - bpf bpf rw\n"
    "68 30 0:41 / /mnt/my\\040pins rw - bpf bpf rw\n"
    "69 30 0:42 / /mnt/other rw - tmpfs tmpfs rw\n"
    "70 69 0:43 / /mnt/other rw - bpf bpf rw\n";

TEST(Mounts, OneOverTheOtherIsAStack) {
    EXPECT_EQ(find_stack(mountinfo, 67), (Stack{.point = "/sys/fs/bpf", .mounts = 2}));
}

TEST(Mounts, OneAloneIsNone) {
    EXPECT_EQ(find_stack(mountinfo, 68), std::nullopt);
    EXPECT_EQ(find_stack(mountinfo, 70), std::nullopt) << "a tmpfs below holds no pins";
    EXPECT_EQ(find_stack(mountinfo, 24), std::nullopt);
}

TEST(Mounts, AnUnknownOneIsNone) {
    EXPECT_EQ(find_stack(mountinfo, 99), std::nullopt);
    EXPECT_EQ(find_stack("", 67), std::nullopt);
}

}  // namespace
}  // namespace upstat::programs
