// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/host_port.hpp"

namespace upstat::traefik {

/// The listening sockets of a process that were found among its descriptors: inode to number. Only that number is
/// looked at again, since a busy Traefik has many thousands of descriptors.
using OwnSockets = std::map<std::uint64_t, std::string>;

/// Why what is sent to a numeric address (or localhost) in the network namespace of a process would not reach that
/// process; empty where every socket that listens there is its own. Whoever else is on the host may listen where an
/// API is expected, and would be believed.
std::string not_its_listener(const std::filesystem::path& root, pid_t pid, const HostPort& address, OwnSockets& own);

}  // namespace upstat::traefik
