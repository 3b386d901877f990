// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/route_tables.hpp"
#include "attribute/catalogue.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "config/settings.hpp"
#include "poll/samples.hpp"
#include "poll/snapshot.hpp"
#include "programs/owners.hpp"
#include "programs/probes.hpp"
#include "programs/zones.hpp"

namespace upstat::agent {

/// The kernel side as the loop sees it. The loop's tests have one without a kernel.
class Kernel {
  public:
    Kernel() = default;
    Kernel(const Kernel&) = delete;
    Kernel& operator=(const Kernel&) = delete;
    virtual ~Kernel() = default;

    /// Puts the programs of a zone on a cgroup v2 directory; `listening` are the local ports whose connections are
    /// clients'.
    virtual Result<void> attach(const std::filesystem::path& cgroup, const std::set<std::uint16_t>& listening,
                                std::uint16_t zone) = 0;

    /// The same where other processes live in the cgroup, too: only what `members` send is counted there. They are the
    /// members of all such cgroups.
    virtual Result<void> attach_shared(const std::filesystem::path& cgroup, const std::set<std::uint16_t>& listening,
                                       std::uint16_t zone, const std::vector<programs::Member>& members) = 0;

    /// The processes that count in shared cgroups from now on; where they are `complete`, no others. Why their
    /// connections from before are not counted, where they are not.
    virtual programs::MemberProblems set_members(const std::vector<programs::Member>& members, bool complete) = 0;

    /// Processes of shared cgroups that have made their first socket; the descriptor is readable when there are any.
    [[nodiscard]] virtual int newcomers_fd() const = 0;
    virtual std::vector<pid_t> newcomers() = 0;

    /// The number that stands for a name in the keys of the maps; a new name gets a new one.
    virtual Result<std::uint16_t> zone_of(const std::string& name) = 0;
    /// Names and their numbers with earlier maps. Fails where these maps have others.
    virtual Result<void> adopt_zones(const programs::ZoneNames& names) = 0;
    /// All of them, as long as these maps live.
    [[nodiscard]] virtual const programs::ZoneNames& zones() const = 0;

    /// Has probes in these processes, and in no others: so responses are counted that no packet shows.
    virtual programs::ProbeState probe(const std::vector<programs::Probed>& processes) = 0;

    /// Tells the programs which servers backends list, to which of them Traefik sends requests of its own, and to which
    /// it sends by several routes; what they were told before stays beside it where this is not `complete`. Errors: not
    /// all find room.
    virtual Result<void> set_servers(const attribute::Catalogue& catalogue, const RouteTables& routes,
                                     bool complete) = 0;

    /// Unloads the programs of all other zones; what is attached stays.
    virtual void keep_zones(const std::set<std::uint16_t>& zones) = 0;

    /// Forgets cgroups that are gone.
    virtual void drop_dead() = 0;

    /// The cgroups (by inode) that have all programs.
    [[nodiscard]] virtual std::set<std::uint64_t> attached() const = 0;

    /// Reads all counts once.
    virtual Result<poll::Snapshot> read(Time at) = 0;

    /// One walk over the connections, for poll::SocketWalk. Errors: host where the kernel does not show them.
    virtual Result<Fd> walk_sockets() = 0;

    /// The samples of requests whose responses have these codes, from now on. Errors: none are taken.
    virtual Result<poll::Samples> samples(const poll::Codes& codes) = 0;

    /// Names these very maps: totals read under another epoch cannot be compared.
    [[nodiscard]] virtual std::string epoch() const = 0;
};

/// Loads the programs and pins them. Errors: host where the kernel, privileges or the pin path do not do; runtime where
/// another agent is at work.
Result<std::unique_ptr<Kernel>> open_kernel(const config::Settings& settings);

}  // namespace upstat::agent
