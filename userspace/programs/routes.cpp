// SPDX-License-Identifier: Apache-2.0
#include "programs/routes.hpp"

#include <bpf/bpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "layout.h"
#include "programs/pins.hpp"

namespace upstat::programs {

namespace {

static_assert(longest_told == UPSTAT_ROUTE_BYTES - 1);

using Numbers = std::set<std::uint16_t>;

/// In route_hosts: a table that no record names and nobody takes out. It keeps the highest number of a route.
constexpr std::uint16_t no_table = 0;

template <typename Key>
std::vector<Key> keys_of(int map) {
    std::vector<Key> keys;
    Key key{};
    for (bool first = true; bpf_map_get_next_key(map, first ? nullptr : &key, &key) == 0; first = false) {
        keys.push_back(key);
    }
    return keys;
}

Numbers tries_in(int paths) {
    Numbers numbers;
    for (const auto& key : keys_of<upstat_route_path_key>(paths)) {
        numbers.insert(key.paths);
    }
    return numbers;
}

/// The tables that are in force.
Numbers tables_of_records(int map) {
    Numbers numbers;
    for (const auto& key : keys_of<upstat_server_key>(map)) {
        upstat_record record{};
        if (bpf_map_lookup_elem(map, &key, &record) == 0) {
            numbers.insert(record.table);
        }
    }
    return numbers;
}

/// Takes out all tables but these, and all tries but theirs.
void remove_others(const RouteMaps& maps, const Numbers& tables) {
    Numbers tries;
    for (const auto& key : keys_of<upstat_route_host_key>(maps.hosts)) {
        upstat_route_host value{};
        if (key.table != no_table && !tables.contains(key.table)) {
            bpf_map_delete_elem(maps.hosts, &key);
        } else if (bpf_map_lookup_elem(maps.hosts, &key, &value) == 0) {
            tries.insert(value.paths);
        }
    }
    for (const auto& key : keys_of<upstat_route_path_key>(maps.paths)) {
        if (!tries.contains(key.paths)) {
            bpf_map_delete_elem(maps.paths, &key);
        }
    }
}

/// Before the first of these entries is written. Errors: errno.
int keep_highest(const RouteMaps& maps, const RouteTable& entries) {
    const upstat_route_host_key key{.table = no_table, .host = {}};
    upstat_route_host kept{};
    bpf_map_lookup_elem(maps.hosts, &key, &kept);
    const auto highest = std::ranges::max(entries, {}, &RouteEntry::route).route;
    if (highest <= kept.route) {
        return 0;
    }
    kept.route = highest;
    return bpf_map_update_elem(maps.hosts, &key, &kept, BPF_ANY) == 0 ? 0 : errno;
}

/// Gives numbers that are not in use, in turn.
class Free {
  public:
    Free(Numbers used, std::uint16_t& last) : used_(std::move(used)), last_(&last) {}

    /// 0 where all are in use.
    std::uint16_t take() {
        for (int tries = 0; tries <= std::numeric_limits<std::uint16_t>::max(); tries++) {
            const auto number = ++*last_;
            if (number != 0 && used_.insert(number).second) {
                return number;
            }
        }
        return 0;
    }

  private:
    Numbers used_;
    std::uint16_t* last_;
};

/// A table that is being written.
class Writer {
  public:
    Writer(const RouteMaps& maps, std::uint16_t table, Free& tries) : maps_(maps), table_(table), tries_(&tries) {}

    /// Errors: errno.
    int write(const RouteTable& entries) {
        std::map<std::string, std::vector<RouteEntry>> hosts;
        for (const auto& entry : entries) {
            hosts[entry.host].push_back(entry);
        }
        int error = table_ == 0 ? E2BIG : keep_highest(maps_, entries);
        for (auto host = hosts.begin(); host != hosts.end() && error == 0; ++host) {
            error = write_host(host->first, host->second);
        }
        return error;
    }

  private:
    int write_host(const std::string& name, const std::vector<RouteEntry>& entries) {
        upstat_route_host_key key{.table = table_, .host = {}};
        upstat_route_host value{};
        std::ranges::copy(name, std::begin(key.host));
        if (entries.size() == 1 && entries.front().path.empty()) {
            value.route = entries.front().route;
        } else {
            value.paths = tries_->take();
            if (const int error = value.paths == 0 ? E2BIG : write_paths(value.paths, entries); error != 0) {
                return error;
            }
        }
        return bpf_map_update_elem(maps_.hosts, &key, &value, BPF_ANY) == 0 ? 0 : errno;
    }

    [[nodiscard]] int write_paths(std::uint16_t number, const std::vector<RouteEntry>& entries) const {
        std::map<std::string, std::uint16_t> paths;
        for (const auto& entry : entries) {
            paths[entry.path + (entry.whole ? " " : "")] = entry.route;
        }
        for (auto path = paths.begin(); path != paths.end(); ++path) {
            upstat_route_path_key key{.bits = static_cast<std::uint32_t>(8 * (sizeof(key.paths) + path->first.size())),
                                      .paths = number,
                                      .path = {}};
            upstat_route_path value{.route = path->second, .longest = 0};
            for (auto more = path; more != paths.end() && more->first.starts_with(path->first); ++more) {
                value.longest = std::max(value.longest, static_cast<std::uint16_t>(more->first.size()));
            }
            std::ranges::copy(path->first, std::begin(key.path));
            if (bpf_map_update_elem(maps_.paths, &key, &value, BPF_ANY) != 0) {
                return errno;
            }
        }
        return 0;
    }

    RouteMaps maps_;
    std::uint16_t table_;
    Free* tries_;
};

}  // namespace

std::uint16_t highest_route(const RouteMaps& maps) {
    std::uint16_t highest = 0;
    for (const auto& key : keys_of<upstat_route_host_key>(maps.hosts)) {
        upstat_route_host value{};
        bpf_map_lookup_elem(maps.hosts, &key, &value);
        highest = std::max(highest, static_cast<std::uint16_t>(value.route));
    }
    for (const auto& key : keys_of<upstat_route_path_key>(maps.paths)) {
        upstat_route_path value{};
        bpf_map_lookup_elem(maps.paths, &key, &value);
        highest = std::max(highest, static_cast<std::uint16_t>(value.route));
    }
    return highest;
}

/// The smallest tables first, so that those find no room that take most of it.
int Routes::write_missing(const RouteMaps& maps, Numbers kept) {
    std::vector<const RouteTable*> missing;
    for (const auto& table : tables_) {
        if (!numbers_.contains(table)) {
            missing.push_back(&table);
        }
    }
    std::ranges::sort(missing, {}, [](const auto* table) { return table->size(); });
    Free numbers(kept, last_table_);
    Free tries(tries_in(maps.paths), last_trie_);
    for (const auto* const table : missing) {
        if (numbers_.contains(*table)) {
            continue;  // the same one for other servers
        }
        const auto number = numbers.take();
        if (const int error = Writer(maps, number, tries).write(*table); error != 0) {
            remove_others(maps, kept);
            return error;
        }
        numbers_.emplace(*table, number);
        kept.insert(number);
    }
    return 0;
}

WrittenRoutes Routes::written() const {
    WrittenRoutes all;
    for (const auto& table : tables_) {
        const auto found = numbers_.find(table);
        all.numbers.push_back(found == numbers_.end() ? std::uint16_t{0} : found->second);
    }
    if (error_ != 0) {
        all.problem = bpf_error(
            error_, fmt::format("the routes to servers that several backends list find no room in the maps route_hosts "
                                "and route_paths: at {} of {} groups of servers they are counted together",
                                std::ranges::count(all.numbers, 0), all.numbers.size()));
        all.problem->hint = "this is a limit of upstat's; tell its authors how many routers there are";
    }
    return all;
}

WrittenRoutes Routes::write(const RouteMaps& maps, const std::vector<RouteTable>& tables) {
    const bool again = begun_ && tables == tables_;
    if (again && !once_more_) {
        return written();
    }
    tables_ = tables;
    std::erase_if(numbers_, [&](const auto& entry) { return std::ranges::find(tables, entry.first) == tables.end(); });
    auto kept = tables_of_records(maps.records);
    begun_ = true;
    for (const auto& [table, number] : numbers_) {
        kept.insert(number);
    }
    remove_others(maps, kept);
    error_ = write_missing(maps, std::move(kept));
    once_more_ = error_ != 0 && !again;
    return written();
}

}  // namespace upstat::programs
