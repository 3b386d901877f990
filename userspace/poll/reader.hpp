// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "poll/keys.hpp"
#include "poll/map.hpp"
#include "poll/snapshot.hpp"

namespace upstat {

/// Maps of an earlier generation, of any layout: -1 where there is no such map.
struct CarriedMaps {
    std::string path;  ///< where they are pinned, for messages
    int totals = -1;
    int requests = -1;
    int overflow = -1;
    int places = -1;
    bool own_state = false;  ///< of sockets: the newest programs do not know the requests in flight there
    bool served = false;     ///< programs that do know them are attached still

    bool operator==(const CarriedMaps&) const = default;
};

/// Where to read: descriptors of the maps of bpf/maps.h and of the programs, all owned by the caller.
struct Sources {
    int totals = -1;
    int requests = -1;
    int overflow = -1;
    int places = -1;
    std::vector<CarriedMaps> carried{};
    std::vector<std::pair<std::string, int>> programs{};

    bool operator==(const Sources&) const = default;
};

/// Reads a snapshot: the sum over all generations of maps, each by its own layout.
class Reader {
  public:
    /// Carried maps that cannot be read are left out; `left_out` says which and why.
    explicit Reader(Sources sources);

    [[nodiscard]] const Sources& sources() const { return sources_; }
    [[nodiscard]] const std::vector<Error>& left_out() const { return left_out_; }

    /// Reads all maps once. Totals come before requests, so no answer is seen without its request.
    [[nodiscard]] Result<Snapshot> read(Time at) const;

  private:
    /// What one reading has brought so far.
    struct Gathered {
        std::vector<Total> going_on;
        std::vector<Total> leaving;  ///< of generations whose programs stay for the answers to requests in flight
        std::vector<Total> ended;    ///< of generations whose requests in flight no program knows
        std::vector<MapFill> fills;  ///< of the newest generation's maps
    };

    struct Generation {
        std::vector<CountingMap> events;    ///< what is read first
        std::vector<CountingMap> requests;  ///< what is read then; a map of both kinds is in both
        int places = -1;
        std::vector<Total> Gathered::* totals = &Gathered::going_on;
    };

    [[nodiscard]] std::expected<Generation, std::string> translated(const CarriedMaps& maps) const;
    Result<void> gather(Gathered& into, std::vector<CountingMap> Generation::* maps,
                        bool (*wanted)(const Total&)) const;
    [[nodiscard]] Result<std::map<std::string, std::uint64_t>> read_places() const;

    Sources sources_;
    std::vector<Generation> generations_;
    std::vector<Error> left_out_;
};

/// Reads once: for those who need no second poll.
Result<Snapshot> read_snapshot(const Sources& sources, Time at);

/// The servers that totals are about. Numbers of a newer layout stay in the sums: a method that is not known is an
/// extension, a reason is "unknown".
std::map<Server, ServerTotals> to_servers(std::span<const Total> totals);

/// Requests of these servers that no program knows any more, to be counted as unanswered. A server whose answers are
/// more than its requests had these counted under the server zero, from which they are taken.
std::map<Server, std::uint64_t> never_answered(const std::map<Server, ServerTotals>& ended);

}  // namespace upstat
