// SPDX-License-Identifier: Apache-2.0
#include "history/history.hpp"

#include <gtest/gtest.h>

#include <random>

#include "history/read.hpp"

namespace upstat::history {
namespace {

using attribute::SeriesCounts;

Moment at(std::int64_t seconds) {
    return {.at = Time(std::chrono::seconds(seconds)), .wall = Wall(std::chrono::seconds(seconds))};
}

poll::Server server(int number) {
    return *poll::parse_server("10.0." + std::to_string(number / 250) + "." + std::to_string(number % 250 + 1) + ":80");
}

/// Totals that a test makes grow.
struct Host {
    std::map<attribute::BackendName, SeriesCounts> backends;
    poll::Servers servers;

    void respond(int number, std::uint16_t code, std::uint64_t count,
                 const attribute::BackendName& backend = "app@file") {
        servers[server(number)].responses[{code, poll::Method::get}] += count;
        servers[server(number)].requests += count;
        backends[backend][{code, poll::Method::get, attribute::Protocol::http}] += count;
    }
};

Amounts sum_over(const View& view, const Subject& subject) {
    const auto sum_in = [](const auto& all, const auto& key) {
        const auto found = all.find(key);
        return found == all.end() ? Amounts{} : found->second;
    };
    return subject.is_backend ? sum_in(backend_sums(view), attribute::BackendName(subject.name, subject.zone))
                              : sum_in(server_sums(view), server_of(subject).value());
}

const Subject app{.is_backend = true, .name = "app@file"};

TEST(History, HasWhatGrewSinceTheFirstPollByClassAndReason) {
    History history;
    Host host;
    host.respond(1, 200, 1000);
    history.add(at(100), host.backends, host.servers);
    host.respond(1, 200, 7);
    host.respond(1, 404, 3);
    host.servers[server(1)].unanswered["reset"] = 2;
    host.servers[server(1)].connect_failures["refused"] = 4;
    host.servers[server(1)].connects = 5;
    history.add(at(105), host.backends, host.servers);

    const auto view = history.view();
    ASSERT_EQ(view.columns.size(), 1U);
    EXPECT_EQ(view.columns[0]->begin, at(100).at);
    EXPECT_EQ(view.columns[0]->end, at(105).at);
    const auto one = sum_over(view, {.is_backend = false, .name = "10.0.0.2:80"});
    EXPECT_EQ(class_of(one, 2), 7U);
    EXPECT_EQ(class_of(one, 4), 3U);
    EXPECT_EQ(one.at(*field_of("unanswered.reset")), 2U);
    EXPECT_EQ(one.at(*field_of("connect_failures.refused")), 4U);
    EXPECT_EQ(connects_in(one), 5U);
    const auto backend = sum_over(view, app);
    EXPECT_EQ(responses_in(backend), 10U);
}

TEST(History, AServerThatComesLaterCountsFromZero) {
    History history;
    Host host;
    history.add(at(100), host.backends, host.servers);
    host.respond(1, 500, 9);
    history.add(at(105), host.backends, host.servers);
    EXPECT_EQ(class_of(sum_over(history.view(), app), 5), 9U);
}

TEST(History, TotalsThatWentBackBeganAnew) {
    History history;
    Host host;
    host.respond(1, 200, 100);
    history.add(at(100), host.backends, host.servers);
    host.servers.clear();
    host.respond(1, 200, 4);
    history.add(at(105), host.backends, host.servers);
    EXPECT_EQ(class_of(sum_over(history.view(), {.is_backend = false, .name = "10.0.0.2:80"}), 2), 4U);
}

TEST(History, ABackendThatWasForgottenBeganAnewAlsoWhereItHasMoreThanBefore) {
    History history;
    Host host;
    host.respond(1, 200, 4);
    history.add(at(100), host.backends, host.servers);
    history.keep({});
    host.backends.clear();
    host.respond(1, 200, 9);
    history.add(at(105), host.backends, host.servers);
    EXPECT_EQ(class_of(sum_over(history.view(), app), 2), 9U);
}

TEST(History, AfterNewMapsAllIsGrowthAlsoWhereItIsMoreThanBefore) {
    History history;
    Host host;
    host.respond(1, 200, 100);
    history.add(at(100), host.backends, host.servers);
    history.maps_made_anew();
    host.servers[server(1)].responses[{200, poll::Method::get}] = 150;
    history.add(at(105), host.backends, host.servers);
    EXPECT_EQ(class_of(sum_over(history.view(), {.is_backend = false, .name = "10.0.0.2:80"}), 2), 150U);
}

/// A day and more of random traffic: no sum is ever other than what was counted, however columns are folded.
TEST(History, NothingIsLostOrCountedTwiceWhereFineColumnsBecomeCoarse) {
    std::mt19937 random(7);
    History history;
    Host host;
    history.add(at(100'000), host.backends, host.servers);
    std::uint64_t sent = 0;
    std::int64_t now = 100'000;
    for (int poll = 0; poll < 10'000; ++poll) {
        now += 5 + static_cast<std::int64_t>(random() % 3);
        const auto count = random() % 50;
        host.respond(static_cast<int>(random() % 5), random() % 4 == 0 ? 404 : 200, count);
        sent += count;
        history.add(at(now), host.backends, host.servers);
    }
    const auto view = history.view();
    EXPECT_LT(now - 100'000, 24 * 3600);
    EXPECT_EQ(responses_in(sum_over(view, app)), sent);
    EXPECT_EQ(view.columns.front()->begin, at(100'000).at);
    for (std::size_t i = 1; i < view.columns.size(); ++i) {
        EXPECT_EQ(view.columns[i]->begin, view.columns[i - 1]->end);
    }
}

TEST(History, ResolutionFallsFromPollsToMinutesToTens) {
    History history;
    Host host;
    constexpr std::int64_t begin = 1'000'000'200;  // on a whole ten minutes
    for (std::int64_t now = begin; now <= begin + 30 * 3600; now += 5) {
        host.respond(1, 200, 1);
        history.add(at(now), host.backends, host.servers);
    }
    std::map<std::int64_t, int> lengths;
    const auto view = history.view();
    for (const auto& column : view.columns) {
        ++lengths[std::chrono::floor<std::chrono::seconds>(column->end - column->begin).count()];
    }
    EXPECT_EQ(lengths.size(), 3U);
    EXPECT_EQ(lengths[5], 120);
    EXPECT_NEAR(lengths[60], 170, 10);
    EXPECT_NEAR(lengths[600], 126, 1);
    EXPECT_LE(view.at.at - view.columns.front()->begin, std::chrono::hours(24) + std::chrono::minutes(10));
}

TEST(History, FastPollsAreBoundedByTheirNumber) {
    History history({.most_polls = 10});
    Host host;
    for (int i = 0; i < 1000; ++i) {
        host.respond(1, 200, 1);
        history.add({.at = Time(Millis(100'000 + 100 * i)), .wall = {}}, host.backends, host.servers);
    }
    EXPECT_LE(history.view().columns.size(), 13U);
    EXPECT_EQ(responses_in(sum_over(history.view(), app)), 999U);
}

std::size_t bytes_of(const View& view) {
    std::size_t bytes = view.subjects->size() * (sizeof(Subject) + 32);
    for (const auto& column : view.columns) {
        bytes += sizeof(Column) + 64 + column->backends.capacity() + column->servers.capacity();
    }
    return bytes;
}

/// README.md says so.
TEST(History, ADayOf100ServersTakesAtMost4MiB) {
    History history;
    Host host;
    // Two hours of polls each 5 s; the columns before them are of minutes and of ten minutes anyhow.
    for (std::int64_t now = 0; now <= 26 * 3600; now += now < 24 * 3600 ? 60 : 5) {
        for (int number = 0; number < 100; ++number) {
            const auto backend = "backend-" + std::to_string(number / 4) + "@file";
            host.respond(number, 200, 300, backend);
            host.respond(number, 404, 7, backend);
            host.respond(number, 500, 1, backend);
            ++host.servers[server(number)].connects;
            ++host.servers[server(number)].unanswered["reset"];
        }
        history.add(at(now), host.backends, host.servers);
    }
    EXPECT_GT(bytes_of(history.view()), std::size_t{512} << 10U);
    EXPECT_LT(bytes_of(history.view()) + 100 * 2 * sizeof(Amounts), std::size_t{4} << 20U);
    RecordProperty("bytes", static_cast<int>(bytes_of(history.view())));
}

TEST(History, WhatIsSharedStaysAsItWas) {
    History history;
    Host host;
    history.add(at(100), host.backends, host.servers);
    host.respond(1, 200, 3);
    history.add(at(105), host.backends, host.servers);
    const auto before = history.view();
    host.respond(2, 200, 5, "late@file");
    history.add(at(110), host.backends, host.servers);
    history.note({.at = at(110), .kind = "agent", .what = "x", .backend = "", .text = "x"});
    EXPECT_EQ(before.columns.size(), 1U);
    EXPECT_TRUE(before.events->empty());
    EXPECT_EQ(responses_in(sum_over(before, app)), 3U);
    EXPECT_EQ(before.subjects->size() + 2, history.view().subjects->size());
}

TEST(History, SubjectsAreBoundedAndTheOthersGoOn) {
    History history({.most_subjects = 2});
    Host host;
    history.add(at(100), host.backends, host.servers);
    host.respond(1, 200, 1);
    host.respond(2, 200, 1);
    history.add(at(105), host.backends, host.servers);
    host.respond(1, 200, 1);
    host.respond(2, 200, 1);
    history.add(at(110), host.backends, host.servers);
    const auto view = history.view();
    EXPECT_EQ(view.subjects->size(), 2U);
    EXPECT_EQ(responses_in(sum_over(view, app)), 4U);
}

TEST(History, EventsAreBoundedByNumberAndAge) {
    History history({.most_events = 3});
    for (int i = 0; i < 5; ++i) {
        history.note({.at = at(i), .kind = "agent", .what = std::to_string(i), .backend = "", .text = ""});
    }
    ASSERT_EQ(history.view().events->size(), 3U);
    EXPECT_EQ(history.view().events->front().what, "2");
    history.note({.at = at(86'404), .kind = "agent", .what = "late", .backend = "", .text = ""});
    EXPECT_EQ(history.view().events->size(), 2U);
}

TEST(Rows, HaveAPlaceForEachColumn) {
    History history;
    Host host;
    history.add(at(100), host.backends, host.servers);
    host.respond(1, 200, 3);
    history.add(at(105), host.backends, host.servers);
    history.add(at(110), host.backends, host.servers);
    host.respond(1, 404, 1);
    history.add(at(115), host.backends, host.servers);
    const std::string name = "app@file";
    const std::string never = "never@file";
    const auto all = backend_rows(history.view(), {name, never});
    ASSERT_EQ(all.at(name).size(), 3U);
    EXPECT_EQ(class_of(all.at(name)[0], 2), 3U);
    EXPECT_EQ(responses_in(all.at(name)[1]), 0U);
    EXPECT_EQ(class_of(all.at(name)[2], 4), 1U);
    EXPECT_EQ(all.at(never).size(), 3U);
    EXPECT_EQ(backend_rows(history.view(), {name}, {.from = at(110).at, .to = Time::max()}).at(name).size(), 1U);
}

TEST(Fields, ThereIsRoomForAll) {
    EXPECT_LE(field_names().size(), most_fields);
}

TEST(Unpacker, EndsAtWhatIsNoSuchText) {
    Packer packer;
    Amounts amounts{};
    amounts[3] = 300;
    packer.add(7, amounts);
    packer.add(2, amounts);
    const auto good = packer.take();
    for (std::size_t size = 0; size < good.size(); ++size) {
        Unpacker unpacker(std::string_view(good).substr(0, size));
        while (unpacker.next()) {
        }
    }
    std::mt19937 random(3);
    for (int i = 0; i < 100'000; ++i) {
        std::string text(random() % 20, '\0');
        for (auto& byte : text) {
            byte = static_cast<char>(random());
        }
        Unpacker unpacker(text);
        while (unpacker.next()) {
        }
    }
    Unpacker unpacker(good);
    ASSERT_TRUE(unpacker.next());
    EXPECT_EQ(unpacker.subject(), 7U);
    EXPECT_EQ(unpacker.amounts(), amounts);
    ASSERT_TRUE(unpacker.next());
    EXPECT_EQ(unpacker.subject(), 2U);
    EXPECT_FALSE(unpacker.next());
    EXPECT_FALSE(unpacker.broken());
}

attribute::Catalogue catalogue(const std::map<std::string, std::vector<std::pair<std::string, bool>>>& backends) {
    attribute::Catalogue made;
    for (const auto& [name, servers] : backends) {
        made.backends.try_emplace(name);
        for (const auto& [address, up] : servers) {
            made.backends[name].listed.push_back(attribute::listed_at("http://" + address, up));
        }
    }
    return made;
}

TEST(History, TellsTwoTraefiksApart) {
    History history;
    Host host;
    auto there = server(1);
    there.zone = 3;
    const attribute::BackendName app_there("app@file", 3);
    const attribute::Series series{404, poll::Method::get, attribute::Protocol::http};
    host.respond(1, 404, 1000);
    host.backends[app_there][series] = 50;
    host.servers[there].responses[{404, poll::Method::get}] = 50;
    history.add(at(100), host.backends, host.servers);
    host.respond(1, 404, 7);
    host.backends[app_there][series] += 2;
    host.servers[there].responses[{404, poll::Method::get}] += 2;
    history.add(at(105), host.backends, host.servers);

    const auto view = history.view();
    EXPECT_EQ(class_of(sum_over(view, app), 4), 7U);
    EXPECT_EQ(class_of(sum_over(view, {.is_backend = true, .name = "app@file", .zone = 3}), 4), 2U);
    EXPECT_EQ(class_of(server_sums(view).at(server(1)), 4), 7U);
    EXPECT_EQ(class_of(server_sums(view).at(there), 4), 2U);
    const auto rows = server_rows(view, {server(1), there});
    EXPECT_EQ(class_of(rows.at(server(1)).at(0), 4), 7U);
    EXPECT_EQ(class_of(rows.at(there).at(0), 4), 2U);
    EXPECT_EQ(class_of(backend_rows(view, {app_there}).at(app_there).at(0), 4), 2U);
}

TEST(Changes, SayWhatExactly) {
    const auto before = catalogue({{"a@file", {{"10.0.0.1:80", true}, {"10.0.0.2:80", true}}}, {"gone@file", {}}});
    const auto after = catalogue(
        {{"a@file", {{"10.0.0.2:80", false}, {"10.0.0.3:80", true}, {"10.0.0.4:80", true}}}, {"new@file", {}}});
    std::vector<std::string> said;
    for (const auto& event : changes(before, after, at(5))) {
        said.push_back(event.what + " " + event.backend.name + ": " + event.text);
    }
    EXPECT_EQ(said, (std::vector<std::string>{"servers_added a@file: 2 servers are added: 10.0.0.3:80, 10.0.0.4:80",
                                              "servers_removed a@file: 1 server is removed: 10.0.0.1:80",
                                              "servers_down a@file: 1 server is down, says Traefik: 10.0.0.2:80",
                                              "backend_added new@file: backend new@file is new",
                                              "backend_removed gone@file: backend gone@file is gone"}));
}

TEST(Changes, AreBounded) {
    std::map<std::string, std::vector<std::pair<std::string, bool>>> many;
    for (int i = 0; i < 1000; ++i) {
        many["backend-" + std::to_string(i)];
    }
    const auto all = changes({}, catalogue(many), at(5));
    ASSERT_EQ(all.size(), 101U);
    EXPECT_EQ(all.back().text, "900 more changes of the catalogue are not named");
}

}  // namespace
}  // namespace upstat::history
