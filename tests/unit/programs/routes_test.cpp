// SPDX-License-Identifier: Apache-2.0
#include "programs/routes.hpp"

#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fd.hpp"
#include "layout.h"
#include "programs/records.hpp"

namespace upstat::programs {
namespace {

using testing::ElementsAre;

constexpr std::uint32_t most_hosts = 8;

template <typename Key, typename Value>
Fd made(bpf_map_type type, std::uint32_t size) {
    bpf_map_create_opts options{};
    options.sz = sizeof(options);
    options.map_flags = type == BPF_MAP_TYPE_ARRAY ? 0 : BPF_F_NO_PREALLOC;
    return Fd(bpf_map_create(type, "upstat_test", sizeof(Key), sizeof(Value), size, &options));
}

/// Of so many hosts.
RouteTable table(const std::string& name, int hosts) {
    RouteTable all;
    for (int at = 0; at < hosts; ++at) {
        all.push_back({.host = name + std::to_string(at), .route = 1});
    }
    return all;
}

/// Small maps of the kernel's.
class RoutesTest : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0) {
            GTEST_SKIP() << "maps are root's to make";
        }
        ASSERT_TRUE(hosts_ && paths_ && records_ && epoch_);
    }
    WrittenRoutes write(const std::vector<RouteTable>& tables) {
        return routes_.write({.hosts = hosts_.get(), .paths = paths_.get(), .records = records_.get()}, tables);
    }
    /// Records of servers 1, 2, ... with these tables.
    void name(const std::vector<std::uint16_t>& tables, bool complete = true) const {
        std::vector<Record> records;
        for (const auto number : tables) {
            records.push_back({.port = static_cast<std::uint16_t>(records.size() + 1), .table = number});
        }
        ASSERT_TRUE(write_records({.records = records_.get(), .epoch = epoch_.get()}, records, complete, false));
    }
    [[nodiscard]] std::vector<std::string> hosts() const {
        std::vector<std::string> all;
        upstat_route_host_key key{};
        for (bool first = true; bpf_map_get_next_key(hosts_.get(), first ? nullptr : &key, &key) == 0; first = false) {
            if (key.table != 0) {
                all.emplace_back(key.host);
            }
        }
        std::ranges::sort(all);
        return all;
    }
    [[nodiscard]] upstat_record record(std::uint16_t port) const {
        upstat_server_key key{};
        key.port = port;
        upstat_record value{};
        EXPECT_EQ(bpf_map_lookup_elem(records_.get(), &key, &value), 0);
        return value;
    }

    Fd hosts_ = made<upstat_route_host_key, upstat_route_host>(BPF_MAP_TYPE_HASH, most_hosts + 1);
    Fd paths_ = made<upstat_route_path_key, upstat_route_path>(BPF_MAP_TYPE_LPM_TRIE, most_hosts);
    Fd records_ = made<upstat_server_key, upstat_record>(BPF_MAP_TYPE_HASH, most_hosts);
    Fd epoch_ = made<std::uint32_t, std::uint32_t>(BPF_MAP_TYPE_ARRAY, 1);
    Routes routes_;
};

TEST_F(RoutesTest, WhatNoRecordNamesIsTakenOutWhenTheNextComes) {
    name(write({table("a", 3)}).numbers);
    name(write({table("b", 3)}).numbers, false);
    EXPECT_EQ(hosts().size(), 6U) << "what was in force a moment ago stays";
    const auto last = write({table("c", 3)});
    EXPECT_FALSE(last.problem);
    EXPECT_THAT(hosts(), ElementsAre("b0", "b1", "b2", "c0", "c1", "c2"));
}

TEST_F(RoutesTest, ServersThatAreOnlyListedGiveWay) {
    std::vector<Record> records;
    while (records.size() < most_hosts) {
        records.push_back({.port = static_cast<std::uint16_t>(records.size() + 1), .own = false});
    }
    const RecordMaps maps{.records = records_.get(), .epoch = epoch_.get()};
    ASSERT_TRUE(write_records(maps, records, true, false));
    records.push_back({.port = 60000, .own = true});
    const auto written = write_records(maps, records, true, false);
    ASSERT_FALSE(written);
    EXPECT_THAT(written.error().text(), testing::StartsWith("1 servers find no room"));
    EXPECT_NE(record(60000).look, 0);
}

TEST(Records, NoTraefikTakesAnothersRoom) {
    std::vector<Record> records;
    for (std::uint16_t port = 1; port <= 100; ++port) {
        records.push_back({.port = port, .zone = 1});
    }
    for (std::uint16_t port = 1; port <= 3; ++port) {
        records.push_back({.port = port, .zone = 2});
        records.push_back({.port = port, .zone = 3, .own = false});
    }
    const auto fitting = with_room(records, 10);
    const auto of = [&fitting](std::uint16_t zone) { return std::ranges::count(fitting, zone, &Record::zone); };
    EXPECT_EQ(of(1), 7);
    EXPECT_EQ(of(2), 3);
    EXPECT_EQ(of(3), 0) << "they change nothing of what is counted";
    EXPECT_EQ(with_room(records, records.size()), records);
}

TEST_F(RoutesTest, ATableKeepsItsNumber) {
    const auto before = write({table("a", 1), table("b", 1)}).numbers;
    name(before);
    const auto after = write({table("c", 1), table("b", 1)}).numbers;
    EXPECT_EQ(after.at(1), before.at(1));
    EXPECT_NE(after.at(0), before.at(0));
}

TEST_F(RoutesTest, WhatAnEarlierAgentPutInForceStaysAtFirst) {
    name(write({table("a", 1)}).numbers);
    routes_ = Routes();
    const auto numbers = write({table("b", 1)}).numbers;
    EXPECT_THAT(hosts(), ElementsAre("a0", "b0"));
    EXPECT_NE(numbers.at(0), record(1).table);
}

TEST_F(RoutesTest, TheHighestNumberOfARouteIsKnownAfterItsTableHasGone) {
    const RouteMaps maps{.hosts = hosts_.get(), .paths = paths_.get(), .records = records_.get()};
    EXPECT_EQ(highest_route(maps), 0);
    EXPECT_EQ(highest_route({}), 0) << "an older generation";
    write({{{.host = "a", .path = "/b", .route = 40'000}, {.host = "c", .route = 3}}});
    EXPECT_EQ(highest_route(maps), 40'000);
    routes_ = Routes();
    for (const std::uint16_t route : {7, 8}) {
        name(write({{{.host = "d", .route = route}}}).numbers);
    }
    EXPECT_THAT(hosts(), ElementsAre("d", "d"));
    EXPECT_EQ(highest_route(maps), 40'000);
}

TEST_F(RoutesTest, WhatAnEarlierAgentDidNotKeepIsReadFromItsTables) {
    const upstat_route_host_key host{.table = 5, .host = "a"};
    const upstat_route_host value{.route = 12, .paths = 0};
    bpf_map_update_elem(hosts_.get(), &host, &value, BPF_ANY);
    EXPECT_EQ(highest_route({.hosts = hosts_.get(), .paths = paths_.get()}), 12);
}

TEST_F(RoutesTest, AgentsThatStartAgainAndAgainFillNothing) {
    for (int start = 0; start < 20; ++start) {
        routes_ = Routes();
        const auto written = write({table("a", 3)});
        ASSERT_FALSE(written.problem);
        name(written.numbers);
        EXPECT_LE(hosts().size(), 6U) << "what the agent before this one put in force, and its own";
    }
}

TEST_F(RoutesTest, OfTooManyTheLargestAreLeftOut) {
    const std::vector all{table("big", 7), table("a", 2), table("b", 3)};
    const auto written = write(all);
    EXPECT_EQ(written.numbers.at(0), 0);
    EXPECT_NE(written.numbers.at(1), 0);
    EXPECT_NE(written.numbers.at(2), 0);
    ASSERT_TRUE(written.problem);
    EXPECT_THAT(written.problem->message, testing::HasSubstr("at 1 of 3 groups"));
    EXPECT_THAT(hosts(), ElementsAre("a0", "a1", "b0", "b1", "b2"));
    name(written.numbers);
    EXPECT_EQ(write(all).numbers, written.numbers) << "once more";
    const auto key = upstat_route_host_key{.table = 999, .host = {}};
    const upstat_route_host value{};
    bpf_map_update_elem(hosts_.get(), &key, &value, BPF_ANY);
    EXPECT_TRUE(write(all).problem);
    EXPECT_EQ(hosts().size(), 6U) << "not looked at again";
}

TEST_F(RoutesTest, WhatFoundNoRoomBesideWhatItReplacesIsTriedOnceMore) {
    name(write({table("a", 5)}).numbers);
    const auto left_out = write({table("b", 5)});
    EXPECT_TRUE(left_out.problem);
    name(left_out.numbers);
    const auto written = write({table("b", 5)});
    EXPECT_FALSE(written.problem);
    EXPECT_EQ(hosts().size(), 5U);
}

TEST_F(RoutesTest, WhereNotAllIsKnownNoRecordNamesATable) {
    name({7, 8});
    name({7}, false);
    EXPECT_EQ(record(1).table, 7);
    EXPECT_EQ(record(2).table, 0);
    EXPECT_EQ(record(2).look, UPSTAT_LOOK_WHOSE);
    EXPECT_EQ(record(1).look, UPSTAT_LOOK_WHOSE | UPSTAT_LOOK_ROUTE);
}

}  // namespace
}  // namespace upstat::programs
