// SPDX-License-Identifier: Apache-2.0
#include "agent/probing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/fake_parts.hpp"

namespace upstat::agent {
namespace {

using std::chrono::minutes;
using testing::ElementsAre;
using testing::IsEmpty;

struct ProbingTest : testing::Test {
    FakeCounts counts;
    FakeKernel kernel{counts};
    Probing probing;
    Time now{minutes(1000)};
    const programs::Probed traefik{.pid = 7, .start_time = 1, .executable = "/proc/7/exe", .zone = 0};

    static attribute::Catalogue listing(const std::string& url) {
        attribute::Catalogue catalogue;
        catalogue.backends["shop@file"].listed.push_back(attribute::listed_at(url));
        return catalogue;
    }
    static poll::Servers unread(const std::string& reason) {
        poll::Servers servers;
        servers[poll::parse_server("10.0.0.1:443").value()].unread[reason] = 1;
        return servers;
    }
    std::vector<programs::Probed> follow(const std::string& mode = "auto") {
        probing.follow(kernel, {traefik}, mode, now);
        return counts.probed;
    }
};

TEST_F(ProbingTest, ClearTextPaysNothing) {
    probing.look(listing("http://10.0.0.1"), unread("tls"), now);
    EXPECT_THAT(follow(), IsEmpty());
    EXPECT_EQ(probing.state_of(7, false), "no such server is known");
}

TEST_F(ProbingTest, AServerThatIsListedWithTlsOrH2cIsEnough) {
    for (const auto* const url : {"https://10.0.0.1", "h2c://shop:80"}) {
        Probing fresh;
        fresh.look(listing(url), {}, now);
        fresh.follow(kernel, {traefik}, "auto", now);
        EXPECT_THAT(counts.probed, ElementsAre(traefik));
        EXPECT_EQ(fresh.state_of(7, false), "counted");
    }
}

TEST_F(ProbingTest, WithoutACatalogueConnectionsTell) {
    probing.look({}, unread("upgraded"), now);
    EXPECT_THAT(follow(), IsEmpty());
    probing.look({}, unread("http2"), now);
    EXPECT_THAT(follow(), ElementsAre(traefik));
}

TEST_F(ProbingTest, ServersThatAreCalledByTheirAddressDoNotTell) {
    auto catalogue = listing("http://10.0.0.1:443");
    catalogue.backends["shop@file"].provider = attribute::nameless_provider;
    probing.look(catalogue, unread("tls"), now);
    EXPECT_THAT(follow(), ElementsAre(traefik));
}

TEST_F(ProbingTest, WhatIsProbedGoesOnUntilACatalogueIsKnown) {
    counts.probed = {traefik};  // by the agent before
    EXPECT_THAT(follow(), ElementsAre(traefik));
    probing.look(listing("http://10.0.0.1"), {}, now);
    EXPECT_THAT(follow(), IsEmpty());
}

TEST_F(ProbingTest, StaysForTheLastRequestsInFlight) {
    probing.look(listing("https://10.0.0.1"), {}, now);
    EXPECT_THAT(follow(), ElementsAre(traefik));
    now += minutes(10);
    probing.look(listing("http://10.0.0.1"), {}, now);
    EXPECT_THAT(follow(), ElementsAre(traefik));
    now += minutes(1);
    EXPECT_THAT(follow(), IsEmpty());
}

TEST_F(ProbingTest, OnAndOffAskNobody) {
    EXPECT_THAT(follow("on"), ElementsAre(traefik));
    probing.look(listing("https://10.0.0.1"), {}, now);
    EXPECT_THAT(follow("off"), IsEmpty());
    EXPECT_EQ(probing.state_of(7, false), "not counted: --probe.tls=off");
}

TEST_F(ProbingTest, WhatDoesNotWorkIsSaidOnceAndTriedAgain) {
    const CapturedLog log;
    counts.probe_state.problems.emplace(
        7, Error{.kind = Error::Kind::runtime, .message = "it is packed", .hint = "unpack it"});
    for (int poll = 0; poll < 3; ++poll) {
        probing.try_again();
        follow("on");
    }
    EXPECT_EQ(log.count("it is packed"), 1U);
    EXPECT_EQ(probing.state_of(7, false), "not counted: it is packed");
    counts.probe_state = {};
    probing.try_again();
    follow("on");
    EXPECT_EQ(probing.state_of(7, false), "counted");
}

TEST_F(ProbingTest, AnOldKernelsProbesEndWithTheAgent) {
    const CapturedLog log;
    counts.probe_state.outlives = false;
    follow("on");
    EXPECT_EQ(log.count("not counted while no agent runs"), 1U);
    EXPECT_EQ(probing.state_of(7, false), "counted while an agent runs (to go on without one takes Linux 5.15)");
}

TEST_F(ProbingTest, WhatFastProxyDoesByItselfIsSaid) {
    EXPECT_EQ(probing.state_of(7, true), "no such server is known");
    follow("on");
    EXPECT_EQ(probing.state_of(7, true), "counted; fastProxy is on: not where a serversTransport has disableHTTP2");
}

/// The place in its executable is looked for elsewhere.
TEST_F(ProbingTest, WhatIsFoundLaterIsFollowed) {
    const Fd news(eventfd(0, EFD_CLOEXEC));
    counts.probe_state.searching = {7};
    counts.probe_state.news = news.get();
    probing.look(listing("https://10.0.0.1"), {}, now);
    EXPECT_LT(probing.fd(), 0);
    follow();
    EXPECT_EQ(probing.fd(), news.get());
    EXPECT_EQ(probing.state_of(7, false), "not counted yet: its executable is being read");
    counts.probe_state = {};
    follow();
    EXPECT_EQ(probing.fd(), news.get()) << "nothing was found yet";
    eventfd_write(news.get(), 1);
    follow();
    EXPECT_LT(probing.fd(), 0);
    EXPECT_EQ(probing.state_of(7, false), "counted");
}

}  // namespace
}  // namespace upstat::agent
