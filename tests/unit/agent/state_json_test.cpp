// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "agent/saved.hpp"

namespace upstat::agent {
namespace {

using nlohmann::json;

Time at(int seconds) {
    return Time(std::chrono::seconds(seconds));
}

TEST(Saved, AHistoryComesBackFromItsText) {
    measure::History history;
    history.polls = {at(1), at(6)};
    history.backends["a@file"] = {
        .sampled = {false, true},
        .series = {{{.code = 404, .method = poll::Method::post, .protocol = attribute::Protocol::websocket},
                    {std::numeric_limits<double>::quiet_NaN(), 7}}}};
    const auto back = history_from(json::parse(json_text(history)));
    EXPECT_EQ(back.polls, history.polls);
    ASSERT_EQ(back.backends.size(), 1U);
    const auto& backend = back.backends.at("a@file");
    EXPECT_EQ(backend.sampled, (std::vector<bool>{false, true}));
    const auto& totals =
        backend.series.at({.code = 404, .method = poll::Method::post, .protocol = attribute::Protocol::websocket});
    EXPECT_TRUE(std::isnan(totals.at(0)));
    EXPECT_EQ(totals.at(1), 7);
}

TEST(Saved, AlertsComeBackFromTheirText) {
    const std::vector<judge::Alert> alerts{{.rule = "R",
                                            .backend = "b",
                                            .state = judge::State::firing,
                                            .percent = std::nullopt,
                                            .active_since = at(5),
                                            .firing_since = at(65),
                                            .resolved_at = std::nullopt}};
    EXPECT_EQ(alerts_from(json::parse(to_json(alerts).dump())), alerts);
}

TEST(Saved, AnythingElseThrowsWhatTheAgentCatches) {
    for (const auto* const text : {"{}", "[]", "5", R"({"polls": ["x"], "backends": {}})"}) {
        EXPECT_THROW(history_from(json::parse(text)), json::exception) << text;
    }
    EXPECT_THROW(alerts_from(json::parse(R"([{"rule": 5}])")), json::exception);
}

}  // namespace
}  // namespace upstat::agent
