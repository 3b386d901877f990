// SPDX-License-Identifier: Apache-2.0
#include "poll/reader.hpp"

#include <bpf/bpf.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <ranges>
#include <utility>

#include "layout.h"

namespace upstat::poll {

namespace {

/// The labels of enum upstat_place.
constexpr std::array<std::string_view, UPSTAT_PLACES> place_names{UPSTAT_PLACE_LIST(UPSTAT_LABEL)};

/// By name: each zone has its own of them.
std::vector<ProgramRuns> read_programs(const std::vector<std::pair<std::string, int>>& programs) {
    std::vector<ProgramRuns> runs;
    for (const auto& [name, fd] : programs) {
        bpf_prog_info info{};
        std::uint32_t size = sizeof(info);
        if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) {
            continue;
        }
        auto sum = std::ranges::find(runs, name, &ProgramRuns::program);
        if (sum == runs.end()) {
            sum = runs.insert(runs.end(), {.program = name});
        }
        sum->runs += info.run_cnt;
        sum->nanoseconds += info.run_time_ns;
    }
    return runs;
}

std::uint64_t* reason_cell(Reasons& counts, const std::vector<std::string>& reasons, const Total& total) {
    return &counts[total.detail < reasons.size() ? reasons[total.detail] : unknown_reason];
}

ResponseKey response_key(const Total& total) {
    return {.code = static_cast<std::uint16_t>(total.detail),
            .method = total.method < UPSTAT_METHODS ? static_cast<Method>(total.method) : Method::extension};
}

/// Where a server counts this; null for an event of a newer layout.
std::uint64_t* cell_of(ServerTotals& server, const Total& total) {
    switch (total.event) {
        case UPSTAT_RESPONSE:
            return &server.responses[response_key(total)];
        case UPSTAT_UNANSWERED:
            return reason_cell(server.unanswered, kernel_unanswered_reasons(), total);
        case UPSTAT_UNREAD:
            return reason_cell(server.unread, unread_reasons(), total);
        case UPSTAT_CONNECT:
            return &server.connects;
        case UPSTAT_CONNECT_FAILURE:
            return reason_cell(server.connect_failures, connect_failure_reasons(), total);
        case UPSTAT_REQUEST:
            return &server.requests;
        default:
            return nullptr;
    }
}

/// Whose requests these are: empty for users', else the kind.
const std::string& kind_of(const Total& total) {
    static const std::string users;
    const auto& kinds = probe_kinds();
    return total.whose == UPSTAT_USERS      ? users
           : total.whose - 1 < kinds.size() ? kinds[total.whose - 1]
                                            : unknown_reason;
}

std::map<std::string, std::vector<Total>> by_kind(const std::vector<Total>& totals) {
    std::map<std::string, std::vector<Total>> kinds;
    for (const auto& total : totals) {
        kinds[kind_of(total)].push_back(total);
    }
    return kinds;
}

TableMaps totals_of(const CounterMaps& maps) {
    return {.keys = maps.totals, .counts = maps.total_counts, .slots = maps.slots, .number = UPSTAT_TOTALS};
}

/// The responses by its route that this is one of; null where it told none.
ResponseCounts* route_of(Routed& routed, const Total& total) {
    return total.route != 0 && total.whose == UPSTAT_USERS && total.event == UPSTAT_RESPONSE
               ? &routed[total.server][static_cast<std::uint16_t>(total.route)]
               : nullptr;
}

/// A probe sees a request when it is answered, or never.
std::uint64_t* request_cell_of(ServerTotals& server, const Total& total) {
    return total.probed ? &server.requests : nullptr;
}

TableMaps requests_of(const CounterMaps& maps) {
    return {.keys = maps.requests, .counts = maps.request_counts, .slots = maps.slots, .number = UPSTAT_REQUESTS};
}

bool is_request(const Total& total) {
    return total.event == UPSTAT_REQUEST;
}

bool is_event(const Total& total) {
    return total.event != UPSTAT_REQUEST;
}

/// Ascending, each once.
std::vector<Server> sorted(std::vector<Server> servers) {
    std::ranges::sort(servers);
    const auto again = std::ranges::unique(servers);
    servers.erase(again.begin(), again.end());
    return servers;
}

}  // namespace

Servers to_servers(std::span<const Total> totals) {
    Servers servers;
    const auto all = std::views::transform(totals, &Total::server);
    servers.insert_missing(sorted({all.begin(), all.end()}));
    for (const auto& total : totals) {
        if (auto* const cell = cell_of(servers[total.server], total)) {
            *cell += total.count;
        }
        if (auto* const cell = request_cell_of(servers[total.server], total)) {
            *cell += total.count;
        }
    }
    return servers;
}

std::map<Server, std::uint64_t> never_answered(const Servers& ended) {
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
    add_own();
    for (const auto& carried : sources_.carried) {
        add_carried(carried);
    }
    std::vector<Part> requests;  // are read last
    for (auto& part : std::exchange(parts_, {})) {
        (part.wanted == is_event ? parts_ : requests).push_back(std::move(part));
    }
    std::ranges::move(requests, std::back_inserter(parts_));
}

void Reader::add_own() {
    parts_.push_back({.map = own_table(totals_of(sources_.own), own_total_fields()), .wanted = is_event});
    parts_.push_back({.map = own_table(requests_of(sources_.own), own_request_fields()), .wanted = is_request});
    if (sources_.own.overflow >= 0) {
        parts_.push_back({.map = own_hash(sources_.own.overflow, own_total_fields()), .wanted = is_event});
        parts_.push_back({.map = own_hash(sources_.own.overflow, own_total_fields()), .wanted = is_request});
    }
    if (sources_.own.probed >= 0) {
        parts_.push_back({.map = own_hash(sources_.own.probed, own_probed_fields()), .wanted = is_event});
    }
    places_.push_back(sources_.own.places);
}

void Reader::add_carried(const CarriedMaps& carried) {
    using enum Role;
    const auto role = !carried.separate_sockets ? going_on : carried.has_programs ? leaving : ended;
    const auto& maps = carried.maps;
    std::vector<Part> parts;
    std::string problem;
    const auto add = [&](const char* name, const TableMaps& table, FindFields find_fields,
                         bool (*wanted)(const Total&)) {
        if (table.keys < 0) {
            return;
        }
        if (auto map = translated(table, find_fields)) {
            parts.push_back({.map = std::move(*map), .wanted = wanted, .newest = false, .role = role});
        } else if (problem.empty()) {
            problem = fmt::format("the map {}: {}", name, map.error());
        }
    };
    const TableMaps overflow{.keys = maps.overflow};
    add("totals", totals_of(maps), total_fields, is_event);
    add("overflow", overflow, total_fields, is_event);
    add("probed", {.keys = maps.probed}, probed_fields, is_event);
    add("requests", requests_of(maps), request_fields, is_request);
    add("overflow", overflow, total_fields, is_request);
    if (!problem.empty()) {
        left_out_.push_back({.kind = Error::Kind::runtime,
                             .message = fmt::format("the counts in {} are left out: {}", maps.path, problem),
                             .hint = "run the upstat that made it, or `upstat detach` to begin anew"});
        return;
    }
    std::ranges::move(parts, std::back_inserter(parts_));
    places_.push_back(maps.places);
}

Result<std::map<std::string, std::uint64_t>> Reader::read_places() const {
    std::map<std::string, std::uint64_t> places;
    for (const auto name : place_names) {
        places[std::string(name)] = 0;
    }
    for (const int fd : places_) {
        const auto numbers = read_array(fd, UPSTAT_PLACES);
        if (!numbers) {
            return std::unexpected(numbers.error());
        }
        for (std::size_t place = 0; place < numbers->size(); place++) {
            places[std::string(place_names.at(place))] += (*numbers)[place];
        }
    }
    return places;
}

Result<void> Reader::read_parts() {
    for (auto& part : parts_) {
        const auto changed = part.map->read();
        if (!changed) {
            stale_ = true;  // it may have new entries all the same
            return std::unexpected(changed.error());
        }
        // What an ended generation left unanswered is told from all of its counts.
        stale_ = stale_ || changed->keys || (part.role == Role::ended && changed->counts);
    }
    return {};
}

/// Requests that generations of one role have counted and not seen the end of, by kind.
std::map<std::string, std::map<Server, std::uint64_t>> Reader::left_unanswered(Role role) const {
    std::vector<Total> totals;
    for (const auto& part : parts_) {
        for (std::size_t entry = 0; part.role == role && entry < part.map->size(); entry++) {
            if (const auto total = part.map->total(entry); part.wanted(total)) {
                totals.push_back(total);
            }
        }
    }
    std::map<std::string, std::map<Server, std::uint64_t>> left;
    for (const auto& [kind, some] : by_kind(totals)) {
        left[kind] = never_answered(to_servers(some));
    }
    return left;
}

void Reader::begin_routed_anew(const std::vector<Total>& totals) {
    routed_.clear();
    for (const auto& total : totals) {
        if (auto* const responses = route_of(routed_, total)) {
            responses->try_emplace(response_key(total));
        }
    }
}

/// A cell for every entry, all at 0 but for what the ended generations left unanswered.
void Reader::begin_servers_anew() {
    std::vector<Total> totals;
    for (const auto& part : parts_) {
        for (std::size_t entry = 0; entry < part.map->size(); entry++) {
            if (auto total = part.map->total(entry); part.wanted(total)) {
                total.count = 0;
                totals.push_back(total);
            }
        }
    }
    counted_.clear();
    for (const auto& [kind, some] : by_kind(totals)) {
        counted_[kind] = to_servers(some);
    }
    begin_routed_anew(totals);
    for (const auto& [kind, servers] : left_unanswered(Role::ended)) {
        for (const auto& [server, count] : servers) {
            counted_[kind][server].unanswered[upgraded_reason] += count;
        }
    }
    // Only now are the cells told: a new server, or a new cell of it, would move the others. From here on all are
    // there.
    for (auto& part : parts_) {
        part.added.assign(part.map->size(), 0);
        part.cells.assign(part.map->size(), nullptr);
        part.requests.assign(part.map->size(), nullptr);
        part.routes.assign(part.map->size(), nullptr);
        for (std::size_t entry = 0; entry < part.map->size(); entry++) {
            const auto total = part.map->total(entry);
            if (part.wanted(total)) {
                auto& server = counted_[kind_of(total)][total.server];
                part.cells[entry] = cell_of(server, total);
                part.requests[entry] = request_cell_of(server, total);
                auto* const responses = route_of(routed_, total);
                part.routes[entry] = responses != nullptr ? &(*responses)[response_key(total)] : nullptr;
            }
        }
    }
}

void Reader::add_growth() {
    for (auto& part : parts_) {
        const auto counts = part.map->counts();
        for (std::size_t entry = 0; entry < counts.size(); entry++) {
            if (const auto grown = counts[entry] - part.added[entry]; grown != 0 && part.cells[entry] != nullptr) {
                *part.cells[entry] += grown;
                if (part.requests[entry] != nullptr) {
                    *part.requests[entry] += grown;
                }
                if (part.routes[entry] != nullptr) {
                    *part.routes[entry] += grown;
                }
                part.added[entry] = counts[entry];
            }
        }
    }
}

/// Of the newest generation's maps; one that is read twice is told once.
std::vector<MapFill> Reader::fills() const {
    std::vector<MapFill> fills;
    for (const auto& part : parts_) {
        if (part.newest && std::ranges::find(fills, part.map->name(), &MapFill::map) == fills.end()) {
            fills.push_back({.map = part.map->name(), .entries = part.map->size(), .capacity = part.map->capacity()});
        }
    }
    return fills;
}

Result<Snapshot> Reader::read(Time at) {
    if (auto read = read_parts(); !read) {
        return std::unexpected(read.error());
    }
    auto places = read_places();
    if (!places) {
        return std::unexpected(places.error());
    }
    if (std::exchange(stale_, false)) {
        begin_servers_anew();
    }
    add_growth();
    const auto& users = counted_[{}];
    Snapshot snapshot{.at = at,
                      .servers = users,
                      .routed = routed_,
                      .probes = {std::next(counted_.begin()), counted_.end()},  // the first ones are users'
                      .kernel_errors = std::move(*places),
                      .maps = fills(),
                      .programs = read_programs(sources_.programs)};
    for (const auto& [kind, servers] : left_unanswered(Role::leaving)) {
        for (const auto& [server, count] : servers) {
            snapshot.leaving += count;
        }
    }
    if (const auto overflow = snapshot.servers.find(Server{}); overflow != snapshot.servers.end()) {
        snapshot.overflow = std::move(overflow->second);
        snapshot.servers.erase(overflow);
    }
    return snapshot;
}

Result<Snapshot> read_snapshot(const Sources& sources, Time at) {
    return Reader(sources).read(at);
}

}  // namespace upstat::poll
