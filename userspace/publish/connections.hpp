// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>

#include "base/fd.hpp"
#include "base/time.hpp"
#include "publish/tls.hpp"

namespace upstat::publish {

/// The web server's connections: which one has waited longest for its client, and which one is overdue. For one
/// thread.
class Connections {
  public:
    using Clock = std::chrono::steady_clock;

    struct Connection {
        int fd = -1;
        std::uint64_t number = 0;  ///< they are numbered as they come
        Clock::time_point deadline;
        bool cut = false;
        std::optional<bool> allowed;     ///< by the password that it came with
        std::shared_ptr<const Tls> tls;  ///< which its session was begun with
        Fd goodbye;                      ///< ours: the HTTP library is done, the client has not closed its side yet
        std::uint64_t acknowledged = 0;  ///< bytes that the client had taken when last looked at
        std::size_t discarded = 0;       ///< bytes that came behind the request
        std::list<Connection>::iterator by_age;
        std::list<Connection*>::iterator by_wait;
    };

    /// As a whole a connection may take so long and no longer. The `newest` ones are cut last: they had no time yet to
    /// show that their clients do something.
    Connections(Fd epoll, Millis patience, std::uint64_t newest);

    /// One is accepted; the HTTP library owns its descriptor.
    Connection& add(int fd);

    /// The HTTP library is done with it and closes its descriptor. It stays here until the client has closed its side
    /// or is overdue: a socket that is closed before its client has sent all it wants throws away what is not read yet.
    void leave(Connection& connection);

    /// All but those that were cut.
    [[nodiscard]] std::size_t size() const { return open_.size(); }

    /// Ends the one whose client has been doing nothing for longest. False if there is none.
    bool cut_longest_waiting();
    void cut_overdue();

    /// Readable when see_off() has something to do.
    [[nodiscard]] int fd() const { return epoll_.get(); }
    void see_off();

    [[nodiscard]] std::optional<Clock::time_point> next_deadline() const;

  private:
    void cut(Connection& connection);
    void see_off(Connection& connection);
    void forget(Connection& connection);

    Fd epoll_;  ///< of the goodbyes
    Millis patience_;
    std::uint64_t newest_;
    std::uint64_t count_ = 0;
    std::list<Connection> open_;  ///< the oldest, whose deadline is the next, first
    std::list<Connection> cut_;
    std::list<Connection*> waiting_;  ///< the open ones, longest waiting first
};

}  // namespace upstat::publish
