// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace upstat::traefik {

/// A cgroup's path in the whole tree, as far as it can be seen from here: "/system.slice/traefik.service". It is made
/// by who runs the Traefik (systemd, a container engine, a kubelet), so no Traefik chooses another one's.
std::string cgroup_path(const std::filesystem::path& root, const std::string& directory);

/// What stays the same of that path when the Traefik restarts: a pod's containers come and go, so its path ends there.
std::string lasting_path(const std::string& cgroup_path);

/// The same for a container or a pod and for the one that is made in its place: its path with no ids of theirs. Empty
/// where the path has none: then it lasts by itself.
std::string family(const std::string& lasting_path);

/// The `traefik` label of each: the unit, container or pod that its lasting path names. Where an earlier one has the
/// same name (a user's own traefik.service), it is the path.
std::map<std::uint16_t, std::string> short_names(const std::map<std::uint16_t, std::string>& lasting_paths);

}  // namespace upstat::traefik
