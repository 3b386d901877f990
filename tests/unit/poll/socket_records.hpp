// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "layout.h"
#include "poll/sockets.hpp"

namespace upstat::poll {

/// A record as the kernel's iterator writes it.
inline upstat_socket socket_record(std::uint64_t number, std::string_view server, upstat_socket_state state) {
    const auto parsed = *parse_server(server);
    upstat_socket record{};
    record.number = number;
    std::ranges::copy(parsed.address, record.server.address);
    record.server.port = parsed.port;
    record.local_port = static_cast<std::uint16_t>(40000 + number);
    record.state = static_cast<std::uint8_t>(state);
    return record;
}

/// A descriptor from which these bytes are read.
inline Fd file_of(std::span<const std::byte> bytes) {
    Fd file(memfd_create("records", MFD_CLOEXEC));
    EXPECT_EQ(::write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ::lseek(file.get(), 0, SEEK_SET);
    return file;
}

/// A walk that finds these, at the 1,700,000,000th second.
inline std::shared_ptr<const SocketWalk> walk_of(const std::vector<upstat_socket>& records) {
    return std::make_shared<const SocketWalk>(file_of(std::as_bytes(std::span(records))),
                                              [] { return Wall(std::chrono::seconds(1'700'000'000)); });
}

}  // namespace upstat::poll
