// SPDX-License-Identifier: Apache-2.0
#include "publish/passwords.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <map>

#include "publish/certificates.hpp"

namespace upstat::publish {
namespace {

class PasswordsTest : public testing::Test {
  protected:
    [[nodiscard]] Claim claim(const std::string& password, const std::string& client = "c") const {
        return {.client = client, .user = "alice", .password = password, .hash = hash_};
    }
    /// Until there are so many verdicts.
    std::map<std::uint64_t, bool> wait_for(std::size_t count) {
        std::map<std::uint64_t, bool> verdicts;
        while (verdicts.size() < count) {
            pollfd ready{.fd = passwords_.fd(), .events = POLLIN, .revents = 0};
            EXPECT_EQ(::poll(&ready, 1, 120'000), 1);
            for (const auto& verdict : passwords_.take()) {
                verdicts.emplace(verdict.ticket, verdict.good);
                order_.push_back(verdict.ticket);
            }
        }
        return verdicts;
    }

    std::string hash_ = hash_of("secret");
    Passwords passwords_;
    std::vector<std::uint64_t> order_;
};

TEST_F(PasswordsTest, SaysWhichIsGoodAndRemembersIt) {
    EXPECT_EQ(passwords_.remembered(claim("secret")), std::nullopt);
    EXPECT_TRUE(passwords_.check(1, claim("secret")));
    EXPECT_TRUE(passwords_.check(2, claim("Secret")));
    const auto verdicts = wait_for(2);
    EXPECT_TRUE(verdicts.at(1));
    EXPECT_FALSE(verdicts.at(2));
    EXPECT_EQ(passwords_.remembered(claim("secret")), true);
    EXPECT_EQ(passwords_.remembered(claim("Secret")), false);
    hash_ = hash_of("another");
    EXPECT_EQ(passwords_.remembered(claim("secret")), std::nullopt) << "the password was changed";
}

TEST_F(PasswordsTest, KnowsTheHashesOfOthers) {
    for (const auto* const prefix : {"$2a$", "$2y$"}) {
        hash_ = hash_of("secret", 4, prefix);
        EXPECT_TRUE(passwords_.check(1, claim("secret")));
        EXPECT_TRUE(wait_for(1).at(1)) << prefix;
    }
}

TEST_F(PasswordsTest, NobodyIsNotLetInByAnothersPassword) {
    auto nobody = claim("secret");
    nobody.user = "nobody";
    nobody.user_known = false;
    EXPECT_TRUE(passwords_.check(1, nobody));
    EXPECT_FALSE(wait_for(1).at(1));
    EXPECT_EQ(passwords_.computed(), 1U) << "it takes as long";
}

TEST_F(PasswordsTest, TheSameOneIsComputedOnce) {
    for (std::uint64_t ticket = 0; ticket < 10; ++ticket) {
        EXPECT_TRUE(passwords_.check(ticket, claim("wrong")));
    }
    wait_for(10);
    EXPECT_EQ(passwords_.computed(), 1U);
}

TEST_F(PasswordsTest, ClientsTakeTurnsAndNoneFillsTheQueue) {
    hash_ = hash_of("secret", 9);
    std::uint64_t accepted = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        accepted += passwords_.check(i, claim("wrong" + std::to_string(i), "attacker")) ? 1 : 0;
    }
    EXPECT_LT(accepted, 1000U) << "the rest was refused at once";
    EXPECT_GE(accepted, Passwords::most_of_a_client);
    EXPECT_TRUE(passwords_.check(5000, claim("secret", "scraper")));
    EXPECT_TRUE(wait_for(accepted + 1).at(5000));
    const auto place = std::ranges::find(order_, std::uint64_t{5000}) - order_.begin();
    EXPECT_LT(place, static_cast<std::ptrdiff_t>(accepted)) << "not behind all of them";
}

TEST_F(PasswordsTest, WrongOnesPushNoGoodOneOutOfMemory) {
    EXPECT_TRUE(passwords_.check(0, claim("secret")));
    wait_for(1);
    for (std::uint64_t i = 1; i <= 220; ++i) {
        EXPECT_TRUE(passwords_.check(i, claim("wrong" + std::to_string(i))));
        wait_for(1);
    }
    EXPECT_EQ(passwords_.remembered(claim("secret")), true);
    EXPECT_EQ(passwords_.remembered(claim("wrong1")), std::nullopt) << "the memory has a bound";
}

TEST_F(PasswordsTest, EndsWithSomeWaiting) {
    hash_ = hash_of("secret", 9);
    for (std::uint64_t i = 0; i < 10; ++i) {
        EXPECT_TRUE(passwords_.check(i, claim("wrong" + std::to_string(i))));
    }
}

}  // namespace
}  // namespace upstat::publish
