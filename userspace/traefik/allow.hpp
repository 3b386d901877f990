// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace upstat::traefik {

/// Whose processes are believed to be a Traefik (--traefik.allow). Anybody can run one, or something with its name:
/// what it says of backends and servers goes into counts and alerts.
struct Allowed {
    bool everyone = false;
    bool system = false;  ///< root, system users and systemd's dynamic ones: none of them is a person
    uid_t last_system_user = 999;
    std::set<uid_t> users;
    std::vector<std::string> cgroups;  ///< globs of paths below the cgroup v2 mount; * matches / too

    bool operator==(const Allowed&) const = default;
};

/// "system", "containers", users by name or number, and globs of cgroups that begin with a slash; a text may have
/// several between commas. Where SYS_UID_MAX ends is read from ROOT/etc/login.defs. Errors are of kind usage.
Result<Allowed> parse_allow(const std::vector<std::string>& texts, const std::filesystem::path& root);

bool allows_user(const Allowed& allowed, uid_t user);

/// `name` is a cgroup's path below the mount of the whole tree.
bool allows_cgroup(const Allowed& allowed, const std::string& name);

}  // namespace upstat::traefik
