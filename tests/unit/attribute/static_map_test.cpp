// SPDX-License-Identifier: Apache-2.0
#include "attribute/static_map.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "traefik/fake_host.hpp"

namespace upstat::attribute {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(StaticMap, ReadsEveryKindOfServer) {
    const auto map = parse_static_map(R"(
backends:
  shop: ["10.0.0.1:80", "http://host:8080", "[::1]:90"]
  api:
    - https://10.0.0.2
    - host:81
  empty: []
)",
                                      "b.yml");
    EXPECT_THAT(map.mistakes, IsEmpty());
    ASSERT_THAT(map.catalogue.backends, SizeIs(3));
    const auto& shop = map.catalogue.backends.at("shop");
    EXPECT_EQ(shop.provider, "file");
    EXPECT_THAT(shop.listed, ElementsAre(listed_at("http://10.0.0.1:80"), listed_at("http://host:8080"),
                                         listed_at("http://[::1]:90")));
    EXPECT_THAT(servers_of(map.catalogue, "shop"), Contains(poll::parse_server("[::1]:90").value()));
    EXPECT_THAT(servers_of(map.catalogue, "api"), Contains(poll::parse_server("10.0.0.2:443").value()));
    EXPECT_EQ(map.catalogue.backends.at("api").listed.at(1).url, "http://host:81");
}

struct Wrong {
    std::string text;
    std::string message;
};

TEST(StaticMap, EachMistakeHasItsPlaceAndAHint) {
    const std::vector<Wrong> wrongs{
        {"backend: {}\n", "b.yml:1: unknown key 'backend'"},
        {"backends:\n  a: [x:1]\n\nextra: 1\n", "b.yml:4: unknown key 'extra'"},
        {"backends: [a]\n", "b.yml:1: `backends` is not a map"},
        {"backends:\n  a: 10.0.0.1:80\n", "b.yml:2: backend 'a' is not a list"},
        {"backends:\n  a:\n    - 10.0.0.1:80\n    - 10.0.0.2\n", "b.yml:4: '10.0.0.2' of backend 'a'"},
        {"backends: {a: ['::1:80']}\n", "'::1:80'"},
        {"backends: {a: ['[::1]']}\n", "'[::1]'"},
        {"backends: {a: ['10.0.0.1:99999']}\n", "'10.0.0.1:99999'"},
        {"backends: {a: ['ftp://x']}\n", "'ftp://x'"},
        {"backends: {a: ['http://']}\n", "'http://'"},
        {"backends: {a: ['x:80/path']}\n", "'x:80/path'"},
        {"backends: {a: [[b]]}\n", "'...' of backend 'a'"},
        {"backends:\n  a: []\n  a: []\n", "b.yml:3: backend 'a' is there twice"},
        {"backends: {a: [\n", "b.yml:"},
        {"", "there is no `backends:`"},
        {"just words", "there is no `backends:`"},
    };
    for (const auto& wrong : wrongs) {
        const auto map = parse_static_map(wrong.text, "b.yml");
        ASSERT_FALSE(map.mistakes.empty()) << wrong.text;
        EXPECT_THAT(map.mistakes.front().message, HasSubstr(wrong.message));
        EXPECT_NE(map.mistakes.front().hint, "");
        EXPECT_EQ(map.mistakes.front().kind, Error::Kind::usage);
    }
}

TEST(StaticMap, TellsAllMistakesAtOnce) {
    EXPECT_THAT(parse_static_map("x: 1\nbackends: {a: [b, c]}\n", "b.yml").mistakes, SizeIs(3));
}

TEST(StaticMap, IsLoadedFromAFile) {
    const TemporaryDirectory directory;
    EXPECT_THAT(load_static_map(directory.path() / "none.yml").mistakes.at(0).message,
                HasSubstr("backends.file: cannot read "));
    std::ofstream(directory.path() / "b.yml") << "backends: {a: ['h:1']}";
    EXPECT_THAT(load_static_map(directory.path() / "b.yml").mistakes, IsEmpty());
}

TEST(StaticMap, ShowsNoPasswordOfWhatItRefuses) {
    for (const auto* const server : {"ftp://USER:secret@h", "http://USER:secret@[::1"}) {
        const auto map = parse_static_map(std::string("backends: {a: ['") + server + "']}\n", "b.yml");
        ASSERT_THAT(map.mistakes, SizeIs(1));
        EXPECT_FALSE(map.mistakes[0].text().contains("secret")) << map.mistakes[0].text();
    }
}

TEST(Catalogue, KnowsWhereAServersUrlLeads) {
    EXPECT_EQ(endpoint_of("HTTPS://u:p@a"), (HostPort{.host = "a", .port = 443}));
    EXPECT_FALSE(endpoint_of("tcp://a:1")) << "a backend's server speaks HTTP";
    EXPECT_EQ(endpoint_of("h2c://[fd00::1]:8"), (HostPort{.host = "fd00::1", .port = 8}));
    for (const auto* const wrong : {"", "a:80", "//a", "http://", "ftp://a", "http://a:70000", "http://a b"}) {
        EXPECT_FALSE(endpoint_of(wrong)) << wrong;
    }
}

}  // namespace
}  // namespace upstat::attribute
