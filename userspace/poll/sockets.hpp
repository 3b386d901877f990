// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/time.hpp"
#include "poll/snapshot.hpp"

namespace upstat::poll {

/// One connection to a server, as it is at one moment.
struct Socket {
    Server server{};
    std::uint16_t local_port = 0;
    std::string_view state{};                  ///< "waiting", ...: see UPSTAT_SOCKET_LIST
    bool joined = false;                       ///< it is older than `age`, and than what is counted
    std::array<std::uint32_t, 4> responses{};  ///< 2xx to 5xx, Traefik's own requests' among them
    Millis lasting{};                          ///< so long in this state
    Millis age{};

    /// A request waits, or the server has not even accepted the connection.
    [[nodiscard]] bool waits() const;
};

/// What one walk found.
struct Sockets {
    Wall at{};
    std::vector<Socket> all{};
    bool complete = true;  ///< there are no more than were read
};

/// More are not read: 8 MB.
inline constexpr std::size_t most_sockets = 100'000;

/// One walk over the connections, which goes when somebody asks first; who asks later gets the same. The loop makes
/// another one at its next poll, so no crowd of readers makes the kernel walk more often than that.
class SocketWalk {
  public:
    /// `iterator` gives `upstat_socket`s of bpf/layout.h.
    SocketWalk(Result<Fd> iterator, std::function<Wall()> wall)
        : iterator_(std::move(iterator)), wall_(std::move(wall)) {}

    /// May be called from any thread.
    [[nodiscard]] const Result<Sockets>& sockets() const;
    /// Somebody has asked.
    [[nodiscard]] bool is_over() const { return over_; }

  private:
    Result<Fd> iterator_;
    std::function<Wall()> wall_;
    mutable std::once_flag once_;
    mutable std::atomic<bool> over_ = false;
    mutable Result<Sockets> sockets_;
};

}  // namespace upstat::poll
