// SPDX-License-Identifier: Apache-2.0
#include "traefik/catalogue_reader.hpp"

#include <gmock/gmock.h>
#include <poll.h>

#include <string>
#include <utility>
#include <vector>

namespace upstat::traefik {
namespace {

using Kind = Unread::Kind;

const std::string rawdata = R"({"services":{"shop@file":{"loadBalancer":{"servers":[{"url":"http://10.0.0.1:80"}]}}}})";

/// All that comes of so many responses.
std::vector<Read> all_of(CatalogueReader& reader, std::size_t count) {
    std::vector<Read> all;
    while (all.size() < count) {
        pollfd ready{.fd = reader.fd(), .events = POLLIN, .revents = 0};
        EXPECT_EQ(::poll(&ready, 1, 60'000), 1) << "nothing comes";
        for (auto& one : reader.take()) {
            all.push_back(std::move(one));
        }
    }
    return all;
}

TEST(CatalogueReader, TheSameBytesAreReadOnce) {
    const auto first = read_response({.ticket = 1, .body = rawdata});
    ASSERT_TRUE(first.catalogue && *first.catalogue);
    EXPECT_TRUE((*first.catalogue)->catalogue.backends.contains("shop@file"));
    EXPECT_FALSE(read_response({.ticket = 2, .body = rawdata, .known = first.mark}).catalogue);
    EXPECT_TRUE(read_response({.ticket = 3, .body = rawdata + " ", .known = first.mark}).catalogue);
}

TEST(CatalogueReader, EachKindIsReadInItsWay) {
    EXPECT_EQ(read_response({.kind = Kind::version, .body = R"({"Version":"3.7.15"})"}).version, "3.7.15");
    EXPECT_EQ(read_response({.kind = Kind::version, .body = "nonsense"}).version, "");
    const std::string providers = R"({"docker":{"backends":{"old":{"servers":{"a":{"url":"http://10.0.0.1:80"}}}}}})";
    const auto old = read_response({.kind = Kind::providers, .body = providers});
    ASSERT_TRUE(old.catalogue && *old.catalogue);
    EXPECT_TRUE((*old.catalogue)->catalogue.backends.contains("old"));
}

TEST(CatalogueReader, AThreadReadsThemInTurn) {
    CatalogueThread thread;
    EXPECT_TRUE(thread.start({.ticket = 7, .url = "http://api", .body = rawdata}));
    EXPECT_TRUE(thread.start({.ticket = 8, .url = "http://api", .body = "{"}));
    EXPECT_TRUE(thread.start({.ticket = 9, .kind = Kind::version, .body = R"({"Version":"3"})"}));
    const auto all = all_of(thread, 3);
    EXPECT_EQ(all[0].ticket, 7);
    EXPECT_TRUE(all[0].catalogue && *all[0].catalogue);
    EXPECT_EQ(all[1].ticket, 8);
    ASSERT_TRUE(all[1].catalogue && !*all[1].catalogue);
    EXPECT_THAT((*all[1].catalogue).error().message, testing::HasSubstr("http://api"));
    EXPECT_EQ(all[2].version, "3");
}

TEST(CatalogueReader, WhatWaitsHasABound) {
    CatalogueThread thread;
    const std::string large(max_catalogue_bytes, ' ');
    std::size_t taken = 0;
    for (int i = 0; i < 4; ++i) {  // one may have been read already when the next one comes
        taken +=
            thread.start({.ticket = 1, .body = large + (i == 3 ? std::string(max_catalogue_bytes, ' ') : "")}) ? 1 : 0;
    }
    EXPECT_LT(taken, 4);
    all_of(thread, taken);
    EXPECT_TRUE(thread.start({.ticket = 2, .body = rawdata}));
    EXPECT_EQ(all_of(thread, 1).front().ticket, 2);
}

}  // namespace
}  // namespace upstat::traefik
