// SPDX-License-Identifier: Apache-2.0
#include "programs/routes.hpp"

#include <bpf/bpf.h>

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

std::uint16_t number_of(const upstat_route_host_key& key) {
    return key.table;
}

std::uint16_t number_of(const upstat_route_path_key& key) {
    return key.paths;
}

template <typename Key>
std::vector<Key> keys_of(int map) {
    std::vector<Key> keys;
    Key key{};
    for (bool first = true; bpf_map_get_next_key(map, first ? nullptr : &key, &key) == 0; first = false) {
        keys.push_back(key);
    }
    return keys;
}

template <typename Key>
Numbers numbers_in(int map) {
    Numbers numbers;
    for (const auto& key : keys_of<Key>(map)) {
        numbers.insert(number_of(key));
    }
    return numbers;
}

/// Takes out what has none of the numbers that are kept.
template <typename Key>
void remove_others(int map, const Numbers& kept) {
    for (const auto& key : keys_of<Key>(map)) {
        if (!kept.contains(number_of(key))) {
            bpf_map_delete_elem(map, &key);
        }
    }
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
                taken_.push_back(number);
                return number;
            }
        }
        return 0;
    }
    [[nodiscard]] const std::vector<std::uint16_t>& taken() const { return taken_; }

  private:
    Numbers used_;
    std::uint16_t* last_;
    std::vector<std::uint16_t> taken_;
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
        int error = table_ == 0 ? E2BIG : 0;
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

Numbers as_set(const std::vector<std::uint16_t>& numbers) {
    return {numbers.begin(), numbers.end()};
}

}  // namespace

Result<std::vector<std::uint16_t>> Routes::write(const RouteMaps& maps, const std::vector<RouteTable>& tables,
                                                 bool complete) {
    if (tables == tables_) {
        return numbers_;
    }
    if (complete && !tables_.empty()) {  // else those may be in force that an earlier agent wrote
        remove_others<upstat_route_host_key>(maps.hosts, as_set(numbers_));
        remove_others<upstat_route_path_key>(maps.paths, as_set(tries_));
    }
    const auto tables_before = numbers_in<upstat_route_host_key>(maps.hosts);
    const auto tries_before = numbers_in<upstat_route_path_key>(maps.paths);
    Free numbers(tables_before, last_table_);
    Free tries(tries_before, last_trie_);
    int error = 0;
    for (auto table = tables.begin(); table != tables.end() && error == 0; ++table) {
        error = Writer(maps, numbers.take(), tries).write(*table);
    }
    if (error != 0) {
        remove_others<upstat_route_host_key>(maps.hosts, tables_before);
        remove_others<upstat_route_path_key>(maps.paths, tries_before);
        auto problem = bpf_error(error,
                                 "the routes to servers that several backends list find no room in the maps "
                                 "route_hosts and route_paths: they are counted together");
        problem.hint = "this is a limit of upstat's; tell its authors how many routers there are";
        return std::unexpected(std::move(problem));
    }
    tables_ = tables;
    numbers_ = numbers.taken();
    tries_ = tries.taken();
    return numbers_;
}

}  // namespace upstat::programs
