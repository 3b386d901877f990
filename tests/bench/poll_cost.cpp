// SPDX-License-Identifier: Apache-2.0
// The way of polls through the rooms with many servers, all of whose counters move: for `scripts/bench check`, which
// has callgrind count the instructions of one_poll() alone.
//   poll_cost SERVERS POLLS
//   poll_cost SERVERS day     the bytes that a day of the history takes, where each poll raises every count
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "agent/state_json.hpp"
#include "attribute/ledger.hpp"
#include "history/history.hpp"
#include "judge/judge.hpp"
#include "layout.h"
#include "measure/codes.hpp"
#include "measure/window.hpp"
#include "poll/reader.hpp"
#include "publish/exposition.hpp"

namespace upstat {

namespace {

constexpr std::uint64_t codes[] = {200, 302, 404, 429, 500};
constexpr std::uint64_t methods[] = {UPSTAT_METHOD_GET, UPSTAT_METHOD_POST};
constexpr std::size_t servers_a_backend = 10;
constexpr std::int64_t began = 1'700'000'000;
constexpr Millis zero_for = std::chrono::seconds(15);  // nothing is young in the last of ten polls

poll::Server server_at(std::size_t index) {
    return {.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, static_cast<std::uint8_t>(index >> 16),
                        static_cast<std::uint8_t>(index >> 8), static_cast<std::uint8_t>(index)},
            .port = 80};
}

std::vector<poll::Total> totals_after(std::size_t servers, std::uint64_t polls) {
    std::vector<poll::Total> totals;
    for (std::size_t i = 0; i < servers; i++) {
        std::uint64_t requests = 0;
        for (const auto code : codes) {
            for (const auto method : methods) {
                const auto count = polls * code;
                requests += count;
                totals.push_back({.server = server_at(i),
                                  .event = UPSTAT_RESPONSE,
                                  .detail = code,
                                  .method = method,
                                  .count = count});
            }
        }
        totals.push_back(
            {.server = server_at(i), .event = UPSTAT_REQUEST, .detail = 0, .method = 0, .count = requests});
    }
    return totals;
}

attribute::SharedCatalogue catalogue_of(std::size_t servers) {
    attribute::Catalogue catalogue;
    for (std::size_t i = 0; i < servers; i++) {
        auto& backend = catalogue.backends["backend-" + std::to_string(i / servers_a_backend) + "@file"];
        backend.provider = "file";
        backend.listed.push_back({.url = "http://" + to_string(server_at(i)), .up = true, .servers = {server_at(i)}});
    }
    return std::make_shared<const attribute::Catalogue>(std::move(catalogue));
}

struct Rooms {
    judge::Rule rule{};
    measure::CodeSet codes = *measure::CodeSet::compile(rule.codes);
    attribute::Ledger ledger{};
    measure::Window window{rule.window};
    history::History history{};
    judge::Judge judge{{rule}};
    publish::Births births{};
    publish::Page page{};
};

}  // namespace

/// Attribute, measure, remember, judge, publish; the size of the record. By this name callgrind knows what to count.
extern "C" __attribute__((noinline)) std::size_t one_poll(Rooms& rooms, poll::Snapshot& snapshot,
                                                          const attribute::SharedCatalogue& catalogue) {
    const auto growth = rooms.ledger.growth(snapshot, *catalogue);
    const auto record = growth ? agent::to_members(*growth) : std::string();
    publish::Report report;
    const Moment now{.at = snapshot.at, .wall = Wall(snapshot.at.time_since_epoch())};
    report.at = now.wall;
    report.counts = rooms.ledger.absorb(snapshot, catalogue);
    rooms.history.add(now, rooms.ledger.state().backends, snapshot.servers);
    report.history = rooms.history.view();
    report.catalogue = rooms.ledger.state().catalogue;
    rooms.window.add(report.counts);
    report.client_errors = measure::measure(rooms.window, snapshot.at, rooms.codes, rooms.rule.window);
    report.alerts = rooms.judge.evaluate({{rooms.rule.name, report.client_errors}}, now);
    report.rules = {rooms.rule};
    report.servers = rooms.ledger.view(std::move(snapshot));
    rooms.page.report = std::make_shared<const publish::Report>(std::move(report));
    rooms.page.scraped_since = rooms.page.pushed_since = now.at - zero_for;
    rooms.page.young =
        rooms.births.take(rooms.page.report, now.at, {.scraped = now.at - zero_for, .pushed = now.at - zero_for});
    return record.size();
}

/// What a scrape costs; the size of the page.
extern "C" __attribute__((noinline)) std::size_t one_scrape(const Rooms& rooms) {
    std::size_t size = 0;
    publish::write_page(rooms.page, [&size](std::string_view piece) {
        size += piece.size();
        return true;
    });
    return size;
}

namespace {

std::size_t heap_bytes() {
    const auto info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/// What is older than some minutes is kept by minutes and by tens of them, so polls come faster in the last two hours
/// only.
std::size_t day_of_history(std::size_t servers) {
    constexpr std::int64_t day = 24L * 3600;
    constexpr std::int64_t fast = 2L * 3600;
    attribute::Ledger ledger;
    poll::Snapshot snapshot{.at = Time(std::chrono::seconds(began)),
                            .servers = poll::to_servers(totals_after(servers, 1))};
    ledger.absorb(snapshot, catalogue_of(servers));
    auto backends = ledger.state().backends;
    const auto before = heap_bytes();
    history::History history;
    for (std::int64_t second = 0; second <= day + fast; second += second < day ? 60 : 5) {
        for (auto& [server, totals] : snapshot.servers) {
            for (auto& [key, count] : totals.responses) {
                count += key.code;
            }
        }
        for (auto& [name, counts] : backends) {
            for (auto& [key, count] : counts) {
                count += servers_a_backend * key.code;
            }
        }
        history.add({.at = Time(std::chrono::seconds(began + second)), .wall = {}}, backends, snapshot.servers);
    }
    return heap_bytes() - before;
}

}  // namespace

}  // namespace upstat

int main(int count, char** words) {
    using namespace upstat;
    if (count != 3) {
        std::fprintf(stderr, "poll_cost SERVERS POLLS|day\n");
        return 2;
    }
    const auto servers = std::strtoul(words[1], nullptr, 10);
    if (std::string_view(words[2]) == "day") {
        std::printf("%zu\n", day_of_history(servers));
        return 0;
    }
    const auto polls = std::strtoul(words[2], nullptr, 10);
    const auto catalogue = catalogue_of(servers);
    Rooms rooms;
    std::size_t size = 0;
    for (std::size_t poll = 1; poll <= polls; poll++) {
        const Time at(std::chrono::seconds(began + 5 * static_cast<std::int64_t>(poll)));
        poll::Snapshot snapshot{.at = at, .servers = poll::to_servers(totals_after(servers, poll))};
        size = one_poll(rooms, snapshot, catalogue);
    }
    std::printf("a record of %zu bytes, a page of %zu\n", size, one_scrape(rooms));
}
