// SPDX-License-Identifier: Apache-2.0
#include "traefik/listener.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.hpp"
#include "traefik/fake_host.hpp"

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
    EXPECT_EQ(own.size(), 1U);
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

}  // namespace
}  // namespace upstat::traefik
