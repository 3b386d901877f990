// SPDX-License-Identifier: Apache-2.0
#include "attribute/state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attribute/fake_host.hpp"
#include "attribute/url.hpp"

namespace upstat {
namespace {

using testing::HasSubstr;

const std::string window = R"({"samples":[1,2]})";

Time at(std::int64_t seconds) {
    return Time(std::chrono::seconds(seconds));
}

Catalogue catalogue() {
    Catalogue one;
    one.backends["shop@file"] = {.provider = "file",
                                 .listed = {listed_at("http://10.0.0.1:80"), listed_at("http://[::1]:80", false)}};
    return one;
}

SharedCatalogue shared(Catalogue one) {
    return std::make_shared<const Catalogue>(std::move(one));
}

Snapshot snapshot(std::uint64_t count) {
    Snapshot one;
    one.at = at(100);
    ServerTotals totals{.requests = count,
                        .connects = 1,
                        .answers = {{{.code = 200, .method = Method::get}, count}},
                        .unanswered = {{"reset", 0}},
                        .unread = {{"tls", 2}},
                        .connect_failures = {{"refused", 3}}};
    one.servers = {{parse_server("10.0.0.1:80").value(), totals}, {parse_server("10.0.0.9:80").value(), totals}};
    return one;
}

/// With something in every member: known and unknown servers, folded and unclaimed counts.
Ledger used() {
    Ledger ledger;
    auto early = snapshot(5);
    ledger.absorb(early, shared(catalogue()));
    early.at += std::chrono::minutes(2);
    ledger.absorb(early, shared(catalogue()));
    return ledger;
}

class State : public testing::Test {
  protected:
    void save(const std::string& epoch = "boot-1") {
        const auto saved = save_state(directory_.path() / "state", epoch, used(), window, {"firing"});
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
    EXPECT_EQ(now.note, "");
    EXPECT_EQ(now.saved.ledger, used());
    EXPECT_EQ(*now.saved.ledger.catalogue(), catalogue());
    EXPECT_EQ(now.saved.window, nlohmann::json::parse(window));
    EXPECT_EQ(now.saved.alerts, nlohmann::json({"firing"}));
    EXPECT_FALSE(std::filesystem::exists(directory_.path() / "state/state.json.new"));
}

// --- the lines of single polls ---

class StateLines : public State {
  protected:
    StateLines() {
        early_.at = at(300);
        ledger_ = used();
        EXPECT_TRUE(lines_.save(ledger_, window, {"firing"}));
    }
    /// One more poll, in which the servers have `count` answers.
    Result<bool> poll(std::uint64_t count, const nlohmann::json& alerts = {"pending"}) {
        auto now = snapshot(count);
        now.at = early_.at += std::chrono::seconds(5);
        const auto record = ledger_.record(now, *ledger_.catalogue());
        EXPECT_TRUE(record);
        counts_.push_back(ledger_.absorb(now, ledger_.catalogue()));
        return lines_.append(*record, alerts);
    }
    void expect_all_back() const {
        const auto now = restored();
        EXPECT_EQ(now.note, "");
        EXPECT_EQ(now.saved.ledger, ledger_);
        EXPECT_EQ(now.saved.window, nlohmann::json::parse(window));
        ASSERT_EQ(now.saved.since.size(), counts_.size());
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            EXPECT_EQ(now.saved.since[i].at, counts_[i].at);
            EXPECT_EQ(now.saved.since[i].backends, counts_[i].backends);
        }
    }

    Snapshot early_;
    Ledger ledger_;
    std::vector<Counts> counts_;
    StateFile lines_{directory_.path() / "state", "boot-1"};
};

TEST_F(StateLines, ComeBack) {
    EXPECT_TRUE(poll(6).value());
    EXPECT_TRUE(poll(9, {"firing"}).value());
    expect_all_back();
    EXPECT_EQ(restored().saved.alerts, nlohmann::json({"firing"}));
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
        ASSERT_EQ(now.note, "") << length;
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
    EXPECT_THAT(now.note, HasSubstr("a poll in the saved state is broken"));
    EXPECT_EQ(now.saved.ledger, before);
    EXPECT_TRUE(now.saved.since.empty());
}

TEST_F(StateLines, OfAnotherEpochCountToo) {
    EXPECT_TRUE(poll(9).value());
    auto now = restored("boot-2");
    EXPECT_THAT(now.note, HasSubstr("made anew"));
    const auto counts = now.saved.ledger.absorb(snapshot(2), shared(catalogue()));
    EXPECT_EQ(counts.backends.at("shop@file").at({.code = 200, .method = Method::get, .protocol = Protocol::http}),
              11U);
}

TEST_F(StateLines, AreOnlyAppendedToWhatIsThere) {
    EXPECT_FALSE(StateFile(directory_.path() / "state", "boot-1").append("", {}).value()) << "it has not saved all yet";
    std::filesystem::remove(file());
    EXPECT_FALSE(poll(6).value());
    EXPECT_FALSE(std::filesystem::exists(file()));
    EXPECT_TRUE(lines_.save(ledger_, {}, {}));
    std::ofstream(file(), std::ios::app) << "more";
    EXPECT_FALSE(poll(7).value());
}

TEST_F(StateLines, OutgrowWhatTheyAreAppendedTo) {
    const nlohmann::json long_alerts = std::string(300'000, 'x');
    int appended = 0;
    while (poll(6 + appended, long_alerts).value()) {
        ASSERT_LT(++appended, 10);
    }
    EXPECT_GT(appended, 1);
    EXPECT_TRUE(lines_.save(ledger_, {}, {}));
    EXPECT_TRUE(poll(100).value());
}

TEST(Ledger, CountsOfAnyLengthAreWrittenAsTheyAre) {
    const auto known = shared(catalogue());
    for (const std::uint64_t count : {0UL, 9UL, 10UL, 99UL, 100UL, 999UL, 1000UL, ~0UL}) {
        Ledger ledger;
        ledger.absorb(snapshot(0), known);
        auto told = ledger;
        const auto record = ledger.record(snapshot(count), *known);
        ledger.absorb(snapshot(count), known);
        told.absorb_record(nlohmann::json::parse("{" + record.value() + "}"));
        EXPECT_EQ(told, ledger) << count;
        std::string text;
        ledger.append_json(text);
        EXPECT_EQ(Ledger::from_json(nlohmann::json::parse(text)).value(), ledger) << count;
    }
}

TEST(Ledger, TakesEveryCodeThatTheKernelCountsAndNoOther) {
    Ledger ledger;
    ledger.absorb(snapshot(1), shared(catalogue()));
    std::string text;
    ledger.append_json(text);
    ASSERT_TRUE(text.contains("[200,"));
    for (const auto* const code : {"600", "999", "1000"}) {
        auto other = text;
        for (auto at = other.find("[200,"); at != std::string::npos; at = other.find("[200,", at)) {
            other.replace(at + 1, 3, code);
        }
        EXPECT_EQ(Ledger::from_json(nlohmann::json::parse(other)).has_value(), std::string(code) != "1000") << code;
    }
}

TEST_F(State, IncrementsGoOnFromTheSavedTotals) {
    save();
    auto ledger = restored().saved.ledger;
    const auto counts = ledger.absorb(snapshot(8), shared(catalogue()));
    EXPECT_EQ(counts.backends.at("shop@file").at({.code = 200, .method = Method::get, .protocol = Protocol::http}), 8U);
}

TEST_F(State, OfAnotherEpochKeepsCountersAndTakesTheNewMapsWhole) {
    save();
    auto now = restored("boot-2");
    EXPECT_THAT(now.note, HasSubstr("made anew"));
    EXPECT_EQ(now.saved.window, nlohmann::json::parse(window));
    const auto counts = now.saved.ledger.absorb(snapshot(8), shared(catalogue()));
    EXPECT_EQ(counts.backends.at("shop@file").at({.code = 200, .method = Method::get, .protocol = Protocol::http}),
              13U);
}

TEST_F(State, LostIsAResetAndSaid) {
    EXPECT_EQ(restored().note, "counters start anew: " + file().string() + " does not exist");
    EXPECT_EQ(restored().saved.ledger, Ledger{});
}

TEST_F(State, AnyTruncationIsAResetAndSaid) {
    save();
    const auto whole = text();
    for (std::size_t length = 0; length < whole.size(); ++length) {
        write(whole.substr(0, length));
        const auto now = restored();
        ASSERT_THAT(now.note, HasSubstr("is broken: it is not whole JSON")) << length;
        ASSERT_EQ(now.saved.ledger, Ledger{});
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
            if (!now.note.contains("counters start anew")) {
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
    EXPECT_THAT(restored().note, HasSubstr("is broken: 'nonsense' is no server"));
    write(R"({"version":1,"epoch":"boot-1"})");
    EXPECT_THAT(restored().note, HasSubstr("is broken"));
    write(R"({"version":99})");
    EXPECT_THAT(restored().note, HasSubstr("another version"));
    write("[]");
    EXPECT_THAT(restored().note, HasSubstr("broken"));
}

TEST_F(State, ADirectoryInItsPlaceIsAReset) {
    std::filesystem::create_directories(file());
    EXPECT_THAT(restored().note, HasSubstr("cannot be read"));
    const auto saved = save_state(directory_.path() / "state", "e", used(), window, {});
    ASSERT_FALSE(saved);
    EXPECT_THAT(saved.error().message, HasSubstr("cannot replace"));
}

TEST_F(State, APlaceThatCannotBeWrittenIsAnError) {
    std::ofstream(directory_.path() / "plain") << "x";
    const auto saved = save_state(directory_.path() / "plain/state", "e", used(), window, {});
    ASSERT_FALSE(saved);
    EXPECT_THAT(saved.error().message, HasSubstr("the state is not saved"));
    EXPECT_THAT(saved.error().hint, HasSubstr("--state.path"));
}

TEST_F(State, AHalfWrittenSaveLeavesTheOldOne) {
    save();
    std::ofstream(directory_.path() / "state/state.json.new") << "{\"version\":1,";  // the power failed here
    EXPECT_EQ(restored().note, "");
    save();
    EXPECT_EQ(restored().saved.ledger, used());
}

TEST_F(State, ANameThatIsNoUtf8IsNoReasonToLoseTheOthers) {
    Ledger ledger;
    auto odd = catalogue();
    odd.backends["\xff"] = {};
    ledger.absorb(snapshot(3), shared(odd));
    ASSERT_TRUE(save_state(directory_.path() / "state", "e", ledger, window, {}));
    EXPECT_EQ(restored("e").note, "");
    EXPECT_TRUE(restored("e").saved.ledger.catalogue()->backends.contains("shop@file"));
}

}  // namespace
}  // namespace upstat
