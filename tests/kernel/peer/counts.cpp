// SPDX-License-Identifier: Apache-2.0
#include "counts.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/time.hpp"
#include "layout.h"
#include "poll/reader.hpp"

namespace upstat::peer {

namespace fs = std::filesystem;

namespace {

/// Enough for one case; small maps are read fast.
constexpr programs::MapSizes sizes{.totals = 1024, .requests = 64};

/// The cgroup v2 that this process is in.
fs::path own_cgroup() {
    std::string mount;
    std::ifstream mounts("/proc/self/mounts");
    for (std::string device, directory, type, rest;
         mounts >> device >> directory >> type && std::getline(mounts, rest);) {
        if (type == "cgroup2") {
            mount = directory;
        }
    }
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        if (!mount.empty() && line.starts_with("0::")) {
            return mount + line.substr(3);
        }
    }
    throw std::runtime_error("no cgroup v2 is mounted here");
}

void move_to(const fs::path& cgroup) {
    std::ofstream processes(cgroup / "cgroup.procs");
    processes << ::getpid() << std::flush;
    if (!processes) {
        throw std::runtime_error("cannot move to the cgroup " + cgroup.string());
    }
}

template <typename T>
T must(Result<T> result) {
    if (!result) {
        throw std::runtime_error(result.error().text());
    }
    return std::move(*result);
}

template <typename Key>
void clear(int map) {
    Key key;
    while (bpf_map_get_next_key(map, nullptr, &key) == 0) {
        bpf_map_delete_elem(map, &key);
    }
}

/// Sets an array of counts to zero.
void zero(int map) {
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    bpf_obj_get_info_by_fd(map, &info, &size);
    const auto bytes = std::size_t{info.max_entries} * info.value_size;
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (memory == MAP_FAILED) {
        throw std::runtime_error(std::string("cannot write to the map ") + info.name);
    }
    std::memset(memory, 0, bytes);
    munmap(memory, bytes);
}

/// Of a program's maps the one of this name; none where it has no such map.
Fd map_of(std::uint32_t program_id, std::string_view name) {
    Fd program(bpf_prog_get_fd_by_id(program_id));
    std::array<std::uint32_t, 64> ids{};
    bpf_prog_info info{};
    info.nr_map_ids = ids.size();
    info.map_ids = reinterpret_cast<std::uintptr_t>(ids.data());
    std::uint32_t size = sizeof(info);
    bpf_obj_get_info_by_fd(program.get(), &info, &size);
    for (std::size_t at = 0; at < std::min<std::size_t>(info.nr_map_ids, ids.size()); at++) {
        Fd map(bpf_map_get_fd_by_id(ids.at(at)));
        bpf_map_info map_info{};
        size = sizeof(map_info);
        if (map && bpf_obj_get_info_by_fd(map.get(), &map_info, &size) == 0 && map_info.name == name) {
            return map;
        }
    }
    return {};
}

/// The map of this name that the egress program on a cgroup has: not all maps are pinned.
Fd map_of_egress(const fs::path& cgroup, std::string_view name) {
    const Fd directory(::open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::uint32_t program = 0;
    std::uint32_t count = 1;
    if (bpf_prog_query(directory.get(), BPF_CGROUP_INET_EGRESS, 0, nullptr, &program, &count) != 0) {
        throw std::runtime_error("cannot ask for the program on the cgroup");
    }
    return map_of(program, name);
}

/// No slot is given away, and zone 0 has none.
void zero_slots(int map) {
    const upstat_slots none{};
    for (std::uint32_t table = 0; table < 2 * UPSTAT_TABLES; table++) {
        bpf_map_update_elem(map, &table, &none, BPF_ANY);
    }
}

}  // namespace

Places make_places() {
    const auto name = "upstat-peer-" + std::to_string(::getpid());
    Places places{.pins = fs::path("/sys/fs/bpf") / name, .cgroup = own_cgroup() / name};
    fs::create_directory(places.cgroup);
    return places;
}

void remove(const Places& places) {
    std::error_code ignored;
    if (programs::Counter::detach(places.pins)) {
        fs::remove(places.cgroup, ignored);
    }
}

Counts::Counts(const Places& places) : cgroup_(places.cgroup) {
    move_to(places.cgroup);
    counter_ = std::make_unique<programs::Counter>(must(programs::Counter::open(places.pins, sizes)));
    if (const auto attached = counter_->attach(places.cgroup, {}, 0); !attached) {
        throw std::runtime_error(attached.error().text());
    }
}

void Counts::occupy_head_buffers() {
    head_buffers_ = map_of_egress(cgroup_, "head_buffers");
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    bpf_obj_get_info_by_fd(head_buffers_.get(), &info, &size);
    const std::size_t words = info.value_size / sizeof(std::uint64_t);
    taken_.assign(words * static_cast<std::size_t>(libbpf_num_possible_cpus()), 0x5a5a5a5a5a5a5a5a);
    for (std::size_t cpu = 0; cpu < taken_.size(); cpu += words) {
        taken_[cpu] = 1;
    }
    const std::uint32_t only = 0;
    if (bpf_map_update_elem(head_buffers_.get(), &only, taken_.data(), BPF_ANY) != 0) {
        throw std::runtime_error("cannot write to the map head_buffers");
    }
}

bool Counts::head_buffers_untouched() const {
    const std::uint32_t only = 0;
    auto now = std::vector<std::uint64_t>(taken_.size());
    return bpf_map_lookup_elem(head_buffers_.get(), &only, now.data()) == 0 && now == taken_;
}

void Counts::set_record(programs::Record record, const programs::RouteTable& routes) {
    const auto written =
        counter_->set_routes(routes.empty() ? std::vector<programs::RouteTable>() : std::vector(1, routes));
    if (written.problem) {
        throw std::runtime_error(written.problem->text());
    }
    record.table = written.numbers.empty() ? std::uint16_t{0} : written.numbers.front();
    if (const auto set = counter_->set_records({record}, true); !set) {
        throw std::runtime_error(set.error().text());
    }
}

void Counts::give_slots(std::uint32_t given) {
    const auto maps = counter_->maps();
    const std::uint32_t table = UPSTAT_TOTALS;
    upstat_slots slots{};
    bpf_map_lookup_elem(maps.slots, &table, &slots);
    for (std::uint32_t slot = slots.given + 1; slot <= given; slot++) {
        const upstat_total_key key{.server = {.address = {}, .port = static_cast<__u16>(slot), .zone = 0},
                                   .detail = 0,
                                   .event = UPSTAT_CONNECT,
                                   .method = 0,
                                   .whose = 0,
                                   .padding = 0,
                                   .route = 0};
        bpf_map_update_elem(maps.totals, &key, &slot, BPF_ANY);
    }
    slots.given = given;
    bpf_map_update_elem(maps.slots, &table, &slots, BPF_ANY);
}

Counted Counts::take(const poll::Server& server) {
    const auto maps = counter_->maps();
    auto snapshot = must(poll::read_snapshot({.own = maps}, Time{}));
    clear<upstat_total_key>(maps.totals);
    clear<upstat_request_key>(maps.requests);
    zero_slots(maps.slots);
    zero(maps.total_counts);
    zero(maps.request_counts);
    Counted counted{.server = std::move(snapshot.servers[server]),
                    .routes = std::move(snapshot.routed[server]),
                    .probes = {},
                    .places = {}};
    for (auto& [kind, servers] : snapshot.probes) {
        counted.probes[kind] = std::move(servers[server]);
    }
    for (const auto& [place, count] : snapshot.kernel_errors) {
        if (const auto since = count - std::exchange(seen_[place], count); since != 0) {
            counted.places[place] = since;
        }
    }
    return counted;
}

}  // namespace upstat::peer
