// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/fd.hpp"
#include "base/host_port.hpp"

namespace upstat::traefik {

/// The listening sockets of a process that were found among its descriptors: inode to number. Only that number is
/// looked at again, since a busy Traefik has many thousands of descriptors.
struct OwnSockets {
    std::map<std::uint64_t, std::string> numbers{};
    Fd diag{};  ///< asks of the sockets in the process's network namespace
};

/// Why what is sent to a numeric address (or localhost) in the network namespace of a process would not reach that
/// process; empty where every socket that listens there is its own. The kernel is asked for that address alone, so that
/// it does not matter how many sockets others have; where it does not tell, its table is read. Whoever else is on the
/// host may listen where an API is expected, and would be believed.
std::string not_its_listener(const std::filesystem::path& root, pid_t pid, const HostPort& address, OwnSockets& own);

}  // namespace upstat::traefik
