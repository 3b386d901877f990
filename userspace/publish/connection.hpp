// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <httplib.h>

#ifndef CPPHTTPLIB_OPENSSL_SUPPORT
#error "cpp-httplib's classes depend on the flags that pkg-config gives for it"
#endif

#include <array>
#include <atomic>
#include <chrono>
#include <string>

#include "base/fd.hpp"
#include "base/time.hpp"

namespace upstat::publish {

/// One client's connection, for one request. As a whole it may take so long and no longer, and send so much and no
/// more: a client that drips its request byte by byte does not hold a thread for ever.
class Connection : public httplib::Stream {
  public:
    Connection(Fd fd, Millis patience);

    [[nodiscard]] bool is_readable() const override { return true; }
    [[nodiscard]] bool is_writable() const override { return true; }
    ssize_t read(char* to, size_t size) override;
    ssize_t write(const char* from, size_t size) override;
    void get_remote_ip_and_port(std::string& ip, int& port) const override;
    void get_local_ip_and_port(std::string& ip, int& port) const override;
    [[nodiscard]] socket_t socket() const override { return fd_.get(); }
    using httplib::Stream::write;

    /// Says that this was all, and waits until the client has taken it. False if the client did not.
    bool finish();

    struct Patience {
        Millis for_request;   ///< to be there, all of it
        Millis for_progress;  ///< between two pieces of the answer that the client takes
    };

    /// Ends the connection if it has waited for its client for so long. From any thread.
    void cut_if_waiting(const Patience& patience);

    /// Ends the connection. From any thread.
    void cut();

  private:
    [[nodiscard]] bool wait_for(short events) const;

    Fd fd_;
    std::chrono::steady_clock::time_point start_;
    std::chrono::steady_clock::time_point deadline_;
    std::atomic<bool> writing_ = false;
    std::atomic<std::chrono::steady_clock::time_point> progress_;  ///< when the client last took something
    std::array<char, 4096> buffer_{};
    std::size_t at_ = 0;
    std::size_t filled_ = 0;
    std::size_t taken_ = 0;
};

}  // namespace upstat::publish
