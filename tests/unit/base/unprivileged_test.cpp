// SPDX-License-Identifier: Apache-2.0
#include "base/unprivileged.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/bpf.h>
#include <netdb.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "base/temporary_directory.hpp"

namespace upstat {

namespace {

using testing::AllOf;
using testing::Contains;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

/// /proc/thread-self/status: "CapEff" -> "0000000000000000".
std::map<std::string, std::string> status_of_thread() {
    std::map<std::string, std::string> status;
    std::ifstream file("/proc/thread-self/status");
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(":\t");
        status[line.substr(0, colon)] = colon == std::string::npos ? "" : line.substr(colon + 2);
    }
    return status;
}

/// What a thread without privileges makes of it.
template <typename Do>
auto unprivileged(Do work) {
    decltype(work()) result{};
    std::thread([&] {
        drop_privilege();
        result = work();
    }).join();
    return result;
}

/// The error that a call gives there; 0 where it works.
int error_of(const std::function<long()>& call) {
    return unprivileged([&] {
        errno = 0;
        return call() < 0 ? errno : 0;
    });
}

class UnprivilegedTest : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0) {
            GTEST_SKIP() << "only root has privileges to give up";
        }
    }
};

TEST_F(UnprivilegedTest, AThreadHasAUserOfItsOwnNoCapabilityAndAFilter) {
    std::string kept;
    std::map<std::string, std::string> status;
    std::thread([&] {
        kept = drop_privilege();
        status = status_of_thread();
    }).join();
    EXPECT_THAT(kept, IsEmpty());
    const std::string none(16, '0');
    EXPECT_THAT(status, AllOf(Contains(Pair("CapEff", none)), Contains(Pair("CapPrm", none)),
                              Contains(Pair("CapInh", none)), Contains(Pair("CapAmb", none))));
    EXPECT_THAT(status, AllOf(Contains(Pair("NoNewPrivs", "1")), Contains(Pair("Seccomp", "2"))));
    EXPECT_THAT(status["Groups"], testing::AnyOf("", " "));
    EXPECT_THAT(status["Uid"], Not(testing::ContainsRegex("(^|\t)0(\t|$)")));
    EXPECT_THAT(status["Gid"], Not(testing::ContainsRegex("(^|\t)0(\t|$)")));
}

TEST_F(UnprivilegedTest, TheOtherThreadsStayAsTheyAre) {
    const auto before = status_of_thread();
    unprivileged([] { return 0; });
    const auto after = status_of_thread();
    for (const auto* const line : {"Uid", "Gid", "Groups", "CapEff", "CapPrm", "NoNewPrivs", "Seccomp"}) {
        EXPECT_EQ(before.at(line), after.at(line)) << line;
    }
}

TEST_F(UnprivilegedTest, AThreadThatItMakesIsLikeIt) {
    const auto status = unprivileged([] {
        std::map<std::string, std::string> of_child;
        std::thread([&] { of_child = status_of_thread(); }).join();
        return of_child;
    });
    EXPECT_THAT(status, AllOf(Contains(Pair("CapEff", std::string(16, '0'))), Contains(Pair("Seccomp", "2"))));
}

TEST_F(UnprivilegedTest, NobodyOfItsUserCanTraceTheProcess) {
    unprivileged([] { return 0; });
    EXPECT_NE(prctl(PR_GET_DUMPABLE), 1);
}

TEST_F(UnprivilegedTest, WhatAnAttackerWouldWantIsRefused) {
    const TemporaryDirectory directory;
    const auto file = (directory.path() / "file").string();
    std::ofstream(file) << "text";
    std::filesystem::permissions(directory.path(), std::filesystem::perms::all);
    std::filesystem::permissions(file, std::filesystem::perms::all);
    EXPECT_EQ(error_of([&] { return open(file.c_str(), O_WRONLY | O_CLOEXEC); }), EPERM);
    EXPECT_EQ(error_of([&] { return open(file.c_str(), O_RDWR | O_CLOEXEC); }), EPERM);
    EXPECT_EQ(error_of([&] { return open(file.c_str(), O_RDONLY | O_TRUNC | O_CLOEXEC); }), EPERM);
    EXPECT_EQ(error_of([&] { return open((file + "2").c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600); }), EPERM);
    EXPECT_EQ(error_of([&] { return unlink(file.c_str()); }), EPERM);
    EXPECT_EQ(error_of([] { return execl("/bin/true", "true", nullptr); }), EPERM);
    EXPECT_EQ(error_of([] {
                  const auto child = fork();
                  if (child == 0) {
                      _exit(0);
                  }
                  return child;
              }),
              EPERM);
    EXPECT_EQ(error_of([] { return syscall(SYS_bpf, BPF_MAP_CREATE, nullptr, 0); }), EPERM);
    EXPECT_EQ(error_of([] { return ptrace(PTRACE_ATTACH, getppid(), nullptr, nullptr); }), EPERM);
    EXPECT_EQ(error_of([] { return unshare(CLONE_NEWUSER); }), EPERM);
    EXPECT_EQ(error_of([] { return setns(0, CLONE_NEWNET); }), EPERM);
    EXPECT_EQ(error_of([] { return kill(getppid(), 0); }), EPERM);
    EXPECT_EQ(error_of([] { return kill(getpid(), 0); }), EPERM);
    EXPECT_EQ(error_of([] { return syscall(SYS_setresuid, 0, 0, 0); }), EPERM);
    EXPECT_EQ(error_of([] { return socket(AF_PACKET, SOCK_RAW, 0); }), EPERM);
    EXPECT_EQ(error_of([] { return socket(AF_NETLINK, SOCK_RAW, 12); }), EPERM);
    const rlimit limit{.rlim_cur = 100, .rlim_max = 100};
    EXPECT_EQ(error_of([&] { return setrlimit(RLIMIT_NOFILE, &limit); }), EPERM);
    const auto map = [](int protection) {
        return mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
    };
    EXPECT_EQ(error_of([&] { return map(PROT_READ | PROT_WRITE | PROT_EXEC); }), EPERM);
    EXPECT_EQ(error_of([&] { return map(PROT_READ | PROT_WRITE); }), 0);
}

TEST_F(UnprivilegedTest, WhatAParserNeedsWorks) {
    EXPECT_EQ(error_of([] { return open("/etc/passwd", O_RDONLY | O_CLOEXEC); }), 0);
    EXPECT_EQ(error_of([] { return socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0); }), 0);
    EXPECT_EQ(error_of([] {
                  addrinfo* found = nullptr;
                  const int failed = getaddrinfo("localhost", "80", nullptr, &found);
                  if (found != nullptr) {
                      freeaddrinfo(found);
                  }
                  return failed == 0 ? 0 : -1;
              }),
              0);
    EXPECT_EQ(error_of([] { return setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19); }), 0);
}

/// The root's file is not there for it; one that was opened for it is.
TEST_F(UnprivilegedTest, AFileOfRootsIsOpenedByAnother) {
    const TemporaryDirectory directory;
    const auto file = directory.path() / "secret";
    std::ofstream(file) << "text";
    std::filesystem::permissions(file, std::filesystem::perms::owner_read);
    EXPECT_EQ(error_of([&] { return open(file.c_str(), O_RDONLY | O_CLOEXEC); }), EACCES);
    const Fd opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    const auto text = unprivileged([&] {
        std::string room(4, '\0');
        return read(opened.get(), room.data(), room.size()) == 4 ? room : std::string();
    });
    EXPECT_EQ(text, "text");
}

TEST_F(UnprivilegedTest, ItIsSaidInWords) {
    EXPECT_THAT(unprivileged_words(), testing::MatchesRegex("user .*, no capability, seccomp"));
}

/// A thread that has dropped all can drop no more: it says so, and goes on.
TEST_F(UnprivilegedTest, WhatCannotBeGivenUpIsSaid) {
    const auto kept = unprivileged([] { return drop_privilege(); });
    EXPECT_THAT(kept, AllOf(testing::HasSubstr("user "), testing::HasSubstr("Operation not permitted")));
}

}  // namespace

}  // namespace upstat
