// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/maps.hpp"
#include "poll/keys.hpp"
#include "poll/map.hpp"
#include "poll/snapshot.hpp"

namespace upstat::poll {

/// Where to read. All descriptors are owned by the caller.
struct Sources {
    CounterMaps own;
    std::vector<CarriedMaps> carried{};
    std::vector<std::pair<std::string, int>> programs{};

    bool operator==(const Sources&) const = default;
};

/// Reads a snapshot: the sum over all generations of maps, each by its own layout. From one reading to the next it
/// keeps the servers, and where the count of each entry belongs in them: an ordinary reading only adds what the counts
/// grew.
class Reader {
  public:
    /// Carried maps that cannot be read are left out; `left_out` says which and why.
    explicit Reader(Sources sources);
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    Reader(Reader&&) = default;
    Reader& operator=(Reader&&) = default;
    ~Reader() = default;

    [[nodiscard]] const Sources& sources() const { return sources_; }
    [[nodiscard]] const std::vector<Error>& left_out() const { return left_out_; }

    /// Reads all maps once. Totals come before requests, so no response is seen without its request.
    [[nodiscard]] Result<Snapshot> read(Time at);

  private:
    /// What becomes of a generation's requests in flight: the newest programs know them; programs that stay for them
    /// do; no program does.
    enum class Role : std::uint8_t { going_on, leaving, ended };

    /// One map, and what is wanted of it. A map of both kinds is two parts.
    struct Part {
        std::unique_ptr<CountingMap> map;
        bool (*wanted)(const Total&);
        bool newest = true;  ///< of the generation that counts now
        Role role = Role::going_on;
        std::vector<std::uint64_t*> cells{};     ///< by entry, in counted_; null where it is not wanted
        std::vector<std::uint64_t*> requests{};  ///< likewise, where the entry counts a request too
        std::vector<std::uint64_t*> routes{};    ///< likewise, where it is counted by a route too
        std::vector<std::uint64_t> added{};      ///< by entry, how much of it is in its cell
    };

    void add_own();
    void add_carried(const CarriedMaps& carried);
    Result<void> read_parts();
    [[nodiscard]] std::map<std::string, std::map<Server, std::uint64_t>> left_unanswered(Role role) const;
    void begin_servers_anew();
    void begin_routed_anew(const std::vector<Total>& totals);
    void add_growth();
    [[nodiscard]] std::vector<MapFill> fills() const;
    [[nodiscard]] Result<std::map<std::string, std::uint64_t>> read_places() const;

    Sources sources_;
    std::vector<Part> parts_;  ///< in the order of reading
    std::vector<int> places_;
    std::vector<Error> left_out_;
    std::map<std::string, Servers> counted_;  ///< by kind as in Probes; users' requests stand under the empty one
    Routed routed_;
    bool stale_ = false;  ///< counted_ has not a cell for every entry
};

/// Reads once: for those who need no second poll.
Result<Snapshot> read_snapshot(const Sources& sources, Time at);

/// The servers that totals are about. Numbers of a newer layout stay in the sums: a method that is not known is an
/// extension, a reason is "unknown".
Servers to_servers(std::span<const Total> totals);

/// Requests of these servers that no program knows any more, to be counted as unanswered. A server whose responses are
/// more than its requests had these counted under the server zero, from which they are taken.
std::map<Server, std::uint64_t> never_answered(const Servers& ended);

}  // namespace upstat::poll
