// SPDX-License-Identifier: Apache-2.0
#include "traefik/listener.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <tuple>

#include "base/fd.hpp"
#include "traefik/fake_host.hpp"
#include "traefik/socket_diag.hpp"

namespace upstat::traefik {
namespace {

using testing::HasSubstr;

constexpr auto header = "  sl  local_address rem_address st\n";
constexpr auto loopback = "0100007F";
constexpr auto every = "00000000";
constexpr auto loopback6 = "00000000000000000000000001000000";
constexpr auto every6 = "00000000000000000000000000000000";
constexpr std::uint16_t port = 8080;

std::string stranger(const FakeHost& host, const std::string& address) {
    OwnSockets own;
    return not_its_listener(host.root(), 42, {.host = address, .port = port}, own);
}

TEST(Listener, IsTheProcesssOwn) {
    const FakeHost host;
    host.process({.pid = 42, .listens = {port}});
    EXPECT_EQ(stranger(host, "127.0.0.1"), "");
    EXPECT_EQ(stranger(host, "::1"), "");
    EXPECT_EQ(stranger(host, "10.0.0.5"), "");
    EXPECT_EQ(stranger(host, "localhost"), "");
}

TEST(Listener, AnotherProcessIsNot) {
    for (const auto* const address : {loopback, every}) {
        const FakeHost host;
        host.process({.pid = 42});
        host.write("/proc/42/net/tcp", header + FakeHost::listener(address, port, 1));
        EXPECT_THAT(stranger(host, "127.0.0.1"),
                    HasSubstr("another process than Traefik (pid 42) listens on 127.0.0.1:8080"));
        EXPECT_THAT(stranger(host, "localhost"), HasSubstr("another process"));
        EXPECT_THAT(stranger(host, "::1"), HasSubstr("nobody listens on [::1]:8080"));
    }
}

/// Whoever may open sockets may have one on ::, for IPv6 only, beside Traefik's of IPv4: no IPv4 comes there.
TEST(Listener, BesideItsOwnOfIpv4OneOfIpv6IsNotAsked) {
    const FakeHost host;
    host.process({.pid = 42});
    host.own_socket(42, 7);
    host.write("/proc/42/net/tcp", header + FakeHost::listener(every, port, 7));
    host.write("/proc/42/net/tcp6", header + FakeHost::listener(every6, port, 1));
    EXPECT_EQ(stranger(host, "127.0.0.1"), "");
    EXPECT_THAT(stranger(host, "::1"), HasSubstr("another process"));
}

/// The kernel gives a connection to whoever listens on the more particular address.
TEST(Listener, BesideItsOwnAnotherOnTheLoopbackIsAStranger) {
    const FakeHost host;
    host.process({.pid = 42, .listens = {port}});
    host.write("/proc/42/net/tcp", header + FakeHost::listener(loopback, port, 1));
    EXPECT_THAT(stranger(host, "127.0.0.1"), HasSubstr("another process"));
    EXPECT_EQ(stranger(host, "::1"), "");
    host.write("/proc/42/net/tcp", header + FakeHost::listener(loopback, port + 1, 1));
    EXPECT_EQ(stranger(host, "127.0.0.1"), "");
    host.write("/proc/42/net/tcp6",
               header + FakeHost::listener(every6, port, 7000 + port) + FakeHost::listener(loopback6, port, 2));
    EXPECT_THAT(stranger(host, "::1"), HasSubstr("another process"));
}

TEST(Listener, WhatIsRememberedIsLookedAtAgain) {
    const FakeHost host;
    host.process({.pid = 42, .listens = {port}});
    OwnSockets own;
    const HostPort address{.host = "127.0.0.1", .port = port};
    EXPECT_EQ(not_its_listener(host.root(), 42, address, own), "");
    EXPECT_EQ(own.numbers.size(), 1U);
    EXPECT_EQ(not_its_listener(host.root(), 42, address, own), "");
    std::filesystem::remove_all(host.at("/proc/42/fd"));
    EXPECT_THAT(not_its_listener(host.root(), 42, address, own), HasSubstr("another process"));
}

TEST(Listener, ATableOfNonsenseHasNoListener) {
    const FakeHost host;
    host.process({.pid = 42});
    for (const auto* const line :
         {"", "0: x 0 0A", "0: 0100007F:1F90 0 0A 0 0 0 0 0 x", "0: 0100:1F90 0 0A 0 0 0 0 0 1",
          "0: 0100007F:1F90F 0 0A 0 0 0 0 0 1", "0: 0100007F:1F90 0 01 0 0 0 0 0 1"}) {
        host.write("/proc/42/net/tcp", header + std::string(line) + "\n");
        EXPECT_THAT(stranger(host, "127.0.0.1"), HasSubstr("nobody listens")) << line;
    }
}

/// The kernel's own tables.
TEST(Listener, ThisProcessListensWhereItListens) {
    const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(socket.get(), 1), 0);
    socklen_t size = sizeof address;
    ASSERT_EQ(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    const HostPort here{.host = "127.0.0.1", .port = ntohs(address.sin_port)};
    OwnSockets own;
    EXPECT_EQ(not_its_listener("/", getpid(), here, own), "");
    EXPECT_THAT(not_its_listener("/", getppid(), here, own), HasSubstr("another process"));
}

/// A socket that listens at this address, which need not be the network's.
Fd listening(std::uint32_t host) {
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    constexpr int yes = 1;
    EXPECT_EQ(setsockopt(socket.get(), IPPROTO_IP, IP_FREEBIND, &yes, sizeof yes), 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(host);
    address.sin_port = htons(port);
    EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << errno;
    EXPECT_EQ(listen(socket.get(), 1), 0);
    return socket;
}

std::uint64_t inode_of(const Fd& socket) {
    struct stat status{};
    EXPECT_EQ(fstat(socket.get(), &status), 0);
    return status.st_ino;
}

AddressBytes mapped_address(std::uint32_t host) {
    AddressBytes bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const auto order = htonl(host);
    std::memcpy(bytes.data() + 12, &order, sizeof order);
    return bytes;
}

/// It does not matter how many others there are, at which addresses. On a thread with a network of its own, where
/// nobody else has ports.
TEST(Listener, TheKernelTellsWhoWouldTakeAConnection) {
    std::thread([] {
        if (unshare(CLONE_NEWNET) != 0) {
            return;
        }
        const auto diag = open_socket_diag("/proc/thread-self");
        ASSERT_TRUE(diag);
        const auto other = listening(INADDR_LOOPBACK + 1);
        EXPECT_EQ(listener_at(diag, mapped_address(INADDR_LOOPBACK), port), 0U) << "nobody";
        const auto own = listening(INADDR_LOOPBACK);
        EXPECT_EQ(listener_at(diag, mapped_address(INADDR_LOOPBACK), port), inode_of(own));
        EXPECT_EQ(listener_at(diag, mapped_address(INADDR_LOOPBACK + 1), port), inode_of(other));
        EXPECT_FALSE(listener_at(own, mapped_address(INADDR_LOOPBACK), port)) << "what is no such socket tells nothing";
    }).join();
}

TEST(Listener, OneOnEveryAddressOfBothFamiliesTakesIpv4) {
    const auto diag = open_socket_diag("/proc/self");
    const Fd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    if (!diag || bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        GTEST_SKIP() << "no sock_diag, or no IPv6";
    }
    ASSERT_EQ(listen(socket.get(), 1), 0);
    socklen_t size = sizeof address;
    ASSERT_EQ(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    OwnSockets own;
    for (const auto* const host : {"127.0.0.1", "::1", "localhost"}) {
        const HostPort there{.host = host, .port = ntohs(address.sin6_port)};
        EXPECT_EQ(not_its_listener("/", getpid(), there, own), "") << host;
        EXPECT_THAT(not_its_listener("/", getppid(), there, own), HasSubstr("another process")) << host;
    }
    EXPECT_TRUE(own.diag);
}

/// A process in a network of its own, which listens on every address, until this ends.
class Elsewhere {
  public:
    Elsewhere() {
        std::array<int, 2> said{};
        std::array<int, 2> end{};
        EXPECT_EQ(pipe2(said.data(), O_CLOEXEC) | pipe2(end.data(), O_CLOEXEC), 0);
        pid_ = fork();
        if (pid_ == 0) {
            close(end[1]);
            const std::uint16_t at = unshare(CLONE_NEWNET) == 0 ? listen_here() : 0;
            std::ignore = write(said[1], &at, sizeof at);
            char ended = 0;
            std::ignore = read(end[0], &ended, 1);
            _exit(0);
        }
        close(said[1]);
        close(end[0]);
        std::ignore = read(said[0], &port_, sizeof port_);
        close(said[0]);
        end_ = Fd(end[1]);
    }
    Elsewhere(const Elsewhere&) = delete;
    Elsewhere& operator=(const Elsewhere&) = delete;
    ~Elsewhere() {
        end_ = Fd();
        waitpid(pid_, nullptr, 0);
    }
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] std::uint16_t port() const { return port_; }

  private:
    static std::uint16_t listen_here() {
        const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        socklen_t size = sizeof address;
        return listen(socket, 1) == 0 && getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0
                   ? ntohs(address.sin_port)
                   : 0;
    }

    pid_t pid_ = 0;
    std::uint16_t port_ = 0;
    Fd end_;
};

TEST(Listener, AnotherNetworkIsAskedOfItsOwnSockets) {
    const Elsewhere there;
    if (there.port() == 0) {
        GTEST_SKIP() << "no network namespace can be made";
    }
    OwnSockets own;
    const HostPort address{.host = "127.0.0.1", .port = there.port()};
    EXPECT_EQ(not_its_listener("/", there.pid(), address, own), "");
    EXPECT_TRUE(own.diag);
}

}  // namespace
}  // namespace upstat::traefik
