// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "poll/snapshot.hpp"
#include "programs/counter.hpp"

namespace upstat::peer {

/// What was counted in one case.
struct Counted {
    poll::ServerTotals server;
    std::map<std::uint16_t, poll::ResponseCounts> routes;  ///< the part of them that came by a route
    std::map<std::string, poll::ServerTotals> probes;      ///< by kind
    std::map<std::string, std::uint64_t> places;           ///< those that counted anything
};

/// What is made on this host, and must not stay: pins and a cgroup, named after this process.
struct Places {
    std::filesystem::path pins;
    std::filesystem::path cgroup;
};
Places make_places();
void remove(const Places& places);

/// What the programs counted, read and taken out of their maps, so that each case begins at nothing.
class Counts {
  public:
    /// Loads the programs and attaches them to a cgroup, which this process moves to. Throws std::runtime_error.
    explicit Counts(const Places& places);

    /// From now on each CPU's room for a head is taken, as by a program that another one interrupts.
    void occupy_head_buffers();
    bool head_buffers_occupied() const { return !taken_.empty(); }
    /// Whether what stands in those rooms is as occupy_head_buffers left it.
    bool head_buffers_untouched() const;

    /// Tells the programs of one server and the routes to it, and of no other.
    void set_record(programs::Record record, const programs::RouteTable& routes);

    /// So many slots of the table of totals are given away, to other servers.
    void give_slots(std::uint32_t given);

    /// What was counted since the last call: of this server, and the places.
    Counted take(const poll::Server& server);

  private:
    std::filesystem::path cgroup_;
    std::unique_ptr<programs::Counter> counter_;
    Fd head_buffers_;
    std::vector<std::uint64_t> taken_;
    std::map<std::string, std::uint64_t> seen_;
};

}  // namespace upstat::peer
