// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/maps.hpp"
#include "programs/owners.hpp"
#include "programs/probes.hpp"
#include "programs/records.hpp"
#include "programs/removal.hpp"
#include "programs/routes.hpp"
#include "programs/zones.hpp"

namespace upstat::programs {

/// How many entries the kernel maps can hold. Pinned maps that are larger are kept; smaller ones are carried over.
struct MapSizes {
    std::uint32_t totals = 65536;    ///< servers x (codes x methods + reasons) that occur
    std::uint32_t requests = 16384;  ///< servers
    std::uint32_t samples = 0;       ///< of each server; 0: no program takes any
};

/// A kernel program of ours, for its statistics.
struct CounterProgram {
    std::string name;
    int fd = -1;
};

/// The kernel programs that count, what they are attached to, and the maps that they write. Maps and links are pinned
/// below one directory of a bpffs, so that counting goes on when this process ends. A lock on that directory keeps
/// other agents out. generations.hpp tells how an upgrade goes.
class Counter {
  public:
    /// Loads the programs. They go on with the maps pinned below pin_path, or get new ones if those have another layout
    /// or are too small.
    /// Errors: host if the kernel, a capability or pin_path will not do; runtime if another agent is at work.
    static Result<Counter> open(const std::filesystem::path& pin_path, const MapSizes& sizes);

    Counter(Counter&&) noexcept;
    Counter& operator=(Counter&&) noexcept;
    ~Counter();

    /// Attaches the programs to a cgroup v2 directory. Links that an earlier agent pinned for it are adopted: they run
    /// this agent's programs from then on, without a gap. Connections to the local ports in `listening` are clients'.
    /// What is counted there is the zone's: its programs are loaded if need be.
    Result<void> attach(const std::filesystem::path& cgroup, const std::set<std::uint16_t>& listening,
                        std::uint16_t zone);

    /// The same for a cgroup in which other processes live, too: only what `members` send is counted. They are all
    /// members of all shared cgroups.
    Result<void> attach_shared(const std::filesystem::path& cgroup, const std::set<std::uint16_t>& listening,
                               std::uint16_t zone, const std::vector<Member>& members);

    /// The processes that count in shared cgroups from now on; where they are `complete`, no others.
    const MemberProblems& set_members(const std::vector<Member>& members, bool complete);

    /// Processes of shared cgroups that have made their first socket; some of them, where there are many. The
    /// descriptor is readable when there are any, and -1 where there is no shared cgroup.
    [[nodiscard]] int newcomers_fd() const;
    std::vector<pid_t> newcomers();

    /// The number of a zone by its name; see zones.hpp.
    Result<std::uint16_t> zone_of(const std::string& name);
    Result<void> adopt_zones(const ZoneNames& names);
    [[nodiscard]] const ZoneNames& zones() const;

    /// Loads the programs for the next new zone ahead of time, so that a cgroup need not wait for the verifier.
    void load_ahead();

    /// Unloads the programs of all other zones, but those of zone 0 and those that were loaded ahead. What is attached
    /// stays.
    void keep_zones(const std::set<std::uint16_t>& zones);

    /// Has probes in these processes, and in no others.
    ProbeState probe(const std::vector<Probed>& processes);

    /// Tells the programs of servers whose requests must be looked at; see write_records. They stay in force when the
    /// agent ends.
    Result<void> set_records(const std::vector<Record>& records, bool complete);

    /// Tells them of routes, by the numbers that records then name; see routes.hpp.
    WrittenRoutes set_routes(const std::vector<RouteTable>& tables);

    /// Detaches the previous generations' programs. Call it once the requests that they track are answered.
    void detach_previous();

    /// A walk over the newest generation's connections; see SocketIterator.
    Result<Fd> walk_sockets();

    /// Unpins the links of cgroups that are gone.
    void drop_dead();

    /// The cgroups (by inode) that have all their links.
    [[nodiscard]] std::set<std::uint64_t> attached() const;

    /// The maps that the programs write. The descriptors are this Counter's.
    [[nodiscard]] CounterMaps maps() const;

    /// Where samples of requests are, if they are wanted.
    [[nodiscard]] SampleMaps sample_maps() const;

    /// The previous generations' maps, as things stand. Every count is the sum over these and `maps`.
    [[nodiscard]] std::vector<CarriedMaps> carried() const;

    /// Those of all zones: three of each name for three zones.
    [[nodiscard]] std::vector<CounterProgram> programs() const;

    /// Names the set of maps that is summed. An upgrade keeps it; after `detach` it is another one, and totals of the
    /// two cannot be compared.
    [[nodiscard]] std::string epoch() const;

    /// Whether a generation is pinned below pin_path.
    static bool is_pinned(const std::filesystem::path& pin_path);

    /// Takes upstat's programs and maps below pin_path off the host, and nothing else.
    /// Errors: host if pin_path is not a directory on a bpffs; runtime if an agent is at work.
    static Result<Removed> detach(const std::filesystem::path& pin_path);

  private:
    class Impl;
    explicit Counter(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace upstat::programs
