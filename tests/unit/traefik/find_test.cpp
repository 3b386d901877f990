// SPDX-License-Identifier: Apache-2.0
#include "traefik/find.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "traefik/executables_here.hpp"
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

FindOptions usual() {
    return {.allowed = parse_allow({"system", "containers"}, "/nowhere").value(), .allow_text = "system,containers"};
}

std::vector<Instance> found(const FakeHost& host, const FindOptions& options = usual()) {
    ExecutablesHere executables;
    Finder finder(host.root(), options, executables);
    auto traefiks = find(finder);
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
    host.process(
        {.pid = 7, .exe = "/opt/edge", .comm = "edge", .package = "github.com/containous/traefik/v2/cmd/traefik"});
    host.process({.pid = 8, .exe = "/usr/bin/caddy", .package = "github.com/caddyserver/caddy/v2/cmd/caddy"});
    EXPECT_THAT(pids(found(host)), ElementsAre(5, 7));
}

TEST(Find, ARenamedProgramIsToldOfAndNotBelieved) {
    const FakeHost host;
    host.process({.pid = 6, .exe = "/usr/bin/traefik", .cgroup = "/unit", .package = "example.org/perl"});
    host.cgroup("/unit", {6});
    const auto traefiks = found(host);
    ASSERT_EQ(traefiks.size(), 1U);
    EXPECT_FALSE(traefiks[0].believed);
    EXPECT_THAT(traefiks[0].refused.value().message, HasSubstr("process 6 is called traefik and not counted"));
    auto options = usual();
    options.cgroup = "/sys/fs/cgroup/unit";
    EXPECT_TRUE(found(host, options).at(0).believed);
    options = usual();
    options.pid = 6;
    EXPECT_TRUE(found(host, options).at(0).believed);
}

TEST(Find, AStrangersTraefikIsToldOfAndNotBelieved) {
    const FakeHost host;
    host.process({.pid = 5, .cgroup = "/user.slice/user-1000.slice/docker-x.scope", .user = 1000});
    host.process({.pid = 6, .exe = "/home/u/edge", .cgroup = "/user.slice/a", .user = 1000, .package = ""});
    host.cgroup("/user.slice/user-1000.slice/docker-x.scope", {5});
    const auto traefiks = found(host);
    ASSERT_THAT(pids(traefiks), ElementsAre(5));
    EXPECT_FALSE(traefiks[0].believed);
    EXPECT_EQ(traefiks[0].refused.value().message,
              "Traefik (pid 5) of user 1000 is not counted: --traefik.allow is system,containers");
    EXPECT_THAT(traefiks[0].refused->hint, HasSubstr("--traefik.allow=system,containers,1000"));
    for (const auto* const text : {"1000", "/user.slice/*docker*", "system,1000"}) {
        auto options = usual();
        options.allowed = parse_allow({text}, "/nowhere").value();
        EXPECT_TRUE(found(host, options).at(0).believed) << text;
    }
}

TEST(Find, SystemUsersAndContainersAreBelieved) {
    const FakeHost host;
    host.write("/etc/login.defs", "UID_MIN 1000\nSYS_UID_MAX\t\t  499\n");
    host.process({.pid = 5, .cgroup = "/kubepods.slice/pod7", .user = 65532});
    host.process({.pid = 6, .cgroup = "/system.slice/traefik.service", .user = 499});
    host.process({.pid = 7, .cgroup = "/system.slice/dynamic.service", .user = 61184});
    host.process({.pid = 8, .cgroup = "/system.slice/other.service", .user = 500});
    host.cgroup("/kubepods.slice/pod7", {5});
    auto options = usual();
    options.allowed = parse_allow({"system", "containers"}, host.root()).value();
    auto traefiks = found(host, options);
    std::erase_if(traefiks, [](const Instance& traefik) { return !traefik.believed; });
    EXPECT_THAT(pids(traefiks), ElementsAre(5, 6, 7));
    EXPECT_FALSE(parse_allow({"nobody-of-this-name"}, host.root()));
}

TEST(Find, AStrangerThatMovesToWhereItIsAllowedIsFound) {
    const FakeHost host;
    host.process({.pid = 6,
                  .exe = "/home/u/edge",
                  .comm = "edge",
                  .cgroup = "/user.slice/a",
                  .user = 1000,
                  .package = "github.com/traefik/traefik/v3/cmd/traefik"});
    ExecutablesHere executables;
    Finder finder(host.root(), usual(), executables);
    EXPECT_THAT(finder.find().value(), IsEmpty());
    host.write("/proc/6/cgroup", "0::/docker/abc\n");
    host.cgroup("/docker/abc", {6});
    auto moved = find(finder).value();
    for (int look = 0; look < 12 && moved.empty(); ++look) {
        moved = find(finder).value();
    }
    ASSERT_THAT(pids(moved), ElementsAre(6));
    EXPECT_TRUE(moved[0].believed);
}

/// A process of a system user whose executable is Traefik's under another name.
const FakeProcess edge{.pid = 6,
                       .exe = "/opt/edge",
                       .comm = "edge",
                       .cgroup = "/edge",
                       .package = "github.com/traefik/traefik/v3/cmd/traefik"};

TEST(Find, NoLookWaitsForAnExecutable) {
    const FakeHost host;
    host.process(edge);
    host.cgroup("/edge", {6});
    ExecutablesHere executables;
    executables.held = true;
    Finder finder(host.root(), usual(), executables);
    EXPECT_THAT(finder.find().value(), IsEmpty());
    EXPECT_FALSE(finder.take_read());
    EXPECT_THAT(finder.find().value(), IsEmpty());
    EXPECT_EQ(executables.asked.size(), 1U) << "once";
    executables.held = false;
    EXPECT_TRUE(finder.take_read());
    EXPECT_THAT(pids(finder.find().value()), ElementsAre(6));
}

TEST(Find, AnExecutableThatHangsIsAskedForAloneThen) {
    const FakeHost host;
    host.process(edge);
    host.cgroup("/edge", {6});
    host.process({.pid = 7, .exe = "/opt/other", .comm = "other", .package = "example.org/other"});
    ExecutablesHere executables;
    executables.held = true;
    Finder finder(host.root(), usual(), executables);
    for (int look = 0; look < 20; ++look) {
        std::ignore = finder.find();
    }
    ASSERT_EQ(executables.asked.size(), 3U) << "both together, then each alone, and no more";
    EXPECT_EQ(executables.asked[0].size(), 2U);
    EXPECT_EQ(executables.asked[1].size(), 1U);
    EXPECT_EQ(executables.asked[2].size(), 1U);
}

/// Each look one more, and each in a cgroup that its user made for it.
TEST(Find, WhoeverHasExecutablesThatHangHoldsUpNobodyElse) {
    const FakeHost host;
    ExecutablesHere executables;
    executables.silent = "/fuse/";
    auto options = usual();
    options.allowed = parse_allow({"system", "1000"}, "/nowhere").value();
    Finder finder(host.root(), options, executables);
    for (pid_t pid = 100; pid < 130; ++pid) {
        const auto number = std::to_string(pid);
        const auto cgroup = "/user.slice/user-1000.slice/user@1000.service/" + number;
        host.process({.pid = pid, .exe = "/fuse/" + number, .comm = "x", .cgroup = cgroup, .user = 1000});
        host.cgroup(cgroup, {pid});
        EXPECT_TRUE(finder.find());
        EXPECT_FALSE(finder.is_traefik(pid));
    }
    EXPECT_LE(executables.hung, 8);
    host.process(edge);
    host.cgroup("/edge", {6});
    EXPECT_THAT(pids(find(finder).value()), ElementsAre(6));
}

TEST(Find, WhoeverChangesHisExecutableAllTheTimeHasItReadOnceAMinute) {
    const FakeHost host;
    host.process(edge);
    host.cgroup("/edge", {6});
    ExecutablesHere executables;
    Finder finder(host.root(), usual(), executables);
    EXPECT_THAT(pids(find(finder).value()), ElementsAre(6));
    for (int look = 0; look < 24; ++look) {
        std::filesystem::permissions(host.at("/opt/edge"), look % 2 == 0 ? std::filesystem::perms::owner_all
                                                                         : std::filesystem::perms::owner_read);
        finder.take_read();
        EXPECT_THAT(pids(finder.find().value()), ElementsAre(6)) << "it stays what it is";
    }
    EXPECT_EQ(executables.asked.size(), 3U);
}

TEST(Find, TellsOfAFewStrangersOnly) {
    const FakeHost host;
    for (pid_t pid = 100; pid < 120; ++pid) {
        host.process({.pid = pid, .user = 1000});
    }
    host.process({.pid = 300});
    const auto traefiks = found(host);
    EXPECT_EQ(traefiks.size(), 17U);
    EXPECT_TRUE(traefiks.back().believed);
}

/// System calls of this thread that read.
std::uint64_t reads() {
    std::ifstream file("/proc/thread-self/io");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("syscr: ")) {
            return std::stoull(line.substr(7));
        }
    }
    return 0;
}

std::uint64_t reads_for(pid_t processes) {
    const FakeHost host;
    std::vector<pid_t> all;
    for (pid_t pid = 2; pid < 2 + processes; ++pid) {
        host.process({.pid = pid, .cgroup = "/pod", .parent = pid == 3 ? 2 : pid / 2});
        all.push_back(pid);
    }
    host.cgroup("/pod", all);
    ExecutablesHere executables;
    Finder finder(host.root(), usual(), executables);
    EXPECT_TRUE(find(finder));
    const auto before = reads();
    const auto traefiks = finder.find();
    EXPECT_TRUE(traefiks);
    EXPECT_THAT(pids(*traefiks), ElementsAre(2));
    return reads() - before;
}

TEST(Find, FourTimesTheTraefiksOfACgroupAreFourTimesTheWork) {
    const auto few = reads_for(15);
    EXPECT_GT(few, 15U);
    EXPECT_LT(reads_for(60), 5 * few);
}

TEST(Find, AReplacedExecutableIsStillOne) {
    const FakeHost host;
    host.process({.pid = 5, .exe = "/usr/bin/traefik (deleted)", .comm = "x"});
    host.process({.pid = 6, .exe = "/usr/bin/traefik.dpkg-tmp (deleted)", .comm = "traefik"});
    host.process({.pid = 7,
                  .exe = "/usr/bin/old (deleted)",
                  .comm = "x",
                  .arguments = {"/usr/bin/traefik", "--api"},
                  .package = "github.com/traefik/traefik/v3/cmd/traefik"});
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
    EXPECT_THAT(pids(found(host, {.pid = 9})), ElementsAre(9));
    ExecutablesHere executables;
    const auto missing = Finder(host.root(), {.pid = 77}, executables).find();
    ASSERT_FALSE(missing);
    EXPECT_THAT(missing.error().message, HasSubstr("no process 77"));
}

TEST(Find, ANamedPidThatIsAnothersNowIsNotBelieved) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/traefik"});
    host.cgroup("/traefik", {42});
    ExecutablesHere executables;
    Finder finder(host.root(), {.pid = 42}, executables);
    ASSERT_TRUE(finder.find());
    host.write("/proc/42/stat", "42 (perl) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 9999 0 0\n");
    EXPECT_FALSE(finder.find());
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

TEST(Find, TheRootCgroupIsShared) {
    const FakeHost host;
    host.process({.pid = 42});
    host.cgroup("/", {1, 42});
    const auto traefik = found(host).at(0);
    EXPECT_FALSE(traefik.refused);
    EXPECT_EQ(traefik.shared, "every process without a cgroup of its own");
}

TEST(Find, ASharedCgroupIsToldWithItsNeighbours) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/user"});
    host.process({.pid = 50, .exe = "/usr/bin/firefox", .comm = "firefox", .cgroup = "/user"});
    host.process({.pid = 51, .exe = "/usr/bin/curl", .comm = "curl", .cgroup = "/user/below"});
    host.cgroup("/user", {42, 50});
    host.cgroup("/user/below", {51});  // programs on a cgroup run for everything below it too
    const auto traefik = found(host).at(0);
    EXPECT_FALSE(traefik.refused);
    EXPECT_EQ(traefik.shared, "2 other processes, such as firefox (pid 50)");
}

TEST(Find, EachTraefikOfASharedCgroupIsFoundUpToSome) {
    const FakeHost host;
    std::vector<pid_t> all{500};
    host.process({.pid = 500, .exe = "/usr/bin/tmux", .comm = "tmux", .cgroup = "/user"});
    for (pid_t pid = 42; pid < 42 + 30; ++pid) {
        host.process({.pid = pid, .cgroup = "/user"});
        all.push_back(pid);
    }
    host.cgroup("/user", all);
    const auto traefiks = found(host);
    ASSERT_EQ(traefiks.size(), 17U);
    for (std::size_t at = 0; at < 16; ++at) {
        EXPECT_FALSE(traefiks[at].refused);
        EXPECT_EQ(traefiks[at].shared, traefiks[0].shared);
    }
    EXPECT_THAT(traefiks[16].refused.value().message, HasSubstr("has 16 already"));
}

TEST(Find, InAPidNamespaceOfItsOwnASharedCgroupIsRefused) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/user"});
    host.process({.pid = 50, .exe = "/usr/bin/firefox", .comm = "firefox", .cgroup = "/user"});
    host.process({.pid = 60, .cgroup = "/traefik"});
    host.cgroup("/user", {42, 50});
    host.cgroup("/traefik", {60});
    std::filesystem::create_directories(host.at("/proc/self/ns"));
    std::filesystem::create_symlink("pid:[4026531999]", host.at("/proc/self/ns/pid"));
    const auto traefiks = found(host);
    EXPECT_THAT(traefiks.at(0).refused.value().message,
                HasSubstr("/user with 1 other process, such as firefox (pid 50)"));
    EXPECT_THAT(traefiks.at(0).refused->hint, HasSubstr("hostPID"));
    EXPECT_FALSE(traefiks.at(1).refused);
}

TEST(Find, AProcessOfAnotherPidNamespaceIsANeighbour) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/shared"});
    host.cgroup("/shared", {42, 0});
    EXPECT_EQ(found(host).at(0).shared, "1 other process, such as a process of another PID namespace");
}

TEST(Find, AncestorsAndDescendantsAreOneService) {
    const FakeHost host;
    host.process({.pid = 40, .exe = "/bin/sh", .comm = "sh", .cgroup = "/pod"});
    host.process({.pid = 42, .cgroup = "/pod", .parent = 40});
    host.process({.pid = 43, .exe = "/plugin", .comm = "plugin", .cgroup = "/pod", .parent = 42});
    host.process({.pid = 44, .cgroup = "/pod", .parent = 1, .arguments = {"traefik", "healthcheck"}});
    host.cgroup("/pod", {40, 42, 43, 44});
    EXPECT_EQ(found(host).at(0).shared, "");
}

TEST(Find, ALoginSessionIsShared) {
    const FakeHost host;
    host.process({.pid = 40, .exe = "/bin/bash", .comm = "bash", .cgroup = "/user.slice/session-3.scope"});
    host.process({.pid = 42, .cgroup = "/user.slice/session-3.scope", .parent = 40});
    host.cgroup("/user.slice/session-3.scope", {40, 42});
    EXPECT_EQ(found(host).at(0).shared, "what else its login session runs");
}

TEST(Find, AnExplicitCgroupIsTakenWithWhoeverLivesThere) {
    const FakeHost host;
    host.process({.pid = 42, .cgroup = "/shared/inner"});
    host.process({.pid = 43, .cgroup = "/other"});
    host.cgroup("/shared", {50});
    host.cgroup("/shared/inner", {42});
    host.cgroup("/other", {43});
    const auto traefiks = found(host, {.cgroup = "/sys/fs/cgroup/shared/"});
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
    EXPECT_THAT(found(host, {.cgroup = "/sys/fs/cgroup/system.slice/traefik.service"}), IsEmpty());
}

TEST(Find, AnExplicitCgroupMustBeOne) {
    const FakeHost host;
    host.write("/etc/hosts", "");
    for (const auto* const wrong : {"/etc", "/nowhere", "relative", "/sys/fs/cgroup"}) {
        const auto cgroup = explicit_cgroup(host.root(), wrong);
        ASSERT_FALSE(cgroup) << wrong;
        EXPECT_EQ(cgroup.error().kind, Error::Kind::usage);
        EXPECT_THAT(cgroup.error().message, HasSubstr(wrong));
        ExecutablesHere executables;
        EXPECT_FALSE(Finder(host.root(), {.cgroup = wrong}, executables).find());
    }
}

}  // namespace
}  // namespace upstat::traefik
