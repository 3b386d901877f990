// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace upstat::traefik {

/// A mount of cgroup v2.
struct CgroupMount {
    std::string of;     ///< the cgroup that is mounted, "/" for the whole tree
    std::string point;  ///< where
};

/// Those that ROOT/proc/self sees.
std::vector<CgroupMount> own_cgroup_mounts(const std::filesystem::path& root);

/// And those that another process sees, where we may look: outside of a container's PID namespace.
std::vector<CgroupMount> cgroup_mounts_of(const std::filesystem::path& root, pid_t pid);

/// A mount of cgroups outside of our cgroup namespace: mountinfo tells what is mounted as seen from its root.
bool leads_out(const CgroupMount& mount);

/// A path in a file-system root, and a directory as it is shown: without a slash at its end.
std::filesystem::path below(const std::filesystem::path& root, const std::filesystem::path& absolute);
std::string tidy(const std::filesystem::path& directory);

/// Only the root of the whole hierarchy has no cgroup.events; a namespace's root has.
bool is_root_cgroup(const std::filesystem::path& directory);

/// The cgroup v2 tree as one look at the host sees it. Each file is read once, however many processes are asked for, so
/// a look takes as long as there are processes and not as their square.
class Cgroups {
  public:
    explicit Cgroups(std::filesystem::path root);

    struct Place {
        std::string directory;  ///< openable from here
        std::string name;       ///< its path below the mount of the whole tree
    };
    /// The directory whose cgroup.procs names the process: the check that a path of another namespace was read right.
    std::optional<Place> of(pid_t pid);

    /// The processes of a cgroup and of all below it; 0 stands for one of another PID namespace.
    const std::vector<pid_t>& processes_below(const std::string& directory);

    /// The parent of a process; nothing when it has ended.
    std::optional<pid_t> parent(pid_t pid);

  private:
    bool holds(const std::filesystem::path& directory, pid_t pid);
    std::optional<Place> in_host_trees(const std::string& path, pid_t pid);
    void list_host_trees();

    std::filesystem::path root_;
    std::vector<CgroupMount> mounts_;
    std::map<std::string, std::set<pid_t>> held_;             ///< by directory
    std::map<std::string, std::vector<pid_t>> below_;         ///< by directory
    std::map<pid_t, std::optional<pid_t>> parents_;           ///< by process
    std::optional<std::vector<std::filesystem::path>> tops_;  ///< host trees, once they were asked for
    std::optional<std::map<pid_t, Place>> places_;            ///< where each process is in those
};

}  // namespace upstat::traefik
