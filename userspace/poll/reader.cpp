// SPDX-License-Identifier: Apache-2.0
#include "poll/reader.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>

namespace upstat {

namespace {

/// The labels of enum upstat_place.
constexpr std::array<std::string_view, UPSTAT_PLACES> place_names{
    "not_tcp",   "short_header", "load_failed",    "storage_failed",  "totals_full", "callback_refused",
    "steps_out", "request_gap",  "unknown_stream", "framing_unknown", "no_socket",   "syn_data"};

const std::size_t cpus = std::max(1, libbpf_num_possible_cpus());

struct MapShape {
    std::uint32_t entries = 0;
    std::string name;
};

MapShape shape_of(int fd) {
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) {
        return {};
    }
    return {.entries = info.max_entries, .name = info.name};
}

std::uint64_t sum(std::span<const std::uint64_t> per_cpu) {
    return std::accumulate(per_cpu.begin(), per_cpu.end(), std::uint64_t{0});
}

Error read_error(int fd, int error) {
    return {.kind = Error::Kind::runtime,
            .message = fmt::format("cannot read the kernel map {}: {}", shape_of(fd).name, std::strerror(error)),
            .hint = {}};
}

/// Reads a per-CPU hash map entry by entry: what kernels without batch look-ups need. An entry is never deleted from
/// these maps, so the walk sees each exactly once.
template <typename Entry>
Result<std::vector<Entry>> walk(int fd) {
    using Key = decltype(Entry::key);
    std::vector<Entry> entries;
    std::vector<std::uint64_t> values(cpus);
    Key key{};
    for (const Key* last = nullptr; bpf_map_get_next_key(fd, last, &key) == 0; last = &key) {
        if (bpf_map_lookup_elem(fd, &key, values.data()) != 0) {
            return std::unexpected(read_error(fd, errno));
        }
        entries.push_back({.key = key, .count = sum(values)});
    }
    return errno == ENOENT ? Result<std::vector<Entry>>(std::move(entries)) : std::unexpected(read_error(fd, errno));
}

/// Reads a whole per-CPU hash map in as few calls as the kernel allows.
template <typename Entry>
Result<std::vector<Entry>> read_map(int fd) {
    using Key = decltype(Entry::key);
    constexpr std::uint32_t first_batch = 4096;
    std::vector<Entry> entries;
    std::vector<Key> keys(first_batch);
    std::vector<std::uint64_t> values(keys.size() * cpus);
    std::uint64_t position = 0;  // the kernel's cursor; hash maps use four bytes of it
    void* from = nullptr;
    for (;;) {
        auto count = static_cast<std::uint32_t>(keys.size());
        const int status = bpf_map_lookup_batch(fd, from, &position, keys.data(), values.data(), &count, nullptr);
        const int error = status == 0 ? 0 : errno;
        if (error == ENOSPC) {  // one bucket holds more than a batch
            keys.resize(keys.size() * 2);
            values.resize(keys.size() * cpus);
            continue;
        }
        if (error == ENOTSUP || error == EINVAL || error == 524 /* the kernel's own ENOTSUPP */) {
            return walk<Entry>(fd);
        }
        if (error != 0 && error != ENOENT) {
            return std::unexpected(read_error(fd, error));
        }
        for (std::uint32_t i = 0; i < count; i++) {
            entries.push_back({.key = keys[i], .count = sum(std::span(values).subspan(i * cpus, cpus))});
        }
        if (error == ENOENT) {
            return entries;
        }
        from = &position;
    }
}

Result<std::map<std::string, std::uint64_t>> read_places(int fd) {
    std::map<std::string, std::uint64_t> places;
    std::vector<std::uint64_t> values(cpus);
    for (std::uint32_t place = 0; place < UPSTAT_PLACES; place++) {
        if (bpf_map_lookup_elem(fd, &place, values.data()) != 0) {
            return std::unexpected(read_error(fd, errno));
        }
        places[std::string(place_names.at(place))] = sum(values);
    }
    return places;
}

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

Server to_server(const upstat_server_key& key) {
    Server server{.address = {}, .port = key.port};
    std::ranges::copy(key.address, server.address.begin());
    return server;
}

void add_reason(std::map<std::string, std::uint64_t>& counts, const std::vector<std::string>& reasons,
                std::uint16_t reason, std::uint64_t count) {
    if (reason < reasons.size()) {
        counts[reasons[reason]] += count;
    }
}

void add_total(ServerTotals& server, const Total& total) {
    switch (total.key.event) {
        case UPSTAT_ANSWER:
            if (total.key.method < UPSTAT_METHODS) {
                server.answers[{.code = total.key.detail, .method = static_cast<Method>(total.key.method)}] +=
                    total.count;
            }
            break;
        case UPSTAT_UNANSWERED:
            add_reason(server.unanswered, unanswered_reasons(), total.key.detail, total.count);
            break;
        case UPSTAT_UNREAD:
            add_reason(server.unread, unread_reasons(), total.key.detail, total.count);
            break;
        case UPSTAT_CONNECT:
            server.connects += total.count;
            break;
        case UPSTAT_CONNECT_FAILURE:
            add_reason(server.connect_failures, connect_failure_reasons(), total.key.detail, total.count);
            break;
        default:
            break;
    }
}

}  // namespace

std::map<Server, ServerTotals> to_servers(std::span<const Total> totals, std::span<const RequestTotal> requests) {
    std::map<Server, ServerTotals> servers;
    for (const auto& total : totals) {
        add_total(servers[to_server(total.key.server)], total);
    }
    for (const auto& request : requests) {
        servers[to_server(request.key)].requests += request.count;
    }
    return servers;
}

Result<Snapshot> read_snapshot(const Sources& sources, Time at) {
    const auto totals = read_map<Total>(sources.totals);
    if (!totals) {
        return std::unexpected(totals.error());
    }
    const auto requests = read_map<RequestTotal>(sources.requests);
    if (!requests) {
        return std::unexpected(requests.error());
    }
    auto places = read_places(sources.places);
    if (!places) {
        return std::unexpected(places.error());
    }
    return Snapshot{.at = at,
                    .servers = to_servers(*totals, *requests),
                    .kernel_errors = std::move(*places),
                    .maps = {{"totals", totals->size(), shape_of(sources.totals).entries},
                             {"requests", requests->size(), shape_of(sources.requests).entries}},
                    .programs = read_programs(sources.programs)};
}

}  // namespace upstat
