// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace upstat::traefik {

/// One Traefik process of this host.
struct Instance {
    pid_t pid = 0;
    std::uint64_t start_time = 0;  ///< clock ticks since boot; with the pid it names a process for good
    std::string cgroup;            ///< its cgroup v2 directory, openable from here; empty when there is none to be seen
    std::optional<Error> refused;  ///< why the programs may not be attached to `cgroup`
    std::string network_namespace;  ///< /proc/PID/ns/net
};

struct FindOptions {
    std::optional<pid_t> pid;  ///< --traefik.pid: this process, whatever it is called
    std::string cgroup;        ///< --traefik.cgroup: this directory, whoever else lives in it
};

/// Whether a process runs Traefik, by the name of the file that it was started from, an upgraded one too.
bool is_traefik(const std::filesystem::path& root, pid_t pid);

/// The Traefik processes, in the order of their ids; none is no error. Fails when --traefik.pid names no process or
/// --traefik.cgroup no cgroup. A process whose cgroup is shared is there too, with `refused` set.
Result<std::vector<Instance>> find_instances(const std::filesystem::path& root, const FindOptions& options);

/// --traefik.cgroup as a directory to attach to: any cgroup v2 directory but the root. It may be empty of processes, so
/// that the programs can be there before Traefik is, and it need not be there yet: systemd makes a unit's when it
/// starts.
Result<std::string> explicit_cgroup(const std::filesystem::path& root, const std::string& cgroup);

/// Where cgroup v2 is mounted for us (/sys/fs/cgroup, /sys/fs/cgroup/unified); nothing when it is not.
std::optional<std::string> cgroup2_mount(const std::filesystem::path& root);

/// TCP ports with a listener in the network namespace of a process. Reads of all of its sockets: for attaching only.
std::set<std::uint16_t> listening_ports(const std::filesystem::path& root, pid_t pid);

}  // namespace upstat::traefik
