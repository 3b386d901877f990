// SPDX-License-Identifier: Apache-2.0
#include "publish/connections.hpp"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <utility>

namespace upstat::publish {

namespace {

/// How many bytes the client's host has taken; it takes no more than a few segments that its program does not read.
std::uint64_t acknowledged_bytes(int fd) {
    tcp_info info{};
    socklen_t size = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_acked : 0;
}

}  // namespace

Connections::Connections(Fd epoll, Millis patience, std::uint64_t newest)
    : epoll_(std::move(epoll)), patience_(patience), newest_(newest) {}

Connections::Connection& Connections::add(int fd) {
    auto& connection = open_.emplace_back();
    connection.fd = fd;
    connection.number = ++count_;
    connection.deadline = Clock::now() + patience_;
    connection.by_age = std::prev(open_.end());
    connection.by_wait = waiting_.insert(waiting_.end(), &connection);
    return connection;
}

void Connections::leave(Connection& connection) {
    if (connection.cut) {
        cut_.erase(connection.by_age);
        return;
    }
    connection.goodbye = Fd(fcntl(connection.fd, F_DUPFD_CLOEXEC, 0));
    connection.fd = connection.goodbye.get();
    epoll_event event{.events = EPOLLIN, .data = {.ptr = &connection}};
    if (!connection.goodbye || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.fd, &event) != 0) {
        forget(connection);
    }
}

bool Connections::cut_longest_waiting() {
    if (waiting_.empty()) {
        return false;
    }
    for (auto looks = waiting_.size(); looks > 0; --looks) {
        auto& longest = *waiting_.front();
        const auto acknowledged = acknowledged_bytes(longest.fd);
        const bool is_new = longest.number + newest_ > count_;
        if (acknowledged == longest.acknowledged && !is_new) {
            break;
        }
        longest.acknowledged = acknowledged;  // it has read since the last look
        waiting_.splice(waiting_.end(), waiting_, longest.by_wait);
    }
    cut(*waiting_.front());
    return true;
}

void Connections::cut_overdue() {
    const auto now = Clock::now();
    while (!open_.empty() && open_.front().deadline <= now) {
        cut(open_.front());
    }
}

void Connections::cut(Connection& connection) {
    if (connection.goodbye) {
        forget(connection);
        return;
    }
    shutdown(connection.fd, SHUT_RDWR);  // the HTTP library sees its end, and closes it
    connection.cut = true;
    waiting_.erase(connection.by_wait);
    cut_.splice(cut_.end(), open_, connection.by_age);
}

void Connections::see_off() {
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), 0);
    for (const auto& event : std::span(events).first(static_cast<std::size_t>(std::max(count, 0)))) {
        see_off(*static_cast<Connection*>(event.data.ptr));
    }
}

void Connections::see_off(Connection& connection) {
    constexpr std::size_t longest_goodbye = 65536;
    while (connection.discarded < longest_goodbye) {
        const auto got = recv(connection.fd, nullptr, longest_goodbye, MSG_TRUNC | MSG_DONTWAIT);  // not copied
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (got <= 0) {
            break;
        }
        connection.discarded += static_cast<std::size_t>(got);
    }
    forget(connection);
}

void Connections::forget(Connection& connection) {
    if (connection.goodbye) {  // closing it is not enough while a child that is about to exec has a copy
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.fd, nullptr);
    }
    waiting_.erase(connection.by_wait);
    open_.erase(connection.by_age);
}

std::optional<Connections::Clock::time_point> Connections::next_deadline() const {
    return open_.empty() ? std::nullopt : std::optional(open_.front().deadline);
}

}  // namespace upstat::publish
