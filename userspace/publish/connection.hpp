// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <string_view>

#include "base/fd.hpp"
#include "base/time.hpp"

namespace upstat {

/// One client's connection, for one request. As a whole it may take so long and no longer, and send so much and no
/// more: a client that drips its request byte by byte does not hold a thread for ever.
class Connection {
  public:
    Connection(Fd fd, Millis patience);

    /// As read(2), but waits until there is something; -1 too when patience is over or the request too long.
    ssize_t read(char* to, std::size_t size);

    /// False when not all of it could be sent.
    bool write(std::string_view text);

    /// Says that this was all, and waits until the client has taken it. False if the client did not.
    bool finish();

    /// Ends the connection if it has waited for its client for at least this long. From any thread.
    void cut_if_waiting(Millis age);

    /// Ends the connection. From any thread.
    void cut();

  private:
    [[nodiscard]] bool wait_for(short events) const;

    Fd fd_;
    std::chrono::steady_clock::time_point start_;
    std::chrono::steady_clock::time_point deadline_;
    std::atomic<bool> writing_ = false;
    std::array<char, 4096> buffer_{};
    std::size_t at_ = 0;
    std::size_t filled_ = 0;
    std::size_t taken_ = 0;
};

}  // namespace upstat
