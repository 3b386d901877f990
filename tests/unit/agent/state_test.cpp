// SPDX-License-Identifier: Apache-2.0
#include "agent/state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/temporary_directory.hpp"

namespace upstat::agent {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const measure::History window{.polls = {Time(std::chrono::seconds(90)), Time(std::chrono::seconds(95))},
                              .backends = {}};
const std::vector<judge::Alert> firing{{.rule = "R", .backend = "b", .state = judge::State::firing}};
const std::vector<judge::Alert> pending{{.rule = "R", .backend = "b", .state = judge::State::pending}};

Time at(std::int64_t seconds) {
    return Time(std::chrono::seconds(seconds));
}

/// The wall clock is an hour behind.
Wall wall(Time at) {
    return Wall(at.time_since_epoch() - std::chrono::hours(1));
}

const programs::ZoneNames zones{{0, "/system.slice/traefik.service"}, {7, "/a \"b\""}};
const Timeline::Mark mark{
    .boot = "abc", .ahead = std::chrono::seconds(-7), .last = {.at = at(5000), .wall = wall(at(5000))}};

attribute::Catalogue catalogue() {
    attribute::Catalogue one;
    one.backends["shop@file"] = {
        .provider = "file",
        .listed = {attribute::listed_at("http://10.0.0.1:80"), attribute::listed_at("http://[::1]:80", false)}};
    return one;
}

attribute::SharedCatalogue shared(attribute::Catalogue one) {
    return std::make_shared<const attribute::Catalogue>(std::move(one));
}

poll::Snapshot snapshot(std::uint64_t count) {
    poll::Snapshot one;
    one.at = at(100);
    poll::ServerTotals totals{.requests = count,
                              .connects = 1,
                              .responses = {{{.code = 200, .method = poll::Method::get}, count}},
                              .unanswered = {{"reset", 0}},
                              .unread = {{"tls", 2}},
                              .connect_failures = {{"refused", 3}}};
    one.servers = {{poll::parse_server("10.0.0.1:80").value(), totals},
                   {poll::parse_server("10.0.0.9:80").value(), totals}};
    return one;
}

/// With something in every member: known and unknown servers, folded and unclaimed counts.
attribute::Ledger used() {
    attribute::Ledger ledger;
    auto early = snapshot(5);
    ledger.absorb(early, shared(catalogue()));
    early.at += std::chrono::minutes(2);
    ledger.absorb(early, shared(catalogue()));
    return ledger;
}

class State : public testing::Test {
  protected:
    void save(const std::string& epoch = "boot-1") {
        StateFile file(directory_.path() / "state", epoch);
        const auto saved = file.save(used().state(), window, firing, mark, zones);
        ASSERT_TRUE(saved) << saved.error().text();
    }
    [[nodiscard]] Restored restored(const std::string& epoch = "boot-1") const {
        return restore_state(directory_.path() / "state", epoch);
    }
    [[nodiscard]] std::filesystem::path file() const { return directory_.path() / "state/state.json"; }
    [[nodiscard]] std::string text() const {
        std::ifstream in(file(), std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void write(const std::string& text) const { std::ofstream(file(), std::ios::binary) << text; }

    TemporaryDirectory directory_;
};

TEST_F(State, ComesBackAsItWas) {
    save();
    const auto now = restored();
    EXPECT_THAT(now.notes, IsEmpty());
    EXPECT_EQ(now.saved.ledger, used());
    EXPECT_EQ(*now.saved.ledger.state().catalogue, catalogue());
    EXPECT_EQ(now.saved.window.value().polls, window.polls);
    EXPECT_EQ(now.saved.alerts, firing);
    EXPECT_FALSE(std::filesystem::exists(directory_.path() / "state/state.json.new"));
}

void expect_equal(const std::optional<Timeline::Mark>& one, const Timeline::Mark& other) {
    ASSERT_TRUE(one);
    EXPECT_EQ(one->boot, other.boot);
    EXPECT_EQ(one->ahead, other.ahead);
    EXPECT_EQ(one->last, other.last);
}

TEST_F(State, KnowsWhereTheAgentsOwnTimeStood) {
    save();
    expect_equal(restored().saved.mark, mark);
    EXPECT_EQ(restored().saved.zones, zones);
}

TEST_F(State, OfBefore03HasTheTimesOfTheWallClock) {
    save();
    auto old = nlohmann::json::parse(text());
    old.erase("clock");
    old["alerts"] = {{{"rule", "R"},
                      {"backend", "b"},
                      {"state", 1},
                      {"active_since", 94'000},
                      {"firing_since", nullptr},
                      {"resolved_at", nullptr}}};
    write(old.dump());
    const auto now = restored();
    EXPECT_THAT(now.notes, IsEmpty());
    expect_equal(now.saved.mark, {.boot = "", .ahead = {}, .last = {.at = at(95), .wall = Wall(95s)}});
    EXPECT_EQ(now.saved.alerts.at(0).active_since, (Moment{.at = at(94), .wall = Wall(94s)}));
}

TEST_F(State, ATimeThatIsNoneIsNotCountedWith) {
    save();
    for (const auto& wrong : {nlohmann::json(-1), nlohmann::json(INT64_MAX), nlohmann::json(1e300)}) {
        auto broken = nlohmann::json::parse(text());
        broken["window"]["polls"][0] = wrong;
        write(broken.dump());
        EXPECT_THAT(restored().notes, Contains(HasSubstr("the saved window is damaged"))) << wrong;
    }
}

// --- the lines of single polls ---

class StateLines : public State {
  protected:
    StateLines() {
        early_.at = at(5000);
        ledger_ = used();
        EXPECT_TRUE(lines_.save(ledger_.state(), window, firing, mark, zones));
    }
    /// One more poll, in which the servers have `count` answers.
    Result<bool> poll(std::uint64_t count, const std::vector<judge::Alert>& alerts = pending) {
        auto now = snapshot(count);
        now.at = early_.at += std::chrono::seconds(5);
        const auto growth = ledger_.growth(now, *ledger_.state().catalogue);
        EXPECT_TRUE(growth);
        counts_.push_back(ledger_.absorb(now, ledger_.state().catalogue));
        return lines_.append(*growth, alerts, wall(now.at), zones);
    }
    void expect_all_back() const {
        const auto now = restored();
        EXPECT_THAT(now.notes, IsEmpty());
        EXPECT_EQ(now.saved.ledger, ledger_);
        EXPECT_EQ(now.saved.window.value().polls, window.polls);
        ASSERT_EQ(now.saved.since.size(), counts_.size());
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            EXPECT_EQ(now.saved.since[i].at, counts_[i].at);
            EXPECT_EQ(now.saved.since[i].backends, counts_[i].backends);
        }
    }

    poll::Snapshot early_;
    attribute::Ledger ledger_;
    std::vector<attribute::Counts> counts_;
    StateFile lines_{directory_.path() / "state", "boot-1"};
};

TEST_F(StateLines, ComeBack) {
    EXPECT_TRUE(poll(6).value());
    EXPECT_TRUE(poll(9, firing).value());
    expect_all_back();
    EXPECT_EQ(restored().saved.alerts, firing);
    const auto last = counts_.back().at;
    expect_equal(restored().saved.mark,
                 {.boot = mark.boot, .ahead = mark.ahead, .last = {.at = last, .wall = wall(last)}});
}

TEST_F(StateLines, OneThatIsCutShortWasToldToNobody) {
    EXPECT_TRUE(poll(6).value());
    const auto one = text();
    const auto before = ledger_;
    EXPECT_TRUE(poll(9).value());
    const auto both = text();
    for (auto length = one.size(); length < both.size(); ++length) {
        write(both.substr(0, length));
        const auto now = restored();
        ASSERT_THAT(now.notes, IsEmpty()) << length;
        ASSERT_EQ(now.saved.ledger, before) << length;
        ASSERT_EQ(now.saved.since.size(), 1U);
    }
    write(one + std::string(100, '\0'));
    EXPECT_EQ(restored().saved.ledger, before);
}

TEST_F(StateLines, ABrokenOneEndsThemAndIsSaid) {
    const auto whole = text();
    const auto before = ledger_;
    EXPECT_TRUE(poll(6).value());
    EXPECT_TRUE(poll(9).value());
    auto broken = text();
    broken[whole.size() + 5] = '}';
    write(broken);
    const auto now = restored();
    EXPECT_THAT(now.notes, Contains(HasSubstr("a poll in the saved state is broken")));
    EXPECT_EQ(now.saved.ledger, before);
    EXPECT_TRUE(now.saved.since.empty());
}

TEST_F(StateLines, OfAnotherEpochCountToo) {
    EXPECT_TRUE(poll(9).value());
    auto now = restored("boot-2");
    EXPECT_THAT(now.notes, Contains(HasSubstr("made anew")));
    const auto counts = now.saved.ledger.absorb(snapshot(2), shared(catalogue()));
    EXPECT_EQ(counts.backends.at("shop@file")
                  .at({.code = 200, .method = poll::Method::get, .protocol = attribute::Protocol::http}),
              11U);
}

TEST_F(StateLines, AreOnlyAppendedToWhatIsThere) {
    EXPECT_FALSE(StateFile(directory_.path() / "state", "boot-1").append({}, {}, {}, {}).value())
        << "it has not saved all yet";
    std::filesystem::remove(file());
    EXPECT_FALSE(poll(6).value());
    EXPECT_FALSE(std::filesystem::exists(file()));
    EXPECT_TRUE(lines_.save(ledger_.state(), {}, {}, mark, zones));
    std::ofstream(file(), std::ios::app) << "more";
    EXPECT_FALSE(poll(7).value());
}

TEST_F(StateLines, OutgrowWhatTheyAreAppendedTo) {
    const std::vector<judge::Alert> long_alerts{{.rule = std::string(300'000, 'x'), .backend = "b"}};
    int appended = 0;
    while (poll(6 + appended, long_alerts).value()) {
        ASSERT_LT(++appended, 10);
    }
    EXPECT_GT(appended, 1);
    EXPECT_TRUE(lines_.save(ledger_.state(), {}, {}, mark, zones));
    EXPECT_TRUE(poll(100).value());
}

TEST_F(State, IncrementsGoOnFromTheSavedTotals) {
    save();
    auto ledger = restored().saved.ledger;
    const auto counts = ledger.absorb(snapshot(8), shared(catalogue()));
    EXPECT_EQ(counts.backends.at("shop@file")
                  .at({.code = 200, .method = poll::Method::get, .protocol = attribute::Protocol::http}),
              8U);
}

TEST_F(State, OfAnotherEpochKeepsCountersAndTakesTheNewMapsWhole) {
    save();
    auto now = restored("boot-2");
    EXPECT_THAT(now.notes, Contains(HasSubstr("made anew")));
    EXPECT_EQ(now.saved.window.value().polls, window.polls);
    const auto counts = now.saved.ledger.absorb(snapshot(8), shared(catalogue()));
    EXPECT_EQ(counts.backends.at("shop@file")
                  .at({.code = 200, .method = poll::Method::get, .protocol = attribute::Protocol::http}),
              13U);
}

TEST_F(State, LostIsAResetAndSaid) {
    EXPECT_THAT(restored().notes, ElementsAre("counters start anew: " + file().string() + " does not exist"));
    EXPECT_EQ(restored().saved.ledger, attribute::Ledger{});
}

TEST_F(State, AnyTruncationIsAResetAndSaid) {
    save();
    const auto whole = text();
    for (std::size_t length = 0; length < whole.size(); ++length) {
        write(whole.substr(0, length));
        const auto now = restored();
        ASSERT_THAT(now.notes, Contains(HasSubstr("is broken: it is not whole JSON"))) << length;
        ASSERT_EQ(now.saved.ledger, attribute::Ledger{});
    }
}

TEST_F(State, AnyWrongTypeIsAResetOrHarmless) {
    save();
    const auto whole = nlohmann::json::parse(text());
    const auto flat = whole.flatten();
    for (const auto& [pointer, value] : flat.items()) {
        for (const auto& wrong :
             {nlohmann::json(-1), nlohmann::json("x"), nlohmann::json(1e9), nlohmann::json::object()}) {
            auto broken = whole;
            broken[nlohmann::json::json_pointer(pointer)] = wrong;
            write(broken.dump());
            const auto now = restored();  // the sanitizers watch
            if (now.notes.empty() || !now.notes.front().contains("counters start anew")) {
                EXPECT_FALSE(pointer.starts_with("/version")) << pointer << wrong;
            }
        }
    }
}

TEST_F(State, WhatIsWrongInTheLedgerIsNamed) {
    save();
    auto broken = nlohmann::json::parse(text());
    broken["ledger"]["owners"]["nonsense"] = {"a"};
    write(broken.dump());
    EXPECT_THAT(restored().notes, Contains(HasSubstr("is broken: 'nonsense' is no server")));
    write(R"({"version":1,"epoch":"boot-1"})");
    EXPECT_THAT(restored().notes, Contains(HasSubstr("is broken")));
    write(R"({"version":99})");
    EXPECT_THAT(restored().notes, Contains(HasSubstr("another version")));
    write("[]");
    EXPECT_THAT(restored().notes, Contains(HasSubstr("broken")));
}

TEST_F(State, ADirectoryInItsPlaceIsAReset) {
    std::filesystem::create_directories(file());
    EXPECT_THAT(restored().notes, Contains(HasSubstr("cannot be read")));
    const auto saved = StateFile(directory_.path() / "state", "e").save(used().state(), window, {}, mark, zones);
    ASSERT_FALSE(saved);
    EXPECT_THAT(saved.error().message, HasSubstr("cannot replace"));
}

TEST_F(State, APlaceThatCannotBeWrittenIsAnError) {
    std::ofstream(directory_.path() / "plain") << "x";
    const auto saved = StateFile(directory_.path() / "plain/state", "e").save(used().state(), window, {}, mark, zones);
    ASSERT_FALSE(saved);
    EXPECT_THAT(saved.error().message, HasSubstr("the state is not saved"));
    EXPECT_THAT(saved.error().hint, HasSubstr("--state.path"));
}

TEST_F(State, AHalfWrittenSaveLeavesTheOldOne) {
    save();
    std::ofstream(directory_.path() / "state/state.json.new") << "{\"version\":1,";  // the power failed here
    EXPECT_THAT(restored().notes, IsEmpty());
    save();
    EXPECT_EQ(restored().saved.ledger, used());
}

TEST_F(State, ANameThatIsNoUtf8IsNoReasonToLoseTheOthers) {
    attribute::Ledger ledger;
    auto odd = catalogue();
    odd.backends["\xff"] = {};
    ledger.absorb(snapshot(3), shared(odd));
    ASSERT_TRUE(StateFile(directory_.path() / "state", "e").save(ledger.state(), window, {}, mark, zones));
    EXPECT_THAT(restored("e").notes, IsEmpty());
    EXPECT_TRUE(restored("e").saved.ledger.state().catalogue->backends.contains("shop@file"));
}

}  // namespace
}  // namespace upstat::agent
