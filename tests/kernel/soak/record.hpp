// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "plan.hpp"

namespace soak {

/// What one side saw of one server.
struct ServerRecord {
    static constexpr std::size_t codes = 600;

    std::uint64_t connects = 0;
    std::uint64_t connect_timeouts = 0;
    std::uint64_t requests = 0;
    std::uint64_t tunnels = 0;
    /// Requests that ended without an answer. Crossed ones were sent into a connection that the server was closing:
    /// they end, for certain and once, by its FIN or by a RST, and which one came first only the kernel can say.
    std::uint64_t reset = 0;
    std::uint64_t closed = 0;
    std::uint64_t aborted = 0;
    std::uint64_t crossed = 0;
    std::array<std::array<std::uint64_t, method_names.size()>, codes> answers{};
    /// The server's side: answers sent just before a reset, which the client may or may not have got.
    std::array<std::array<std::uint64_t, method_names.size()>, codes> cut{};

    void add(const ServerRecord& other);
};

using Record = std::vector<ServerRecord>;  // one a server, in the command line's order

void add(Record& sum, const Record& other);
/// As JSON, by the servers' addresses.
void write(const Record& record, const std::vector<std::string>& addresses, const std::string& path);

}  // namespace soak
