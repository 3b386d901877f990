// SPDX-License-Identifier: Apache-2.0
#include "publish/push_claim.hpp"

#include <gtest/gtest.h>

#include <string>

namespace upstat::publish {
namespace {

using namespace std::chrono_literals;

PushTarget target() {
    PushTarget target;
    target.job = "upstat-push";
    target.instance = "edge";
    return target;
}

/// The gateway's page, with our group as `owner` pushed it.
std::string page(const std::string& owner, const std::string& time) {
    return "# TYPE go_goroutines gauge\ngo_goroutines 9\n# TYPE push_owner_info gauge\n"
           "push_owner_info{instance=\"other\",job=\"upstat-push\",owner=\"boot-x/1\"} 1\n"
           "push_owner_info{instance=\"edge\",job=\"upstat-push\",owner=\"" +
           owner +
           "\"} 1\n# TYPE push_time_seconds gauge\n"
           "push_time_seconds{instance=\"edge\",job=\"upstat-push\"} " +
           time + "\npush_time_seconds{instance=\"other\",job=\"upstat-push\"} 1.7e+09\n";
}

class Claim : public testing::Test {
  protected:
    static Time at(std::chrono::seconds since) { return Time(1h) + since; }

    void look(std::chrono::seconds since, const std::string& body, long status = 200) {
        claim_.looking(at(since), ++ticket_);
        EXPECT_FALSE(claim_.look_due(at(since))) << "one is under way";
        EXPECT_FALSE(claim_.done({.ticket = 99, .result = std::unexpected("not ours")}, target()));
        EXPECT_TRUE(claim_.done({.ticket = ticket_, .result = HttpResponse{.status = status, .body = body}}, target()));
    }

    PushClaim claim_{{.owner = "boot-a/1", .earlier = "boot-a/0", .until = Wall(1000s)}, 45s};
    std::uint64_t ticket_ = 0;
};

TEST(PushClaim, FindsItsGroupAmongAll) {
    EXPECT_EQ(find_group(page("boot-b/7", "1.7958e+09"), target()),
              (GroupSeen{.owner = "boot-b/7", .push_time = "1.7958e+09"}));
    EXPECT_EQ(find_group("", target()), GroupSeen{});
    auto quoted = target();
    quoted.instance = "a\"b\\";
    EXPECT_EQ(
        find_group("\npush_owner_info{instance=\"a\\\"b\\\\\",job=\"upstat-push\",owner=\"me\"} 1\n", quoted).owner,
        "me");
}

TEST(PushClaim, ALookIsShort) {
    const auto request = look_request(target(), "http://h/metrics");
    EXPECT_EQ(request.method, "GET");
    EXPECT_EQ(request.url, "http://h/metrics");
    EXPECT_TRUE(request.cut);
    EXPECT_LE(request.max_bytes, std::size_t{4} << 20);
}

TEST_F(Claim, TheFirstAgentLooksTwiceAndThenPushes) {
    EXPECT_FALSE(claim_.may_push(at(0s)));
    EXPECT_TRUE(claim_.look_due(at(0s)));
    look(0s, "");
    EXPECT_TRUE(claim_.may_push(at(5s)));
    EXPECT_FALSE(claim_.is_ours(at(5s)));
    claim_.pushed(at(5s), true);
    EXPECT_TRUE(claim_.is_ours(at(6s)));
    EXPECT_FALSE(claim_.may_push(at(20s))) << "another one may have looked and pushed at the same time";
    look(20s, page("boot-a/1", "5"));
    for (auto now = 20s; now < 500s; now += 15s) {
        EXPECT_TRUE(claim_.may_push(at(now)));
        claim_.pushed(at(now), true);
    }
}

TEST_F(Claim, TheSecondAgentLeavesTheGroupAlone) {
    for (auto now = 0s; now < 450s; now += 45s) {
        EXPECT_TRUE(claim_.look_due(at(now)));
        look(now, page("boot-b/1", std::to_string(now.count())));
        EXPECT_FALSE(claim_.may_push(at(now)));
        EXPECT_EQ(claim_.other(), "boot-b/1");
        EXPECT_FALSE(claim_.look_due(at(now + 44s)));
    }
    EXPECT_FALSE(claim_.is_ours(at(451s)));
}

TEST_F(Claim, OfTwoThatBeganAtOnceOneGivesWay) {
    look(0s, "");
    claim_.pushed(at(0s), true);
    look(15s, page("boot-b/1", "1"));
    EXPECT_FALSE(claim_.may_push(at(15s)));
    EXPECT_FALSE(claim_.is_ours(at(15s))) << "what is there is not to be deleted";
}

TEST_F(Claim, AGroupThatNobodyPushesIsTaken) {
    look(0s, page("boot-b/1", "7"));
    look(45s, page("boot-b/1", "8"));
    EXPECT_FALSE(claim_.may_push(at(45s)));
    look(90s, page("boot-b/1", "8"));
    EXPECT_TRUE(claim_.may_push(at(90s)));
    EXPECT_EQ(claim_.other(), "");
}

TEST_F(Claim, ARestartedAgentKnowsItsOwnGroup) {
    look(0s, page("boot-a/1", "7"));
    EXPECT_TRUE(claim_.may_push(at(0s)));
    claim_.pushed(at(0s), true);
    EXPECT_TRUE(claim_.may_push(at(15s)));
}

TEST_F(Claim, WhatItPushedBeforeTheBootIsTakenAtOnce) {
    look(0s, page("boot-a/0", "9.995e+02"));
    EXPECT_TRUE(claim_.may_push(at(0s)));
    EXPECT_EQ(claim_.other(), "");
    claim_.pushed(at(0s), true);
    EXPECT_FALSE(claim_.may_push(at(15s))) << "as after each first push, it looks again";
    look(15s, page("boot-a/1", "1.1e+03"));
    EXPECT_TRUE(claim_.may_push(at(15s)));
}

TEST_F(Claim, ACloneLeavesTheGroupToTheHostThatPushesOn) {
    look(0s, page("boot-a/0", "1.001e+03"));
    EXPECT_FALSE(claim_.may_push(at(0s)));
    EXPECT_EQ(claim_.other(), "boot-a/0");
}

TEST_F(Claim, ACloneThatPushedSeesTheHostPushOn) {
    look(0s, page("boot-a/0", "9e+02"));
    claim_.pushed(at(0s), true);
    look(15s, page("boot-a/0", "9.1e+02"));  // the gateway's clock is behind
    EXPECT_FALSE(claim_.may_push(at(15s)));
}

TEST_F(Claim, ATimeThatIsNoneIsNobodysOfBefore) {
    look(0s, page("boot-a/0", "soon"));
    EXPECT_FALSE(claim_.may_push(at(0s)));
}

TEST_F(Claim, AnAgentThatWasSilentLooksAgain) {
    look(0s, page("boot-a/1", "7"));
    claim_.pushed(at(0s), true);
    claim_.pushed(at(15s), false);
    EXPECT_TRUE(claim_.may_push(at(44s)));
    EXPECT_FALSE(claim_.may_push(at(45s)));
    EXPECT_FALSE(claim_.is_ours(at(45s)));
    EXPECT_TRUE(claim_.look_due(at(45s)));
    look(45s, page("boot-b/1", "9"));
    EXPECT_FALSE(claim_.may_push(at(45s)));
}

TEST_F(Claim, ALookThatFailsForbidsNothingAndForgetsNobody) {
    look(0s, "not allowed", 403);
    EXPECT_TRUE(claim_.may_push(at(0s)));
    claim_.pushed(at(0s), false);
    look(15s, page("boot-b/1", "7"));
    look(60s, "not allowed", 403);
    EXPECT_FALSE(claim_.may_push(at(60s)));
}

TEST_F(Claim, AReloadGoesOnWithTheClaim) {
    look(0s, page("boot-a/1", "7"));
    claim_.pushed(at(0s), true);
    PushClaim next({.owner = "boot-a/1"}, 45s);
    next.go_on_from(claim_);
    EXPECT_TRUE(next.may_push(at(15s)));
    EXPECT_TRUE(next.is_ours(at(15s)));
}

}  // namespace
}  // namespace upstat::publish
