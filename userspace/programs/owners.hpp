// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "programs/generations.hpp"

namespace upstat::programs {

/// A process whose sockets count in a cgroup that it shares with others.
struct Member {
    pid_t pid = 0;
    std::uint64_t start_time = 0;  ///< clock ticks since boot; with the pid it names a process for good
    std::uint16_t zone = 0;        ///< as in the keys of the maps

    auto operator<=>(const Member&) const = default;
};

/// Why connections that a process had before are not counted, by its pid.
using MemberProblems = std::map<pid_t, Error>;

/// Tells whose sockets they are where several processes share a cgroup: bpf/owner.h.
class Owners {
  public:
    /// The descriptor of the program that marks new sockets, for the hook cgroup/sock_create. Loads it if need be.
    Result<int> program(const Generation& generation);

    /// These processes count from now on; where they are `complete`, no others: until then those of an earlier
    /// agent stay that still run. The program must be on their cgroups, so that no socket is made unmarked while those
    /// that are there already are marked.
    const MemberProblems& set(std::vector<Member> members, bool complete, const Generation& generation);

    /// Sockets of nobody's are looked at again.
    static void look_again(const Generation& generation);

    /// Marks the sockets of all members again at the next `set`: some may have been made unmarked.
    void mark_again() { members_.reset(); }

    /// Readable when there are `newcomers`; -1 where the program is not loaded.
    [[nodiscard]] int fd() const;

    /// Processes that have made their first socket. Not all of them, where many wait.
    std::vector<pid_t> newcomers();

    /// The descriptor of the program; -1 where it is not loaded.
    [[nodiscard]] int loaded_program() const;

  private:
    struct Loaded;
    struct FreeLoaded {
        void operator()(Loaded* loaded) const;
    };

    std::unique_ptr<Loaded, FreeLoaded> loaded_;
    std::optional<std::vector<Member>> members_;
    MemberProblems problems_;
};

}  // namespace upstat::programs
