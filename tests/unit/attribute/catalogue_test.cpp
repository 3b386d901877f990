// SPDX-License-Identifier: Apache-2.0
#include "attribute/catalogue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attribute/shared.hpp"

namespace upstat::attribute {
namespace {

using testing::Pair;
using testing::UnorderedElementsAre;

poll::Server server(const std::string& text) {
    return poll::parse_server(text).value();
}

/// Of one server each: `checked` has a health check, `elsewhere` one on another port.
Catalogue catalogue() {
    Catalogue all;
    all.backends["plain@f"] = {.provider = "f", .listed = {listed_at("http://10.0.0.1:80")}};
    all.backends["checked@f"] = {
        .provider = "f", .listed = {listed_at("http://10.0.0.2:80")}, .checks = {{.method = poll::Method::head}}};
    all.backends["elsewhere@f"] = {
        .provider = "f", .listed = {listed_at("http://10.0.0.3:80")}, .checks = {{.port = 81}}};
    return all;
}

TEST(Looks, OnlyServersThatTraefikAsksByItself) {
    EXPECT_THAT(looks_in(catalogue()),
                UnorderedElementsAre(Pair(server("10.0.0.2:80"), Look{.checks = {poll::Method::head}})));
}

TEST(Looks, TwoHealthChecksAtOneServerAreBoth) {
    auto all = catalogue();
    all.backends["also@f"] = {.provider = "f", .listed = {listed_at("http://10.0.0.2:80")}, .checks = {{}}};
    const auto both = Pair(server("10.0.0.2:80"), Look{.checks = {poll::Method::get, poll::Method::head}});
    EXPECT_THAT(looks_in(all), UnorderedElementsAre(both));
    EXPECT_THAT(looks_in(with_shared(all)), UnorderedElementsAre(both));
}

TEST(Looks, AHealthCheckOnAnotherPortIsForWhoeverListsThat) {
    auto all = catalogue();
    all.backends["other@f"] = {.provider = "f", .listed = {listed_at("http://10.0.0.3:81")}};
    EXPECT_EQ(looks_in(all).at(server("10.0.0.3:81")), Look{.checks = {poll::Method::get}});
}

TEST(Looks, ForwardAuthProvidersAndTcpAtABackendsServer) {
    auto all = catalogue();
    all.auths = {listed_at("http://10.0.0.1:80/verify"), listed_at("http://10.9.9.9/verify")};
    all.asked = {listed_at("http://10.0.0.2:80/v1/traces")};
    all.streams = {listed_at("tcp://10.0.0.3:80"), listed_at("tcp://10.9.9.9:25")};
    EXPECT_THAT(looks_in(all), UnorderedElementsAre(Pair(server("10.0.0.1:80"), Look{.auth = true}),
                                                    Pair(server("10.0.0.2:80"), Look{.checks = {poll::Method::head}}),
                                                    Pair(server("10.0.0.3:80"), Look{})));
}

TEST(Looks, MergedCataloguesHaveBoth) {
    Catalogue more;
    more.backends["plain@f"] = {.provider = "f", .listed = {listed_at("http://10.0.0.1:80")}, .checks = {{}}};
    more.auths = {listed_at("http://10.0.0.2:80/verify")};
    EXPECT_THAT(looks_in(merged(catalogue(), more)),
                UnorderedElementsAre(Pair(server("10.0.0.1:80"), Look{.checks = {poll::Method::get}}),
                                     Pair(server("10.0.0.2:80"), Look{.checks = {poll::Method::head}, .auth = true})));
}

}  // namespace
}  // namespace upstat::attribute
