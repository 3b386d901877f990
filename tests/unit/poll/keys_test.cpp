// SPDX-License-Identifier: Apache-2.0
#include "poll/keys.hpp"

#include <bpf/btf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "layout.h"
#include "poll/reader.hpp"

namespace upstat::poll {
namespace {

/// Types as a program's BTF describes them.
class Types {
  public:
    [[nodiscard]] const btf* get() const { return types_.get(); }

    int number(const char* name, std::size_t size) { return btf__add_int(types_.get(), name, size, 0); }
    int array(int element, std::uint32_t count) { return btf__add_array(types_.get(), element, element, count); }
    int alias(const char* name, int type) { return btf__add_typedef(types_.get(), name, type); }
    int structure(const char* name, std::uint32_t size) { return btf__add_struct(types_.get(), name, size); }
    /// Of the structure added last.
    void member(const char* name, int type, std::uint32_t offset) {
        ASSERT_EQ(btf__add_field(types_.get(), name, type, offset * 8, 0), 0);
    }

  private:
    struct Free {
        void operator()(btf* types) const { btf__free(types); }
    };
    std::unique_ptr<btf, Free> types_{btf__new_empty()};
};

/// The layout of bpf/layout.h, and one whose members all stand elsewhere and are wider.
struct Layouts : testing::Test {
    Types types;
    int byte = types.number("unsigned char", 1);
    int u8 = types.alias("__u8", byte);
    int u16 = types.alias("__u16", types.number("unsigned short", 2));
    int u32 = types.alias("__u32", types.number("unsigned int", 4));
    int address = types.array(u8, 16);

    int own_server() {
        const int server = types.structure("upstat_server_key", 20);
        types.member("address", address, 0);
        types.member("port", u16, 16);
        types.member("zone", u16, 18);
        return server;
    }
    int own_total() {
        const int server = own_server();
        const int total = types.structure("upstat_total_key", 28);
        types.member("server", server, 0);
        types.member("detail", u16, 20);
        types.member("event", u8, 22);
        types.member("method", u8, 23);
        types.member("whose", u8, 24);
        types.member("route", u16, 26);
        return total;
    }
    int own_request() {
        const int server = own_server();
        const int request = types.structure("upstat_request_key", 24);
        types.member("server", server, 0);
        types.member("whose", u8, 20);
        return request;
    }
    int other_server() {
        const int server = types.structure("upstat_server_key", 24);
        types.member("zone", u32, 0);
        types.member("port", u32, 4);
        types.member("address", address, 8);
        return server;
    }
    int other_total() {
        const int server = other_server();
        const int total = types.structure("upstat_total_key", 32);
        types.member("method", u8, 0);
        types.member("event", u16, 2);
        types.member("detail", u32, 4);
        types.member("server", server, 8);
        return total;
    }
};

upstat_total_key sample_key() {
    upstat_total_key key{};
    const auto server = parse_server("10.0.0.1:8080").value();
    std::memcpy(key.server.address, server.address.data(), server.address.size());
    key.server.port = server.port;
    key.server.zone = server.zone;
    key.detail = 404;
    key.event = UPSTAT_RESPONSE;
    key.method = UPSTAT_METHOD_PATCH;
    return key;
}

TEST_F(Layouts, OwnKeysStandWhereTheirTypeSays) {
    EXPECT_EQ(total_fields(types.get(), static_cast<std::uint32_t>(own_total())), own_total_fields());
    EXPECT_EQ(request_fields(types.get(), static_cast<std::uint32_t>(own_request())), own_request_fields());
}

TEST_F(Layouts, MembersAreFoundByNameWhereverTheyStand) {
    const auto fields = total_fields(types.get(), static_cast<std::uint32_t>(other_total()));
    ASSERT_TRUE(fields) << fields.error();
    EXPECT_EQ(fields->address, (Field{.offset = 16, .size = 16}));
    EXPECT_EQ(fields->port, (Field{.offset = 12, .size = 4}));
    EXPECT_EQ(fields->zone, (Field{.offset = 8, .size = 4}));
    EXPECT_EQ(fields->detail, (Field{.offset = 4, .size = 4}));
    EXPECT_EQ(fields->event, (Field{.offset = 2, .size = 2}));
    EXPECT_EQ(fields->method, (Field{.offset = 0, .size = 1}));
}

TEST_F(Layouts, BeforeLayout3AllRequestsWereUsersAndTheirKeyWasAServer) {
    const auto fields = request_fields(types.get(), static_cast<std::uint32_t>(own_server()));
    ASSERT_TRUE(fields) << fields.error();
    EXPECT_EQ(fields->address, (Field{.offset = 0, .size = 16}));
    EXPECT_EQ(fields->whose, Field{});
    EXPECT_EQ(total_fields(types.get(), static_cast<std::uint32_t>(other_total()))->whose, Field{});
}

TEST_F(Layouts, WhatWasCountedBeforeThereWereZonesIsOfZone0) {
    const int server = types.structure("upstat_server_key", 20);
    types.member("address", address, 0);
    types.member("port", u16, 16);
    types.member("unused", u16, 18);
    const auto fields = request_fields(types.get(), static_cast<std::uint32_t>(server));
    ASSERT_TRUE(fields) << fields.error();
    auto key = sample_key().server;
    key.zone = 7;  // the bytes that nobody meant anything by
    EXPECT_EQ(to_total(std::as_bytes(std::span(&key, 1)), *fields, 3).server, parse_server("10.0.0.1:8080"));
}

upstat_probed_key probed_key(std::string_view host, std::uint16_t port) {
    upstat_probed_key key{};
    std::ranges::copy(host, key.host);
    key.port = port;
    key.zone = 3;
    key.detail = 404;
    key.event = UPSTAT_RESPONSE;
    return key;
}

std::string label_of(const upstat_probed_key& key) {
    return to_string(to_total(std::as_bytes(std::span(&key, 1)), own_probed_fields(), 1).server);
}

TEST_F(Layouts, AProbedResponseIsItsServersByAddressOrByName) {
    EXPECT_EQ(label_of(probed_key("10.0.0.1:8443", 443)), "10.0.0.1:8443");
    EXPECT_EQ(label_of(probed_key("10.0.0.1", 443)), "10.0.0.1:443");
    EXPECT_EQ(label_of(probed_key("[fd00::1]", 80)), "[fd00::1]:80");
    EXPECT_EQ(label_of(probed_key("[fd00::1]:8443", 443)), "[fd00::1]:8443");
    EXPECT_EQ(label_of(probed_key("Shop.Example", 443)), "shop.example:443");
    EXPECT_EQ(label_of(probed_key("shop.example:8443", 443)), "shop.example:8443");
    EXPECT_EQ(label_of(probed_key("a\x1b[31m", 443)), "a\\x1b[31m:443");
    EXPECT_EQ(label_of(probed_key(std::string(sizeof(upstat_probed_key::host), 'x'), 443)),
              std::string(sizeof(upstat_probed_key::host), 'x') + ":443");
    const auto key = probed_key("shop.example", 443);
    const auto total = to_total(std::as_bytes(std::span(&key, 1)), own_probed_fields(), 5);
    EXPECT_EQ(total.server.zone, 3);
    EXPECT_EQ(total.server.name, url_server("shop.example", 443).name);
    EXPECT_NE(total.server, url_server("shop.example", 443)) << "another Traefik's";
}

TEST(ToServers, AProbedResponseJoinsItsServersSeriesAndBringsItsRequest) {
    const auto server = parse_server("10.0.0.1:443").value();
    const std::vector<Total> totals{
        {.server = server, .event = UPSTAT_REQUEST, .count = 3},
        {.server = server, .event = UPSTAT_RESPONSE, .detail = 404, .count = 2},
        {.server = server, .probed = true, .event = UPSTAT_RESPONSE, .detail = 404, .count = 5},
        {.server = server,
         .probed = true,
         .event = UPSTAT_UNANSWERED,
         .detail = UPSTAT_UNANSWERED_MALFORMED,
         .count = 1}};
    const auto servers = to_servers(totals);
    EXPECT_EQ(servers.size(), 1U);
    EXPECT_EQ(servers.begin()->second.requests, 9U);
    EXPECT_EQ(servers.begin()->second.response_sum(), 7U);
    EXPECT_EQ(servers.begin()->second.outstanding(), 1);
}

TEST(ServerLabel, IsReadAgain) {
    for (const auto* const label : {"10.0.0.1:80", "[fd00::1]:443", "shop.example:443", "[fe80::1%eth0]:443"}) {
        EXPECT_EQ(to_string(server_of_label(label).value()), label);
    }
    EXPECT_FALSE(server_of_label("shop.example"));
    EXPECT_NE(url_server("a", 80), url_server("b", 80));
}

TEST_F(Layouts, AKeyThatLacksAMemberIsRefusedWithItsName) {
    const int server = types.structure("upstat_server_key", 20);
    types.member("addr", address, 0);
    types.member("port", u16, 16);
    EXPECT_EQ(request_fields(types.get(), static_cast<std::uint32_t>(server)).error(),
              "its key has no address that is known");

    const int flat = types.structure("upstat_total_key", 20);
    types.member("server", address, 0);
    types.member("detail", u16, 16);
    EXPECT_EQ(total_fields(types.get(), static_cast<std::uint32_t>(flat)).error(),
              "its key has no server.address that is known");
    EXPECT_FALSE(total_fields(types.get(), static_cast<std::uint32_t>(u32)));
    EXPECT_FALSE(total_fields(types.get(), 9999));
}

TEST_F(Layouts, AMemberOfAnotherKindIsRefused) {
    const int four = types.array(u8, 4);
    const int narrow = types.structure("upstat_server_key", 20);
    types.member("address", four, 0);
    types.member("port", u16, 16);
    EXPECT_FALSE(request_fields(types.get(), static_cast<std::uint32_t>(narrow)));
    const int nested = types.structure("upstat_server_key", 36);
    types.member("address", address, 0);
    types.member("port", narrow, 16);
    EXPECT_EQ(request_fields(types.get(), static_cast<std::uint32_t>(nested)).error(),
              "its key has no port that is known");
}

TEST_F(Layouts, AnOwnKeyIsRead) {
    const auto key = sample_key();
    const auto total = to_total(std::as_bytes(std::span(&key, 1)), own_total_fields(), 7);
    EXPECT_EQ(to_string(total.server), "10.0.0.1:8080");
    EXPECT_EQ(total.detail, 404U);
    EXPECT_EQ(total.event, std::uint64_t{UPSTAT_RESPONSE});
    EXPECT_EQ(total.method, std::uint64_t{UPSTAT_METHOD_PATCH});
    EXPECT_EQ(total.count, 7U);
}

TEST_F(Layouts, AKeyOfAServerIsARequests) {
    upstat_request_key key{.server = sample_key().server, .whose = UPSTAT_PROBE_OTHER, .padding = {}};
    key.server.zone = 3;
    const auto total = to_total(std::as_bytes(std::span(&key, 1)), own_request_fields(), 3);
    EXPECT_EQ(to_string(total.server), "10.0.0.1:8080");
    EXPECT_EQ(total.server.zone, 3);
    EXPECT_EQ(total.event, std::uint64_t{UPSTAT_REQUEST});
    EXPECT_EQ(total.whose, std::uint64_t{UPSTAT_PROBE_OTHER});
}

TEST_F(Layouts, AKeyOfAnotherLayoutSaysTheSame) {
    struct {
        std::uint8_t method = UPSTAT_METHOD_PATCH;
        std::uint16_t event = UPSTAT_RESPONSE;
        std::uint32_t detail = 404;
        std::uint32_t zone = 3;
        std::uint32_t port = 8080;
        std::array<std::uint8_t, 16> address = parse_server("10.0.0.1:8080").value().address;
    } const key;
    static_assert(sizeof(key) == 32);
    const auto fields = total_fields(types.get(), static_cast<std::uint32_t>(other_total())).value();
    const auto total = to_total(std::as_bytes(std::span(&key, 1)), fields, 7);
    EXPECT_EQ(to_string(total.server), "10.0.0.1:8080");
    EXPECT_EQ(total.server.zone, 3);
    EXPECT_EQ(total.detail, 404U);
    EXPECT_EQ(total.event, std::uint64_t{UPSTAT_RESPONSE});
    EXPECT_EQ(total.method, std::uint64_t{UPSTAT_METHOD_PATCH});
}

}  // namespace
}  // namespace upstat::poll
