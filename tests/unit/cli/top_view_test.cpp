// SPDX-License-Identifier: Apache-2.0
#include "cli/top_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <clocale>

namespace upstat::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

json backend(const std::string& state, const std::vector<std::string>& servers) {
    return {{"ratio", 0.1},
            {"rate", 1},
            {"requests", 10},
            {"provider", "file"},
            {"outage", ""},
            {"alerts", {{"A", {{"state", state}, {"ratio", 0.1}}}}},
            {"listed", json::array({{{"url", "http://x"}, {"up", true}, {"servers", servers}}})}};
}

json server(std::uint64_t bad) {
    return {{"requests", 10},
            {"connects", 3},
            {"outstanding", 1},
            {"codes", {{"404", bad}}},
            {"methods", {{"GET", bad}}},
            {"window", {{"seconds", 10}, {"codes", {{"404", bad}, {"200", 1}}}}},
            {"unanswered", {{"reset", 2}}},
            {"unread", json::object()},
            {"connect_failures", json::object()}};
}

/// Three backends: one fires, one is quiet and busy, one has a name that means harm.
TopData data() {
    TopData data;
    data.backends = {{"at", "noon"},
                     {"backends",
                      {{"shop@file", backend("firing", {"10.0.0.1:80", "10.0.0.2:80"})},
                       {"busy@file", backend("inactive", {})},
                       {"e\x1b[2Jvil", backend("inactive", {})}}},
                     {"servers", {{"10.0.0.1:80", server(0)}, {"10.0.0.2:80", server(7)}}}};
    data.history = {
        {"at", "noon"},
        {"columns", {{"begin", {0, 5}}, {"end", {5, 10}}}},
        {"backends", {{"shop@file", {{"2xx", {9, 5}}, {"4xx", {1, 5}}}}, {"busy@file", {{"2xx", {500, 500}}}}}}};
    data.alerts = {{"at", "noon"},
                   {"rules", json::array({{{"window_seconds", 180}}})},
                   {"alerts", json::array({{{"alert", "A"},
                                            {"backend", "shop@file"},
                                            {"state", "firing"},
                                            {"explanation", "shop@file: 1 of 2 servers is bad"}}})}};
    return data;
}

std::vector<std::string> texts(const std::vector<TopLine>& screen) {
    std::vector<std::string> lines;
    for (const auto& line : screen) {
        lines.push_back(line.text);
    }
    return lines;
}

class TopView : public testing::Test {
  protected:
    void SetUp() override { ASSERT_NE(std::setlocale(LC_ALL, "C.UTF-8"), nullptr); }
    void TearDown() override { std::setlocale(LC_ALL, "C"); }
    std::vector<std::string> screen(TopSize size = {}) { return texts(top_screen(data_, state_, size)); }
    bool press(TopKey key, const std::string& letter = {}) { return take_key(data_, state_, key, letter); }

    TopData data_ = data();
    TopState state_;
};

TEST_F(TopView, TheWorstIsFirstAndSaysSoWithoutColour) {
    const auto lines = screen();
    ASSERT_EQ(lines.size(), 24U);
    EXPECT_THAT(lines[2], StartsWith("shop@file"));
    EXPECT_THAT(lines[2], HasSubstr("2.0   30.0 %    0.0 % FIRING"));
    EXPECT_THAT(lines[2], testing::EndsWith("▁█"));
    EXPECT_THAT(lines[3], StartsWith("busy@file"));
    EXPECT_THAT(lines[4], StartsWith("e\\x1b[2Jvil"));
}

TEST_F(TopView, FitsEverySize) {
    for (std::size_t rows = 1; rows < 60; rows += 7) {
        for (std::size_t columns = 1; columns < 200; columns += 13) {
            const auto lines = screen({.rows = rows, .columns = columns, .unicode = false});
            EXPECT_EQ(lines.size(), rows);
            for (const auto& line : lines) {
                EXPECT_LE(line.size(), columns);
            }
        }
    }
}

TEST_F(TopView, AServerHasItsConnections) {
    auto seen = data();
    TopState state{.backend = "shop@file", .server = "10.0.0.2:80"};
    seen.sockets = {{"problem", ""},
                    {"total", 1},
                    {"states", {{"wai\x1bting", 1}}},
                    {"sockets", json::array({{{"local_port", 40312},
                                              {"state", "wai\x1bting"},
                                              {"seconds", 1.26},
                                              {"age_seconds", 60},
                                              {"joined", false},
                                              {"responses", {{"2xx", 5}, {"3xx", 0}, {"4xx", 7}, {"5xx", 0}}}}})}};
    const auto with = [&](const std::string& server) {
        seen.sockets_server = server;
        return texts(top_screen(seen, state, {}));
    };
    EXPECT_THAT(with("10.0.0.2:80"), testing::Contains(StartsWith("1 connection: 1 wai\\x1bting")));
    EXPECT_THAT(with("10.0.0.2:80"), testing::Contains(StartsWith("40312  wai\\x1bting 1.3s")));
    EXPECT_THAT(with("10.0.0.1:80"), testing::Not(testing::Contains(HasSubstr("40312")))) << "another one's";
    seen.sockets["problem"] = "this kernel\x1b does not";
    EXPECT_THAT(with("10.0.0.2:80"), testing::Contains(StartsWith("this kernel\\x1b does not")));
}

TEST_F(TopView, OpensABackendThenAServerAndGoesBack) {
    press(TopKey::open);
    EXPECT_EQ(screen()[1], "shop@file: 1 of 2 servers is bad");
    EXPECT_THAT(screen()[3], StartsWith("10.0.0.2:80"));
    EXPECT_THAT(screen()[3], HasSubstr("404:7"));
    press(TopKey::down);
    press(TopKey::open);
    EXPECT_EQ(state_.server, "10.0.0.1:80");
    EXPECT_THAT(screen(), testing::Contains(StartsWith("methods")));
    EXPECT_THAT(screen(), testing::Contains(testing::ContainsRegex("^unanswered +reset:2$")));
    press(TopKey::back);
    press(TopKey::back);
    EXPECT_TRUE(state_.backend.empty());
    EXPECT_FALSE(press(TopKey::quit));
}

TEST_F(TopView, SortsAndFilters) {
    press(TopKey::sort);
    EXPECT_THAT(screen()[2], StartsWith("busy@file"));
    press(TopKey::filter);
    press(TopKey::text, "o");
    press(TopKey::text, "q");
    press(TopKey::erase);
    EXPECT_THAT(screen()[2], StartsWith("shop@file"));
    EXPECT_EQ(screen()[3], "");
    press(TopKey::open);
    EXPECT_EQ(state_.filter, "o");
    press(TopKey::back);
    EXPECT_EQ(state_.filter, "");
}

TEST_F(TopView, ABackendThatIsGoneLeavesAnEmptyTable) {
    press(TopKey::open);
    data_.backends["backends"].erase("shop@file");
    EXPECT_EQ(screen()[3], "");
    press(TopKey::open);
    EXPECT_EQ(state_.server, "");
}

TEST_F(TopView, SaysThatItIsStale) {
    data_.problem = "no agent answers\x1b";
    EXPECT_THAT(screen()[0], HasSubstr("STALE: no agent answers\\x1b"));
}

TEST_F(TopView, WideCharactersTakeTwoColumns) {
    EXPECT_EQ(clipped("日本語", 5), "日本");
    EXPECT_EQ(padded("日本語", 5), "日本 ");
    EXPECT_EQ(clipped("a\xff\x62", 5), "a?b");
    EXPECT_EQ(padded("é", 3), "é  ");
}

}  // namespace
}  // namespace upstat::cli
