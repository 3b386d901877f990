// SPDX-License-Identifier: Apache-2.0
#include "poll/reader.hpp"

#include <bpf/bpf.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>

#include "layout.h"

namespace upstat {

namespace {

/// The labels of enum upstat_place.
constexpr std::array<std::string_view, UPSTAT_PLACES> place_names{
    "not_tcp",   "short_header", "load_failed",    "storage_failed",  "totals_full", "callback_refused",
    "steps_out", "request_gap",  "unknown_stream", "framing_unknown", "no_socket",   "overflow_full"};

static_assert(!place_names.back().empty(), "every place has a name");

std::vector<ProgramRuns> read_programs(const std::vector<std::pair<std::string, int>>& programs) {
    std::vector<ProgramRuns> runs;
    for (const auto& [name, fd] : programs) {
        bpf_prog_info info{};
        std::uint32_t size = sizeof(info);
        if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0) {
            runs.push_back({.program = name, .runs = info.run_cnt, .nanoseconds = info.run_time_ns});
        }
    }
    return runs;
}

void add_reason(std::map<std::string, std::uint64_t>& counts, const std::vector<std::string>& reasons,
                const Total& total) {
    counts[total.detail < reasons.size() ? reasons[total.detail] : unknown_reason] += total.count;
}

void add_total(ServerTotals& server, const Total& total) {
    switch (total.event) {
        case UPSTAT_ANSWER:
            server.answers[{.code = static_cast<std::uint16_t>(total.detail),
                            .method = total.method < UPSTAT_METHODS ? static_cast<Method>(total.method)
                                                                    : Method::extension}] += total.count;
            break;
        case UPSTAT_UNANSWERED:
            add_reason(server.unanswered, kernel_unanswered_reasons(), total);
            break;
        case UPSTAT_UNREAD:
            add_reason(server.unread, unread_reasons(), total);
            break;
        case UPSTAT_CONNECT:
            server.connects += total.count;
            break;
        case UPSTAT_CONNECT_FAILURE:
            add_reason(server.connect_failures, connect_failure_reasons(), total);
            break;
        case UPSTAT_REQUEST:
            server.requests += total.count;
            break;
        default:
            break;
    }
}

/// Appends the entries of all maps that `wanted` takes; returns how full each map is.
Result<std::vector<MapFill>> append(std::vector<Total>& to, const std::vector<CountingMap>& maps, auto wanted) {
    std::vector<MapFill> fills;
    for (const auto& map : maps) {
        const auto totals = map.read();
        if (!totals) {
            return std::unexpected(totals.error());
        }
        std::ranges::copy_if(*totals, std::back_inserter(to), wanted);
        fills.push_back({.map = map.name(), .entries = totals->size(), .capacity = map.capacity()});
    }
    return fills;
}

/// A map that is read twice is noted once.
void note_fills(std::vector<MapFill>& to, const std::vector<MapFill>& fills) {
    for (const auto& fill : fills) {
        if (std::ranges::find(to, fill.map, &MapFill::map) == to.end()) {
            to.push_back(fill);
        }
    }
}

bool is_request(const Total& total) {
    return total.event == UPSTAT_REQUEST;
}

bool is_event(const Total& total) {
    return total.event != UPSTAT_REQUEST;
}

}  // namespace

std::map<Server, ServerTotals> to_servers(std::span<const Total> totals) {
    std::map<Server, ServerTotals> servers;
    for (const auto& total : totals) {
        add_total(servers[total.server], total);
    }
    return servers;
}

std::map<Server, std::uint64_t> never_answered(const std::map<Server, ServerTotals>& ended) {
    std::map<Server, std::uint64_t> counts;
    std::uint64_t too_many = 0;
    for (const auto& [server, totals] : ended) {
        const auto left = totals.outstanding();
        (left > 0 ? counts[server] : too_many) += static_cast<std::uint64_t>(std::abs(left));
    }
    if (const auto overflow = counts.find(Server{}); overflow != counts.end()) {
        overflow->second -= std::min(overflow->second, too_many);
    }
    return counts;
}

Reader::Reader(Sources sources) : sources_(std::move(sources)) {
    Generation own{.events = {CountingMap(sources_.totals, own_total_fields())},
                   .requests = {CountingMap(sources_.requests, own_server_fields())},
                   .places = sources_.places};
    if (sources_.overflow >= 0) {
        own.events.emplace_back(sources_.overflow, own_total_fields());
        own.requests.emplace_back(sources_.overflow, own_total_fields());
    }
    generations_.push_back(std::move(own));
    for (const auto& carried : sources_.carried) {
        if (auto generation = translated(carried)) {
            generations_.push_back(std::move(*generation));
        } else {
            left_out_.push_back(
                {.kind = Error::Kind::runtime,
                 .message = fmt::format("the counts in {} are left out: {}", carried.path, generation.error()),
                 .hint = "run the upstat that made it, or `upstat detach` to begin anew"});
        }
    }
}

std::expected<Reader::Generation, std::string> Reader::translated(const CarriedMaps& maps) const {
    Generation generation{.events = {}, .requests = {}, .places = maps.places};
    if (maps.own_state) {
        generation.totals = maps.served ? &Gathered::leaving : &Gathered::ended;
    }
    std::string problem;
    const auto add = [&](std::vector<CountingMap>& to, const char* name, int fd, CountingMap::FindFields find_fields) {
        if (fd < 0) {
            return;
        }
        if (auto map = CountingMap::translated(fd, find_fields)) {
            to.push_back(std::move(*map));
        } else if (problem.empty()) {
            problem = fmt::format("the map {}: {}", name, map.error());
        }
    };
    add(generation.events, "totals", maps.totals, total_fields);
    add(generation.events, "overflow", maps.overflow, total_fields);
    add(generation.requests, "requests", maps.requests, server_fields);
    add(generation.requests, "overflow", maps.overflow, total_fields);
    if (!problem.empty()) {
        return std::unexpected(problem);
    }
    return generation;
}

Result<std::map<std::string, std::uint64_t>> Reader::read_places() const {
    std::map<std::string, std::uint64_t> places;
    for (const auto name : place_names) {
        places[std::string(name)] = 0;
    }
    for (const auto& generation : generations_) {
        const auto numbers =
            generation.places < 0 ? std::vector<std::uint64_t>{} : read_array(generation.places, UPSTAT_PLACES);
        if (!numbers) {
            return std::unexpected(numbers.error());
        }
        for (std::size_t place = 0; place < numbers->size(); place++) {
            places[std::string(place_names.at(place))] += (*numbers)[place];
        }
    }
    return places;
}

Result<void> Reader::gather(Gathered& into, std::vector<CountingMap> Generation::* maps,
                            bool (*wanted)(const Total&)) const {
    for (const auto& generation : generations_) {
        const auto fills = append(into.*generation.totals, generation.*maps, wanted);
        if (!fills) {
            return std::unexpected(fills.error());
        }
        if (&generation == &generations_.front()) {
            note_fills(into.fills, *fills);
        }
    }
    return {};
}

Result<Snapshot> Reader::read(Time at) const {
    Gathered gathered;
    if (auto read = gather(gathered, &Generation::events, is_event); !read) {
        return std::unexpected(read.error());
    }
    if (auto read = gather(gathered, &Generation::requests, is_request); !read) {
        return std::unexpected(read.error());
    }
    auto places = read_places();
    if (!places) {
        return std::unexpected(places.error());
    }
    Snapshot snapshot{.at = at,
                      .kernel_errors = std::move(*places),
                      .maps = std::move(gathered.fills),
                      .programs = read_programs(sources_.programs)};
    const auto lost = never_answered(to_servers(gathered.ended));
    for (const auto& [server, count] : never_answered(to_servers(gathered.leaving))) {
        snapshot.leaving += count;
    }
    auto& all = gathered.going_on;
    all.insert(all.end(), gathered.leaving.begin(), gathered.leaving.end());
    all.insert(all.end(), gathered.ended.begin(), gathered.ended.end());
    snapshot.servers = to_servers(all);
    for (const auto& [server, count] : lost) {
        snapshot.servers[server].unanswered[upgraded_reason] += count;
    }
    if (auto overflow = snapshot.servers.extract(Server{})) {
        snapshot.overflow = std::move(overflow.mapped());
    }
    return snapshot;
}

Result<Snapshot> read_snapshot(const Sources& sources, Time at) {
    return Reader(sources).read(at);
}

}  // namespace upstat
