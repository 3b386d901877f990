// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace soak {

/// Both sides run without luck: what cannot happen by construction ends the run with a sentence.
[[noreturn]] inline void fail(const std::string& what) {
    throw std::runtime_error(what);
}

[[noreturn]] inline void fail_errno(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// What is to be sent on one socket, in as many segments as it has stops.
class Output {
  public:
    void append(std::string_view text) {
        if (text.size() > bytes_.size() - end_) {
            fail("an answer or a request is larger than its buffer");
        }
        std::memcpy(bytes_.data() + end_, text.data(), text.size());
        end_ += text.size();
    }

    void append(std::uint32_t number, int base = 10) {
        std::array<char, 12> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
        append(std::string_view(digits.data(), end));
    }

    /// What is appended next begins a segment of its own.
    void stop() {
        if (stop_count_ < stops_.size()) {
            stops_.at(stop_count_++) = end_;
        }
    }

    [[nodiscard]] std::size_t size() const { return end_; }
    [[nodiscard]] bool empty() const { return begin_ == end_; }

    /// Sends what the socket takes. 0, or the errno of a connection that takes no more.
    int flush(int fd) {
        for (std::size_t stop = 0; begin_ != end_;) {
            while (stop < stop_count_ && stops_.at(stop) <= begin_) {
                stop++;
            }
            const auto until = stop < stop_count_ ? stops_.at(stop) : end_;
            const auto sent = ::send(fd, bytes_.data() + begin_, until - begin_, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0) {
                return errno == EAGAIN ? 0 : errno;
            }
            begin_ += static_cast<std::size_t>(sent);
        }
        clear();
        return 0;
    }

    void clear() { begin_ = end_ = stop_count_ = 0; }

  private:
    std::array<char, 26 * 1024> bytes_{};
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::array<std::size_t, 4> stops_{};
    std::size_t stop_count_ = 0;
};

/// A head that may come in pieces.
class Head {
  public:
    /// Takes bytes up to the end of the head; the number that it took. `whole` says whether it is complete.
    std::size_t take(std::string_view data) {
        const auto before = size_;
        const auto room = std::min(data.size(), bytes_.size() - size_);
        std::memcpy(bytes_.data() + size_, data.data(), room);
        const auto from = before < 3 ? 0 : before - 3;
        const auto end = std::string_view(bytes_.data(), before + room).find("\r\n\r\n", from);
        whole = end != std::string_view::npos;
        if (!whole && before + room == bytes_.size()) {
            fail("a head is larger than its buffer");
        }
        size_ = whole ? end + 4 : before + room;
        return size_ - before;
    }

    [[nodiscard]] std::string_view text() const { return {bytes_.data(), size_}; }
    void clear() {
        size_ = 0;
        whole = false;
    }

    bool whole = false;

  private:
    std::array<char, 2048> bytes_{};
    std::size_t size_ = 0;
};

inline sockaddr_in to_address(const std::string& text) {
    const auto colon = text.find(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1))));
    if (colon == std::string::npos || ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
        fail("not an address: " + text);
    }
    return address;
}

inline void set_option(int fd, int level, int option, int value) {
    if (::setsockopt(fd, level, option, &value, sizeof(value)) != 0) {
        fail_errno("setsockopt");
    }
}

/// No segment waits for another, and a reset that was lost is asked for again: an idle connection is probed each
/// second.
inline void prepare(int fd) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 30);
}

inline void close_with_reset(int fd) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    ::close(fd);
}

/// One epoll, with a pointer for each descriptor.
class Poller {
  public:
    Poller() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
        if (fd_ < 0) {
            fail_errno("epoll_create1");
        }
    }
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;
    ~Poller() { ::close(fd_); }

    void add(int fd, std::uint32_t events, void* owner) { control(EPOLL_CTL_ADD, fd, events, owner); }
    void change(int fd, std::uint32_t events, void* owner) { control(EPOLL_CTL_MOD, fd, events, owner); }

    /// The events that are there, after at most `milliseconds`.
    [[nodiscard]] std::size_t wait(int milliseconds) {
        const int count = ::epoll_wait(fd_, events_.data(), static_cast<int>(events_.size()), milliseconds);
        if (count < 0 && errno != EINTR) {
            fail_errno("epoll_wait");
        }
        return count < 0 ? 0 : static_cast<std::size_t>(count);
    }
    [[nodiscard]] const epoll_event& operator[](std::size_t i) const { return events_.at(i); }

  private:
    void control(int operation, int fd, std::uint32_t events, void* owner) const {
        epoll_event event{};
        event.events = events;
        event.data.ptr = owner;
        if (::epoll_ctl(fd_, operation, fd, &event) != 0) {
            fail_errno("epoll_ctl");
        }
    }

    int fd_;
    std::array<epoll_event, 256> events_{};
};

}  // namespace soak
