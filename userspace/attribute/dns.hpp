// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <filesystem>
#include <functional>
#include <set>
#include <string>

namespace upstat::attribute {

/// Numeric addresses, or one sentence why there are none.
using LookedUp = std::expected<std::set<std::string>, std::string>;

/// Takes what became of one name.
using TakeName = std::function<void(const std::string& name, LookedUp addresses)>;

/// Looks names up as Go's resolver would in a process (/proc/PID): with its /etc/hosts and /etc/resolv.conf, in its
/// network namespace. Each name is handed on as soon as it is known, so that a slow one holds no other; a minute is the
/// most that all of them take. True where asking costs nobody else anything: all names stood in the hosts file, or the
/// name servers are on the loopback, as Docker's is.
///
/// The calling thread stays in the namespace and has no privileges any more: it is one that ends afterwards. What the
/// process's owner chose is bounded: files are regular ones inside its root and of 1 MB and 64 KB at most, the servers
/// are 3, the addresses of a name 64.
bool look_up(const std::filesystem::path& process, const std::set<std::string>& names, const TakeName& take);

}  // namespace upstat::attribute
