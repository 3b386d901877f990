// SPDX-License-Identifier: Apache-2.0
#include "traefik/name.hpp"

#include <gtest/gtest.h>

namespace upstat::traefik {
namespace {

const std::string id = "3f4e5d6c7b8a99001122334455667788990011223344556677889900aabbccdd";
const std::string uid = "0b1f5a9e-1c2d-4e3f-8a9b-0c1d2e3f4a5b";
const std::string uid_in_slice = "0b1f5a9e_1c2d_4e3f_8a9b_0c1d2e3f4a5b";

std::string name_of(const std::string& path) {
    return short_names({{0, lasting_path(path)}}).at(0);
}

TEST(Name, OfAUnit) {
    EXPECT_EQ(name_of("/system.slice/traefik.service"), "traefik.service");
    EXPECT_EQ(name_of("/system.slice/traefik.service/workers/1"), "traefik.service");
    EXPECT_EQ(name_of("/lxc.payload.web/system.slice/traefik.service"), "traefik.service");
}

TEST(Name, OfAContainer) {
    EXPECT_EQ(name_of("/system.slice/docker-" + id + ".scope"), "docker-3f4e5d6c7b8a");
    EXPECT_EQ(name_of("/docker/" + id), "docker-3f4e5d6c7b8a");
    EXPECT_EQ(name_of("/machine.slice/libpod-" + id + ".scope/container"), "libpod-3f4e5d6c7b8a");
    EXPECT_EQ(name_of("/" + id), "3f4e5d6c7b8a");
}

TEST(Name, OfAPodIsTheSameForItsNextContainer) {
    const auto slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_in_slice + ".slice";
    EXPECT_EQ(lasting_path(slice + "/cri-containerd-" + id + ".scope"), slice);
    EXPECT_EQ(name_of(slice + "/cri-containerd-" + id + ".scope"), "pod-" + uid);
    EXPECT_EQ(name_of("/kubepods/besteffort/pod" + uid + "/" + id), "pod-" + uid);
    EXPECT_EQ(name_of("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + uid_in_slice + ".slice/x"),
              "pod-" + uid);
}

TEST(Name, AFamilyIsWhatStaysWhenItIsMadeAnew) {
    const std::string other_id(64, '7');
    const std::string other_uid = "11111111-1c2d-4e3f-8a9b-0c1d2e3f4a5b";
    const std::string docker = "/system.slice/docker-";
    EXPECT_NE(family(docker + id + ".scope"), "");
    EXPECT_EQ(family(docker + id + ".scope"), family(docker + other_id + ".scope"));
    EXPECT_NE(family(docker + id + ".scope"), family("/machine.slice/libpod-" + id + ".scope"));
    EXPECT_NE(family(docker + id + ".scope"), family("/user.slice/docker-" + other_id + ".scope")) << "another user's";
    EXPECT_EQ(family("/docker/" + id), family("/docker/" + other_id));
    EXPECT_NE(family("/docker/" + id), family("/podman/" + id));
    EXPECT_EQ(family("/kubepods/besteffort/pod" + uid), family("/kubepods/burstable/pod" + other_uid));
    EXPECT_EQ(family("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_in_slice + ".slice"),
              "/pod");
    EXPECT_EQ(family("/system.slice/traefik.service"), "");
    EXPECT_EQ(family("/edge/traefik"), "");
}

TEST(Name, OfWhatNobodyKnowsIsItsLastPart) {
    EXPECT_EQ(name_of("/edge/traefik"), "traefik");
    EXPECT_EQ(name_of("/edge/pod-of-mine"), "pod-of-mine");
    EXPECT_EQ(name_of("/user.slice/session-3.scope"), "session-3.scope");
    EXPECT_EQ(name_of(""), "/");
    EXPECT_EQ(name_of("/a\x1b[31m"), "a\\x1b[31m");
}

TEST(Name, EqualOnesAreToldApartByTheirPathsAndTheFirstKeepsIts) {
    const std::string own = "/user.slice/user-1000.slice/user@1000.service/app.slice/traefik.service";
    const auto names = short_names(
        {{0, "/system.slice/traefik.service"}, {3, own}, {5, "/edge/" + own}, {6, "/system.slice/traefik.service#2"}});
    EXPECT_EQ(names.at(0), "traefik.service");
    EXPECT_EQ(names.at(3), own);
    EXPECT_EQ(names.at(5), "/edge/" + own);
    EXPECT_EQ(names.at(6), "traefik.service#2");
}

TEST(Name, ALongPathIsBoundedAndStillItsOwn) {
    const std::string deep(3000, 'a');
    const auto one = lasting_path("/" + deep + "/1");
    const auto other = lasting_path("/" + deep + "/2");
    EXPECT_LT(one.size(), 1100U);
    EXPECT_NE(one, other);
    const auto names = short_names({{0, one}, {1, other}});
    EXPECT_NE(names.at(0), names.at(1));
    EXPECT_LT(names.at(1).size(), 600U);
}

}  // namespace
}  // namespace upstat::traefik
