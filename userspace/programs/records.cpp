// SPDX-License-Identifier: Apache-2.0
#include "programs/records.hpp"

#include <bpf/bpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

#include "layout.h"
#include "programs/pins.hpp"

namespace upstat::programs {

namespace {

/// The bytes of a key: the kernel compares no more.
using RecordKey = std::array<std::uint8_t, sizeof(upstat_server_key)>;
using RecordValue = std::array<std::uint8_t, sizeof(upstat_record)>;
using RecordsByKey = std::map<RecordKey, RecordValue>;

template <typename Bytes>
Bytes bytes_of(const auto& value) {
    Bytes bytes{};
    static_assert(sizeof(value) == sizeof(bytes));
    std::memcpy(bytes.data(), &value, sizeof(value));
    return bytes;
}

RecordsByKey by_key(const std::vector<Record>& records) {
    RecordsByKey all;
    for (const auto& record : records) {
        upstat_server_key key{};
        std::memcpy(key.address, record.address.data(), record.address.size());
        key.port = record.port;
        key.zone = record.zone;
        const auto look = (record.own ? UPSTAT_LOOK_WHOSE : 0) | (record.auth ? UPSTAT_LOOK_AUTH : 0) |
                          (record.table != 0 ? UPSTAT_LOOK_ROUTE : 0);
        all[bytes_of<RecordKey>(key)] = bytes_of<RecordValue>(
            upstat_record{.look = static_cast<std::uint16_t>(look), .checks = record.checks, .table = record.table});
    }
    return all;
}

RecordsByKey read_all(int map) {
    RecordsByKey all;
    RecordKey key{};
    for (bool first = true; bpf_map_get_next_key(map, first ? nullptr : key.data(), key.data()) == 0; first = false) {
        RecordValue value{};
        if (bpf_map_lookup_elem(map, key.data(), value.data()) == 0) {
            all.emplace(key, value);
        }
    }
    return all;
}

/// A name is told only where the agent knows it now.
RecordValue without_table(const RecordValue& value) {
    upstat_record record{};
    std::memcpy(&record, value.data(), sizeof(record));
    record.look = static_cast<std::uint16_t>(record.look & ~UPSTAT_LOOK_ROUTE);
    record.table = 0;
    return bytes_of<RecordValue>(record);
}

bool is_looked_at(const Record& record) {
    return record.own || record.auth || record.table != 0;
}

std::size_t room_of(int map) {
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    return bpf_obj_get_info_by_fd(map, &info, &size) == 0 ? info.max_entries : 0;
}

struct Refused {
    std::size_t servers = 0;
    int reason = 0;
};

/// Writes what is not there yet.
Refused put_changed(int map, const RecordsByKey& wanted, const RecordsByKey& before) {
    Refused refused;
    for (const auto& [key, value] : wanted) {
        const auto known = before.find(key);
        if (known != before.end() && known->second == value) {
            continue;
        }
        if (bpf_map_update_elem(map, key.data(), value.data(), BPF_ANY) != 0) {
            refused = {.servers = refused.servers + 1, .reason = errno};
        }
    }
    return refused;
}

/// What is there stays beside what is wanted, as far as there is room; whose it is told of is not known any more.
void keep_known(RecordsByKey& wanted, const RecordsByKey& before, std::size_t room) {
    for (const auto& [key, value] : before) {
        if (wanted.size() < room) {
            wanted.emplace(key, without_table(value));
        }
    }
}

Result<void> no_room(const Refused& refused) {
    auto error =
        bpf_error(refused.reason, fmt::format("{} servers find no room in the map records: what Traefik asks them by "
                                              "itself may be counted as users', and servers that no backend lists may "
                                              "take their room in the map totals",
                                              refused.servers));
    error.hint = "raise --bpf.requests-size";
    return std::unexpected(std::move(error));
}

}  // namespace

std::vector<Record> with_room(std::vector<Record> records, std::size_t room) {
    if (records.size() <= room) {
        return records;
    }
    std::ranges::sort(records);
    std::map<std::pair<bool, std::uint16_t>, std::size_t> turns;
    std::vector<std::tuple<bool, std::size_t, Record>> in_turn;
    in_turn.reserve(records.size());
    for (const auto& record : records) {
        const bool plain = !is_looked_at(record);
        in_turn.emplace_back(plain, turns[{plain, record.zone}]++, record);
    }
    std::ranges::sort(in_turn);
    in_turn.resize(room);
    records.clear();
    std::ranges::transform(in_turn, std::back_inserter(records), [](const auto& one) { return std::get<Record>(one); });
    return records;
}

Result<void> begin_epoch(const RecordMaps& maps) {
    const std::uint32_t only = 0;
    std::uint32_t epoch = 0;
    bpf_map_lookup_elem(maps.epoch, &only, &epoch);
    epoch++;
    if (bpf_map_update_elem(maps.epoch, &only, &epoch, BPF_ANY) != 0) {
        return std::unexpected(bpf_error(errno, "cannot write to the map records_epoch"));
    }
    return {};
}

Result<void> write_records(const RecordMaps& maps, const std::vector<Record>& records, bool complete, bool anew) {
    const auto room = room_of(maps.records);
    const auto fitting = with_room(records, room);
    const Refused left_out{.servers = records.size() - fitting.size(), .reason = E2BIG};
    auto wanted = by_key(fitting);
    const auto before = read_all(maps.records);
    if (!complete) {
        keep_known(wanted, before, room);
    }
    if (wanted == before && !anew) {
        return left_out.servers == 0 ? Result<void>() : no_room(left_out);
    }
    for (const auto& [key, value] : before) {
        if (!wanted.contains(key)) {
            bpf_map_delete_elem(maps.records, key.data());
        }
    }
    const auto refused = put_changed(maps.records, wanted, before);
    if (auto begun = begin_epoch(maps); !begun) {
        return begun;
    }
    if (left_out.servers + refused.servers == 0) {
        return {};
    }
    return no_room({.servers = left_out.servers + refused.servers,
                    .reason = refused.servers != 0 ? refused.reason : left_out.reason});
}

}  // namespace upstat::programs
