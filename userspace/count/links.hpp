// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat {

/// Where a program is attached to a cgroup, in the order in which it is done: connections made from the first step on
/// are known by their own state, and no answer comes in that a new program would be expected to know and does not.
enum Hook : std::size_t { sockops, ingress, egress, hooks };

/// What a link is on.
struct Place {
    std::uint64_t cgroup = 0;  ///< 0 when the cgroup is gone
    Hook hook = hooks;         ///< `hooks` for one that we have no program for
};

/// The links by which the programs are on their cgroups, each pinned as DIRECTORY/CGROUP-HOOK.
class Links {
  public:
    /// `programs` are descriptors by Hook, owned by the caller.
    Links(std::filesystem::path directory, const std::array<int, hooks>& programs)
        : directory_(std::move(directory)), programs_(programs) {}

    /// Takes over every link that is pinned in another directory: it runs our program from then on, without a gap. All
    /// programs first, then the pins: while a cgroup has programs of two kinds, the ones do not know the others'
    /// requests.
    void adopt(const std::filesystem::path& other) const;

    /// Puts the programs on a cgroup, or takes over the links that it has here; true when there were none.
    [[nodiscard]] Result<bool> attach(int cgroup, std::uint64_t id) const;

    /// Unpins the links of cgroups that are gone.
    void drop_dead() const;

    /// The cgroups (by inode) that have all their links.
    [[nodiscard]] std::set<std::uint64_t> attached() const;

  private:
    [[nodiscard]] std::filesystem::path pin(std::uint64_t cgroup, Hook hook) const;
    [[nodiscard]] bool update(const Fd& link, const Place& place) const;
    [[nodiscard]] Result<bool> attach_one(Hook hook, int cgroup, std::uint64_t id) const;

    std::filesystem::path directory_;
    std::array<int, hooks> programs_;
};

}  // namespace upstat
