// SPDX-License-Identifier: Apache-2.0
#include "attribute/dns_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace upstat::attribute {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST(Hosts, AreReadAsGoReadsThem) {
    constexpr auto text =
        "127.0.0.1 localhost\n"
        "# 10.0.0.9 app\n"
        "10.0.0.1\tapp App.example.com # the shop\r\n"
        "  fd00:0::1   APP\n"
        "fe80::1%eth0 router\n"
        "10.0.0.256 wrong\n"
        "nonsense app\n"
        "10.0.0.3\n"
        "10.0.0.2 cms.";
    EXPECT_THAT(
        hosts_of(text, {"app", "aPP.EXAMPLE.com", "cms", "router", "wrong", "elsewhere"}),
        ElementsAre(Pair("aPP.EXAMPLE.com", ElementsAre("10.0.0.1")), Pair("app", ElementsAre("10.0.0.1", "fd00::1")),
                    Pair("cms", ElementsAre("10.0.0.2")), Pair("router", ElementsAre("fe80::1"))));
    EXPECT_THAT(hosts_of(text, {}), IsEmpty());
    EXPECT_THAT(hosts_of("", {"app"}), IsEmpty());
}

TEST(Hosts, ANameHasSixtyFourAddressesAtMost) {
    std::string text;
    for (int i = 0; i < 200; ++i) {
        text += "10.0.0." + std::to_string(i) + " app\n";
    }
    EXPECT_EQ(hosts_of(text, {"app"}).at("app").size(), 64U);
}

TEST(ResolvConf, IsReadAsGoReadsIt) {
    const auto settings = parse_resolv_conf(
        "; comment\n# another\nnameserver 127.0.0.11\nnameserver fe80::1%eth0\nnameserver example.com\n"
        "nameserver 10.0.0.1\nnameserver 10.0.0.2\ndomain first.example\nsearch a.example b.example. .\n"
        "options ndots:5 timeout:3 attempts:3 rotate use-vc edns0\n",
        "host.of.it");
    EXPECT_THAT(settings.servers, ElementsAre("127.0.0.11", "fe80::1", "10.0.0.1"));
    EXPECT_THAT(settings.search, ElementsAre("a.example.", "b.example."));
    EXPECT_EQ(settings.dots, 5);
    EXPECT_EQ(settings.timeout, std::chrono::seconds(3));
    EXPECT_EQ(settings.attempts, 3);
    EXPECT_TRUE(settings.rotate);
    EXPECT_TRUE(settings.tcp);
}

TEST(ResolvConf, WhereItSaysNothingTheLoopbackIsAskedAndTheHostsDomainSearched) {
    const auto settings = parse_resolv_conf("", "edge.example.com");
    EXPECT_THAT(settings.servers, ElementsAre("127.0.0.1", "::1"));
    EXPECT_THAT(settings.search, ElementsAre("example.com."));
    EXPECT_EQ(settings.dots, 1);
    EXPECT_THAT(parse_resolv_conf("search\n", "edge.example.com").search, IsEmpty());
    EXPECT_THAT(parse_resolv_conf("", "edge").search, IsEmpty());
}

TEST(ResolvConf, NumbersAreBounded) {
    const auto most = parse_resolv_conf("options ndots:99999999999999 timeout:60 attempts:100\n", "");
    EXPECT_EQ(most.dots, 15);
    EXPECT_EQ(most.timeout, std::chrono::seconds(5));
    EXPECT_EQ(most.attempts, 3);
    const auto least = parse_resolv_conf("options ndots:-1 timeout:0 attempts:x\n", "");
    EXPECT_EQ(least.dots, 0);
    EXPECT_EQ(least.timeout, std::chrono::seconds(1));
    EXPECT_EQ(least.attempts, 1);
    std::string many;
    for (int i = 0; i < 100; ++i) {
        many += " d" + std::to_string(i);
    }
    EXPECT_EQ(parse_resolv_conf("search" + many + "\n", "").search.size(), 6U);
}

TEST(SearchList, FollowsTheDots) {
    DnsSettings settings{.servers = {}, .search = {"a.", "b."}};
    EXPECT_THAT(search_list("app", settings), ElementsAre("app.a.", "app.b.", "app."));
    EXPECT_THAT(search_list("app.x", settings), ElementsAre("app.x.", "app.x.a.", "app.x.b."));
    EXPECT_THAT(search_list("app.", settings), ElementsAre("app."));
    settings.dots = 0;
    EXPECT_THAT(search_list("app", settings), ElementsAre("app.", "app.a.", "app.b."));
    settings.dots = 5;
    EXPECT_THAT(search_list("app.default.svc", settings),
                ElementsAre("app.default.svc.a.", "app.default.svc.b.", "app.default.svc."));
}

}  // namespace
}  // namespace upstat::attribute
