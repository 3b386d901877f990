// SPDX-License-Identifier: Apache-2.0
#include "poll/sockets.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <iterator>
#include <system_error>

#include "layout.h"

namespace upstat::poll {

namespace {

constexpr std::array<std::string_view, UPSTAT_SOCKET_STATES> socket_states{UPSTAT_SOCKET_LIST(UPSTAT_LABEL)};
constexpr std::size_t piece_bytes = 1U << 16U;  ///< twice what the kernel gives at once

/// How long a jiffy is: the resolution of the clocks that go by it.
std::chrono::nanoseconds jiffy() {
    timespec resolution{};
    clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
    return std::chrono::seconds(resolution.tv_sec) + std::chrono::nanoseconds(resolution.tv_nsec);
}

Socket to_socket(const upstat_socket& record, std::chrono::nanoseconds jiffy) {
    Socket socket{.server = {.address = {},
                             .port = static_cast<std::uint16_t>(record.server.port),
                             .zone = static_cast<std::uint16_t>(record.server.zone)},
                  .local_port = record.local_port,
                  .state = record.state < socket_states.size() ? socket_states.at(record.state) : "unknown",
                  .joined = record.joined != 0,
                  .lasting = std::chrono::duration_cast<Millis>(record.lasting * jiffy),
                  .age = std::chrono::duration_cast<Millis>((std::int64_t{record.age} << UPSTAT_AGE_SHIFT) * jiffy)};
    std::ranges::copy(record.server.address, socket.server.address.begin());
    std::ranges::copy(record.responses, socket.responses.begin());
    return socket;
}

/// As many as there are, or one more than are taken.
Result<std::vector<upstat_socket>> read_records(const Fd& iterator) {
    std::vector<upstat_socket> records;
    std::vector<std::byte> rest;
    std::vector<std::byte> piece(piece_bytes);
    while (records.size() <= most_sockets) {
        const auto got = ::read(iterator.get(), piece.data(), piece.size());
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            return fail(Error::Kind::runtime,
                        "the kernel's sockets cannot be read: " + std::generic_category().message(errno));
        }
        if (got == 0) {
            break;
        }
        rest.insert(rest.end(), piece.begin(), piece.begin() + std::max<ssize_t>(got, 0));
        const auto whole = rest.size() / sizeof(upstat_socket);
        const auto before = records.size();
        records.resize(before + whole);
        std::memcpy(records.data() + before, rest.data(), whole * sizeof(upstat_socket));
        rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(whole * sizeof(upstat_socket)));
    }
    return records;
}

/// Where connections come while a walk goes, the kernel shows some of the others again.
void drop_repeated(std::vector<upstat_socket>& records) {
    std::ranges::sort(records, {}, &upstat_socket::number);
    const auto repeated = std::ranges::unique(records, {}, &upstat_socket::number);
    records.erase(repeated.begin(), repeated.end());
}

Result<Sockets> read_sockets(const Fd& iterator, Wall at) {
    auto records = read_records(iterator);
    if (!records) {
        return std::unexpected(records.error());
    }
    Sockets sockets{.at = at, .complete = records->size() <= most_sockets};
    records->resize(std::min(records->size(), most_sockets));
    drop_repeated(*records);
    const auto length = jiffy();
    sockets.all.reserve(records->size());
    std::ranges::transform(*records, std::back_inserter(sockets.all),
                           [length](const upstat_socket& record) { return to_socket(record, length); });
    return sockets;
}

}  // namespace

bool Socket::waits() const {
    return state == socket_states[UPSTAT_SOCKET_WAITING] || state == socket_states[UPSTAT_SOCKET_CONNECTING];
}

const Result<Sockets>& SocketWalk::sockets() const {
    std::call_once(once_, [this] {
        over_ = true;
        sockets_ = iterator_ ? read_sockets(*iterator_, wall_()) : std::unexpected(iterator_.error());
    });
    return sockets_;
}

}  // namespace upstat::poll
