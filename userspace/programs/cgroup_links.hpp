// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat::programs {

/// The hooks of a cgroup, in the order in which the programs are attached. Only the egress program starts a request. So
/// the ingress program comes before it, and sees every response. The sockops program comes after it: a new socket that
/// it announces has all its requests seen. Where a cgroup is shared, the owners program comes before them all.
enum Hook : std::size_t { ingress, egress, sockops, owners, hooks };

/// Descriptors of programs, by Hook; -1 for a hook that is left alone. The caller owns them.
using Programs = std::array<int, hooks>;

/// What a link attaches.
struct Place {
    std::uint64_t cgroup = 0;  ///< 0 when the cgroup is gone
    Hook hook = hooks;         ///< `hooks` for one that we have no program for
};

/// Whether a link is pinned here that an upstat pinned: one to a cgroup, with a name of the form CGROUP-HOOK.
bool is_cgroup_link(const std::filesystem::path& pin);

/// The links that attach the programs to cgroups, each pinned as DIRECTORY/CGROUP-HOOK.
///
/// A cgroup that has a previous generation's programs is taken over in steps:
///     1. A new ingress link is made beside the old one.
///     2. The egress link runs our program, then its pin moves here.
///     3. The sockops link does the same.
/// At every moment the cgroup has one egress program, one sockops program, and the ingress program that belongs to the
/// egress program of each request in flight. The old ingress link stays for their responses, until `detach_previous`.
class CgroupLinks {
  public:
    /// `previous` are the directories of previous generations.
    CgroupLinks(std::filesystem::path directory, std::vector<std::filesystem::path> previous)
        : directory_(std::move(directory)), previous_(std::move(previous)) {}

    /// Attaches programs to a cgroup, or takes over the links that it has. True if nothing was counted there before.
    [[nodiscard]] Result<bool> attach(int cgroup, std::uint64_t id, const Programs& programs) const;

    /// Takes the owners program off a cgroup that is not shared any more.
    void remove_owners(std::uint64_t id) const;

    /// Unpins the previous generations' links to the cgroups that have all of ours.
    void detach_previous() const;

    /// Unpins the links of cgroups that are gone.
    void drop_dead() const;

    /// The cgroups (by inode) that have all their links. Those that are `shared` have one more than others.
    [[nodiscard]] std::set<std::uint64_t> attached(const std::set<std::uint64_t>& shared) const;

  private:
    [[nodiscard]] std::filesystem::path pin(const Place& place) const;
    [[nodiscard]] Result<bool> take_over(const Place& place, int program) const;
    [[nodiscard]] Result<bool> attach_one(int cgroup, const Place& place, int program) const;

    std::filesystem::path directory_;
    std::vector<std::filesystem::path> previous_;
};

}  // namespace upstat::programs
