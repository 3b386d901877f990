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

/// Where a program is attached to a cgroup, in the order in which it is done. Egress alone decides whose a request is:
/// each answer finds the ingress program there already, and no socket is told of by sockops, as one whose first request
/// is awaited, before egress sees what it sends.
enum Hook : std::size_t { ingress, egress, sockops, hooks };

/// What a link is on.
struct Place {
    std::uint64_t cgroup = 0;  ///< 0 when the cgroup is gone
    Hook hook = hooks;         ///< `hooks` for one that we have no program for
};

/// The links by which the programs are on their cgroups, each pinned as DIRECTORY/CGROUP-HOOK.
///
/// A cgroup on which the programs of a former generation are goes over step by step, each of which leaves it with one
/// egress program, one sockops program, and the ingress program of whichever egress program sent a request in flight:
///     a new ingress link beside the old one; egress runs our program, then is pinned here; sockops the same.
/// The old ingress link stays for the answers to the requests that were in flight, until `let_go`.
class Links {
  public:
    /// `former` are the directories of former generations; `programs` descriptors by Hook, owned by the caller.
    Links(std::filesystem::path directory, std::vector<std::filesystem::path> previous,
          const std::array<int, hooks>& programs)
        : directory_(std::move(directory)), previous_(std::move(previous)), programs_(programs) {}

    /// Puts the programs on a cgroup, or takes over the links that it has; true when no request was counted there.
    [[nodiscard]] Result<bool> attach(int cgroup, std::uint64_t id) const;

    /// Unpins what former generations still have on the cgroups that are ours.
    void detach_previous() const;

    /// Unpins the links of cgroups that are gone.
    void drop_dead() const;

    /// The cgroups (by inode) that have all their links.
    [[nodiscard]] std::set<std::uint64_t> attached() const;

  private:
    [[nodiscard]] std::filesystem::path pin(const Place& place) const;
    [[nodiscard]] bool update(const std::filesystem::path& pin, const Place& place) const;
    [[nodiscard]] Result<bool> take_over(const Place& place) const;
    [[nodiscard]] Result<bool> attach_one(int cgroup, const Place& place) const;

    std::filesystem::path directory_;
    std::vector<std::filesystem::path> previous_;
    std::array<int, hooks> programs_;
};

}  // namespace upstat::programs
