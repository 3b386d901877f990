// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "base/fd.hpp"

namespace upstat::traefik {

using AddressBytes = std::array<unsigned char, sizeof(in6_addr)>;  ///< IPv4 as ::ffff:a.b.c.d

bool is_v4(const AddressBytes& address);

/// A socket that asks the kernel of the sockets in a process's network namespace (sock_diag(7)). Empty where that
/// cannot be had: without the kernel's module, or without the privilege to enter that namespace.
Fd open_socket_diag(const std::filesystem::path& proc);

/// The inode of the listening socket that a connection from the same host to this address would reach; 0 where there
/// is none. One look-up of the kernel's, however many sockets there are. Nothing where the kernel does not tell.
std::optional<std::uint64_t> listener_at(const Fd& diag, const AddressBytes& address, std::uint16_t port);

}  // namespace upstat::traefik
