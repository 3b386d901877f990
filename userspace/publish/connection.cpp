// SPDX-License-Identifier: Apache-2.0
#include "publish/connection.hpp"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace upstat::publish {

namespace {

constexpr std::size_t longest_request = 65536;
constexpr Millis longest_goodbye = std::chrono::seconds(2);

}  // namespace

Connection::Connection(Fd fd, Millis patience)
    : fd_(std::move(fd)), start_(std::chrono::steady_clock::now()), deadline_(start_ + patience), progress_(start_) {}

/// Waits for the descriptor; false when the deadline has passed, ready or not.
bool Connection::wait_for(short events) const {
    pollfd poll_fd{.fd = fd_.get(), .events = events, .revents = 0};
    while (true) {
        const auto left = std::chrono::ceil<Millis>(deadline_ - std::chrono::steady_clock::now());
        if (left <= Millis(0)) {
            return false;
        }
        const int ready = ::poll(&poll_fd, 1, static_cast<int>(left.count()));
        if (ready >= 0 || errno != EINTR) {
            return ready > 0;
        }
    }
}

ssize_t Connection::read(char* to, size_t size) {
    if (at_ == filled_) {
        if (taken_ >= longest_request || !wait_for(POLLIN)) {
            return -1;
        }
        const auto got = recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
        if (got <= 0) {
            return got;
        }
        at_ = 0;
        filled_ = static_cast<std::size_t>(got);
        taken_ += filled_;
    }
    const auto count = std::min(size, filled_ - at_);
    std::copy_n(buffer_.data() + at_, count, to);
    at_ += count;
    return static_cast<ssize_t>(count);
}

ssize_t Connection::write(const char* from, size_t size) {
    progress_ = std::chrono::steady_clock::now();
    writing_ = true;
    while (wait_for(POLLOUT)) {
        const auto sent = send(fd_.get(), from, size, MSG_NOSIGNAL);
        if (sent >= 0 || (errno != EINTR && errno != EAGAIN)) {
            return sent;
        }
    }
    return -1;
}

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
    ip.clear();
    port = 0;
}

void Connection::get_local_ip_and_port(std::string& ip, int& port) const {
    ip.clear();
    port = 0;
}

bool Connection::finish() {
    writing_ = false;
    deadline_ = std::min(deadline_, std::chrono::steady_clock::now() + longest_goodbye);
    if (shutdown(fd_.get(), SHUT_WR) != 0) {
        return false;
    }
    while (wait_for(POLLIN)) {
        const auto got = recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR && errno != EAGAIN) {
            return false;  // a reset: what we sent was thrown away
        }
        taken_ += got > 0 ? static_cast<std::size_t>(got) : 0;
        if (taken_ >= longest_request) {
            break;
        }
    }
    int unsent = 0;
    return ioctl(fd_.get(), SIOCOUTQ, &unsent) == 0 && unsent == 0;
}

void Connection::cut_if_waiting(const Patience& patience) {
    const auto now = std::chrono::steady_clock::now();
    if (writing_ ? now - progress_.load() >= patience.for_progress : now - start_ >= patience.for_request) {
        cut();
    }
}

void Connection::cut() {
    shutdown(fd_.get(), SHUT_RDWR);
}

}  // namespace upstat::publish
