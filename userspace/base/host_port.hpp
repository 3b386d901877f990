// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace upstat {

/// A host and a port, of an address to listen on or of a URL.
struct HostPort {
    std::string host;  ///< a name or a numeric address, IPv6 without its brackets; empty: every address of this host
    std::uint16_t port = 0;

    bool operator==(const HostPort&) const = default;
};

/// Nothing for what is not "HOST:PORT", "[IPV6]:PORT" or ":PORT".
std::optional<HostPort> parse_host_port(std::string_view text);

/// "HOST:PORT", or "[IPV6]:PORT".
std::string to_string(const HostPort& address);

/// Whether a listener there takes connections to every address of this host.
bool is_every_address(const HostPort& address);

/// Where this host itself reaches what listens on an address: by the loopback where it listens on every address.
HostPort reached_locally(const HostPort& listener);

/// The name of this host, as the kernel has it.
std::string host_name();

/// Whether a host, by name or number, is the loopback of whoever connects.
bool is_loopback(std::string_view host);

}  // namespace upstat
