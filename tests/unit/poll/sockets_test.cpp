// SPDX-License-Identifier: Apache-2.0
#include "poll/sockets.hpp"

#include <gtest/gtest.h>
#include <time.h>

#include "poll/socket_records.hpp"

namespace upstat::poll {
namespace {

/// Jiffies of so much time on this kernel.
std::uint32_t jiffies(std::chrono::nanoseconds time) {
    timespec resolution{};
    clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
    return static_cast<std::uint32_t>(time.count() / resolution.tv_nsec);
}

TEST(Sockets, AreReadWithAllThatIsKnown) {
    auto record = socket_record(7, "10.0.0.1:80", UPSTAT_SOCKET_WAITING);
    record.server.zone = 3;
    record.joined = 1;
    record.lasting = jiffies(std::chrono::seconds(2));
    record.age = jiffies(std::chrono::hours(1)) >> UPSTAT_AGE_SHIFT;
    for (std::uint32_t i = 0; i < UPSTAT_CLASSES; i++) {
        record.responses[i] = 10 * i;
    }
    const auto walk = walk_of({record});
    const auto& sockets = walk->sockets();
    ASSERT_TRUE(sockets && sockets->all.size() == 1U);
    const auto& socket = sockets->all.front();
    EXPECT_EQ(to_string(socket.server), "10.0.0.1:80");
    EXPECT_EQ(socket.server.zone, 3);
    EXPECT_EQ(socket.local_port, 40007);
    EXPECT_EQ(socket.state, "waiting");
    EXPECT_TRUE(socket.waits() && socket.joined);
    EXPECT_EQ(socket.responses, (std::array<std::uint32_t, 4>{0, 10, 20, 30}));
    EXPECT_NEAR(static_cast<double>(socket.lasting.count()), 2000, 11);
    EXPECT_NEAR(static_cast<double>(socket.age.count()), 3'600'000, 500);
    EXPECT_TRUE(sockets->complete);
}

TEST(Sockets, AWalkGoesWhenItIsAskedForAndOnce) {
    const auto walk = walk_of({socket_record(1, "10.0.0.1:80", UPSTAT_SOCKET_IDLE)});
    EXPECT_FALSE(walk->is_over());
    const auto* const first = &walk->sockets();
    EXPECT_TRUE(walk->is_over());
    EXPECT_EQ(first, &walk->sockets());
    EXPECT_EQ((*first)->all.size(), 1U);
}

TEST(Sockets, OneThatIsMetTwiceIsOne) {
    const auto walk = walk_of({socket_record(1, "10.0.0.1:80", UPSTAT_SOCKET_IDLE),
                               socket_record(2, "10.0.0.1:80", UPSTAT_SOCKET_IDLE),
                               socket_record(1, "10.0.0.1:80", UPSTAT_SOCKET_WAITING)});
    EXPECT_EQ(walk->sockets()->all.size(), 2U);
}

TEST(Sockets, NoMoreThanTheMostAreTaken) {
    std::vector<upstat_socket> records;
    for (std::uint64_t i = 0; i < most_sockets + 5000; i++) {
        records.push_back(socket_record(i, "10.0.0.1:80", UPSTAT_SOCKET_IDLE));
    }
    const auto walk = walk_of(records);
    EXPECT_EQ(walk->sockets()->all.size(), most_sockets);
    EXPECT_FALSE(walk->sockets()->complete);
    records.resize(most_sockets);
    EXPECT_TRUE(walk_of(records)->sockets()->complete);
}

TEST(Sockets, WhatIsNoRecordIsNone) {
    const std::vector<std::byte> bytes(sizeof(upstat_socket) + 3);
    const SocketWalk cut(file_of(bytes), [] { return Wall(); });
    EXPECT_EQ(cut.sockets()->all.size(), 1U);
    const auto strange = walk_of({socket_record(1, "10.0.0.1:80", static_cast<upstat_socket_state>(200))});
    EXPECT_EQ(strange->sockets()->all.front().state, "unknown");
}

TEST(Sockets, AnErrorIsSaid) {
    const SocketWalk none(fail(Error::Kind::host, "this kernel does not show its sockets"), [] { return Wall(); });
    EXPECT_EQ(none.sockets().error().message, "this kernel does not show its sockets");
    const SocketWalk closed(Fd(), [] { return Wall(); });
    EXPECT_TRUE(closed.sockets().error().message.starts_with("the kernel's sockets cannot be read: "));
    EXPECT_TRUE(closed.is_over());
}

}  // namespace
}  // namespace upstat::poll
