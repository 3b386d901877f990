// SPDX-License-Identifier: Apache-2.0
#include "traefik/find.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "traefik/fake_host.hpp"

namespace upstat::traefik {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<pid_t> pids(const std::vector<Instance>& traefiks) {
    std::vector<pid_t> all;
    for (const auto& traefik : traefiks) {
        all.push_back(traefik.pid);
    }
    return all;
}

std::vector<Instance> found(const FakeHost& host, const FindOptions& options = {}) {
    auto traefiks = find_instances(host.root(), options);
    EXPECT_TRUE(traefiks) << traefiks.error().text();
    return traefiks.value_or(std::vector<Instance>{});
}

TEST(Find, NoTraefikIsNoError) {
    const FakeHost host;
    host.process({.pid = 7, .exe = "/usr/sbin/nginx", .comm = "nginx"});
    EXPECT_THAT(found(host), IsEmpty());
}

TEST(Find, TellsAProcessOfItsOwnCgroup) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/system.slice/traefik.service"});
    host.cgroup("/system.slice/traefik.service", {42});
    host.write("/proc/42/net/tcp",
               "  sl  local_address rem_address   st tx_queue\n"
               "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000\n"
               "   1: 0100007F:1F91 0100007F:D431 01 00000000:00000000\n");
    host.write("/proc/42/net/tcp6",
               "  sl  local_address                         remote_address  st\n"
               "   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0\n");
    const auto traefiks = found(host);
    ASSERT_EQ(traefiks.size(), 1U);
    EXPECT_EQ(traefiks[0].pid, 42);
    EXPECT_EQ(traefiks[0].start_time, 1042U);
    EXPECT_EQ(traefiks[0].cgroup, host.at("/sys/fs/cgroup/system.slice/traefik.service"));
    EXPECT_EQ(traefiks[0].network_namespace, host.at("/proc/42/ns/net"));
    EXPECT_THAT(listening_ports(host.root(), 42), ElementsAre(443, 8080));
    EXPECT_FALSE(traefiks[0].refused) << traefiks[0].refused->text();
}

TEST(Find, GoesByTheExecutableNotByItsName) {
    const FakeHost host;
    host.process({.pid = 5, .exe = "/opt/traefik/traefik", .comm = "edge"});
    host.process({.pid = 6, .exe = "/usr/bin/vim", .comm = "traefik"});
    EXPECT_THAT(pids(found(host)), ElementsAre(5));
}

TEST(Find, AReplacedExecutableIsStillOne) {
    const FakeHost host;
    host.process({.pid = 5, .exe = "/usr/bin/traefik (deleted)", .comm = "x"});
    host.process({.pid = 6, .exe = "/usr/bin/traefik.dpkg-tmp (deleted)", .comm = "traefik"});
    host.process({.pid = 7, .exe = "/usr/bin/old (deleted)", .comm = "x", .arguments = {"/usr/bin/traefik", "--api"}});
    host.process({.pid = 8, .exe = "/usr/bin/nginx (deleted)", .comm = "nginx", .arguments = {"nginx"}});
    EXPECT_THAT(pids(found(host)), ElementsAre(5, 6, 7));
}

TEST(Find, LeavesOutZombiesAndErrands) {
    const FakeHost host;
    host.process({.pid = 5, .state = 'Z'});
    host.process({.pid = 6, .arguments = {"traefik", "healthcheck", "--ping"}});
    host.process({.pid = 7, .exe = ""});
    EXPECT_THAT(found(host), IsEmpty());
}

TEST(Find, ACommWithParenthesesIsNoStumblingBlock) {
    const FakeHost host;
    host.process({.pid = 5, .comm = ") Z 1 ("});
    EXPECT_THAT(pids(found(host)), ElementsAre(5));
}

TEST(Find, ThePidOptionTakesAnyProcess) {
    const FakeHost host;
    host.process({.pid = 5});
    host.process({.pid = 9, .exe = "/usr/bin/edge", .comm = "edge"});
    EXPECT_THAT(pids(found(host, {.pid = 9, .cgroup = ""})), ElementsAre(9));
    const auto missing = find_instances(host.root(), {.pid = 77, .cgroup = ""});
    ASSERT_FALSE(missing);
    EXPECT_THAT(missing.error().message, HasSubstr("no process 77"));
}

TEST(Find, AHybridHostHasItsTreeElsewhere) {
    const FakeHost host("/sys/fs/cgroup/unified");
    host.process({.pid = 42, .cgroup = "/traefik"});
    host.cgroup("/traefik", {42});
    EXPECT_EQ(found(host).at(0).cgroup, host.at("/sys/fs/cgroup/unified/traefik"));
    EXPECT_EQ(cgroup2_mount(host.root()), host.at("/sys/fs/cgroup/unified").string());
}

TEST(Find, AMountOfAPartOfTheTree) {
    const FakeHost host("/sys/fs/cg\\040roup", "/docker/abc");
    // the directory's real name has the space that mountinfo escapes
    host.process({.pid = 42, .cgroup = "/docker/abc/traefik"});
    host.write("/sys/fs/cg roup/traefik/cgroup.procs", "42\n");
    host.write("/sys/fs/cg roup/traefik/cgroup.events", "");
    EXPECT_EQ(found(host).at(0).cgroup, host.at("/sys/fs/cg roup/traefik"));
}

/// The agent in a container, with the host's PID namespace but a cgroup namespace of its own.
void host_tree(const FakeHost& host, const std::string& cgroup, pid_t pid) {
    host.process({.pid = 1, .exe = "/sbin/init", .comm = "systemd", .cgroup = "/../../init.scope", .parent = 0});
    host.write("/proc/1/mountinfo", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    const auto there = "/proc/1/root/sys/fs/cgroup" + cgroup;
    host.write(there + "/cgroup.procs", std::to_string(pid) + "\n");
    host.write(there + "/cgroup.events", "populated 1\n");
}

TEST(Find, APathOutOfOurNamespaceIsLookedUpInPid1s) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/../../kubepods/pod7/traefik"});
    host_tree(host, "/kubepods/pod7/traefik", 42);
    const auto traefik = found(host).at(0);
    EXPECT_EQ(traefik.cgroup, host.at("/proc/1/root/sys/fs/cgroup/kubepods/pod7/traefik"));
    EXPECT_FALSE(traefik.refused) << traefik.refused->text();
}

TEST(Find, APathBelowAnAncestorThatWeShareIsSearched) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/../pod7/traefik"});
    host_tree(host, "/kubepods/pod7/traefik", 42);
    EXPECT_EQ(found(host).at(0).cgroup, host.at("/proc/1/root/sys/fs/cgroup/kubepods/pod7/traefik"));
}

TEST(Find, TheHostsTreeIsFoundWhereItWasMountedForUs) {
    const FakeHost host("/sys/fs/cgroup", "/../..");  // and pid 1 may not be looked into
    host.process({.pid = 42, .cgroup = "/../pod7/traefik"});
    host.process({.pid = 43, .cgroup = "/../../traefik"});
    host.cgroup("/kubepods/pod7/traefik", {42});
    host.cgroup("/traefik", {43});
    EXPECT_EQ(found(host).at(0).cgroup, host.at("/sys/fs/cgroup/kubepods/pod7/traefik"));
    EXPECT_EQ(found(host).at(1).cgroup, host.at("/sys/fs/cgroup/traefik"));
}

TEST(Find, ADirectoryThatDoesNotHoldTheProcessIsNotBelieved) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/traefik"});
    host.cgroup("/traefik", {41});  // of the same name, in another namespace
    const auto traefik = found(host).at(0);
    EXPECT_EQ(traefik.cgroup, "");
    ASSERT_TRUE(traefik.refused);
    EXPECT_THAT(traefik.refused->message, HasSubstr("no cgroup v2 directory holds Traefik (pid 42)"));
}

TEST(Find, TheRootCgroupIsRefused) {
    const FakeHost host;
    host.process({.pid = 42});
    host.cgroup("/", {1, 42});
    const auto traefik = found(host).at(0);
    ASSERT_TRUE(traefik.refused);
    EXPECT_EQ(traefik.refused->kind, Error::Kind::host);
    EXPECT_THAT(traefik.refused->message, HasSubstr("Traefik (pid 42) is in the root cgroup"));
    EXPECT_THAT(traefik.refused->hint, HasSubstr("systemd-run --unit=traefik"));
    EXPECT_THAT(traefik.refused->hint, HasSubstr("--traefik.cgroup"));
}

TEST(Find, ASharedCgroupIsRefusedWithItsNeighbours) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/user"});
    host.process({.pid = 50, .exe = "/usr/bin/firefox", .comm = "firefox", .cgroup = "/user"});
    host.process({.pid = 51, .exe = "/usr/bin/curl", .comm = "curl", .cgroup = "/user/below"});
    host.cgroup("/user", {42, 50});
    host.cgroup("/user/below", {51});  // programs on a cgroup run for everything below it too
    const auto traefik = found(host).at(0);
    ASSERT_TRUE(traefik.refused);
    EXPECT_THAT(traefik.refused->message, HasSubstr("/user with 2 other processes, such as firefox (pid 50)"));
}

TEST(Find, AProcessOfAnotherPidNamespaceIsANeighbour) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/shared"});
    host.cgroup("/shared", {42, 0});
    ASSERT_TRUE(found(host).at(0).refused);
    EXPECT_THAT(found(host).at(0).refused->message, HasSubstr("1 other process, such as a process of another PID"));
}

TEST(Find, AncestorsAndDescendantsAreOneService) {
    const FakeHost host;
    host.process({.pid = 40, .exe = "/bin/sh", .comm = "sh", .cgroup = "/pod"});
    host.process({.pid = 42, .cgroup = "/pod", .parent = 40});
    host.process({.pid = 43, .exe = "/plugin", .comm = "plugin", .cgroup = "/pod", .parent = 42});
    host.process({.pid = 44, .cgroup = "/pod", .parent = 1, .arguments = {"traefik", "healthcheck"}});
    host.cgroup("/pod", {40, 42, 43, 44});
    EXPECT_FALSE(found(host).at(0).refused) << found(host).at(0).refused->text();
}

TEST(Find, ALoginSessionIsRefused) {
    const FakeHost host;
    host.process({.pid = 40, .exe = "/bin/bash", .comm = "bash", .cgroup = "/user.slice/session-3.scope"});
    host.process({.pid = 42, .cgroup = "/user.slice/session-3.scope", .parent = 40});
    host.cgroup("/user.slice/session-3.scope", {40, 42});
    ASSERT_TRUE(found(host).at(0).refused);
    EXPECT_THAT(found(host).at(0).refused->message, HasSubstr("login session"));
}

TEST(Find, AnExplicitCgroupIsTakenWithWhoeverLivesThere) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/shared/inner"});
    host.process({.pid = 43, .cgroup = "/other"});
    host.cgroup("/shared", {50});
    host.cgroup("/shared/inner", {42});
    host.cgroup("/other", {43});
    const auto traefiks = found(host, {.pid = std::nullopt, .cgroup = "/sys/fs/cgroup/shared/"});
    EXPECT_THAT(pids(traefiks), ElementsAre(42));
    EXPECT_EQ(traefiks.at(0).cgroup, host.at("/sys/fs/cgroup/shared"));
    EXPECT_FALSE(traefiks.at(0).refused);
}

TEST(Find, AnExplicitCgroupMayBeToCome) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/other"});
    host.cgroup("/", {});
    host.cgroup("/other", {42});
    const auto cgroup = explicit_cgroup(host.root(), "/sys/fs/cgroup/system.slice/traefik.service/");
    ASSERT_TRUE(cgroup) << cgroup.error().text();
    EXPECT_EQ(*cgroup, host.at("/sys/fs/cgroup/system.slice/traefik.service"));
    EXPECT_THAT(found(host, {.pid = std::nullopt, .cgroup = "/sys/fs/cgroup/system.slice/traefik.service"}), IsEmpty());
}

TEST(Find, AnExplicitCgroupMustBeOne) {
    const FakeHost host;
    host.write("/etc/hosts", "");
    for (const auto* const wrong : {"/etc", "/nowhere", "relative", "/sys/fs/cgroup"}) {
        const auto cgroup = explicit_cgroup(host.root(), wrong);
        ASSERT_FALSE(cgroup) << wrong;
        EXPECT_EQ(cgroup.error().kind, Error::Kind::usage);
        EXPECT_THAT(cgroup.error().message, HasSubstr(wrong));
        EXPECT_FALSE(find_instances(host.root(), {.pid = std::nullopt, .cgroup = wrong}));
    }
}

}  // namespace
}  // namespace upstat::traefik
