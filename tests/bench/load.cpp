// SPDX-License-Identifier: Apache-2.0
// The load of the measurements, in windows that end with nothing under way, so that what it counts is exact:
//   bench_load client PORT CONNECTIONS get|post|once|websocket|turns PATH BODY [SERVERS]
//   bench_load echo PORT      the server for `websocket`: answers each upgrade with 101, each message with the same
// The client reads lines: so many milliseconds, in which each connection asks again as soon as it is answered. When the
// last answer is there it says the number of HTTP answers, and each exchange's microseconds: `ANSWERS US US ...`.
// `once` takes a new connection for each request; `websocket` upgrades each connection once a window, and exchanges
// messages; `turns` asks on one connection after the other, 32 at a time, each to one of so many addresses in 127.1/16.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t message_size = 125;  // the longest that a frame's short form has
constexpr int patience = 60'000;           // milliseconds

// The key and its answer are those of RFC 6455, 1.3.
constexpr std::string_view upgrade_headers =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
constexpr std::string_view switching =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

[[noreturn]] void die(const std::string& what) {
    std::fprintf(stderr, "bench_load: %s (%s)\n", what.c_str(), std::strerror(errno));
    std::exit(1);
}

int check(int result, const char* what) {
    if (result < 0) die(what);
    return result;
}

/// A client's frame, masked with zeros, or a server's.
std::string frame(bool masked) {
    std::string bytes{static_cast<char>(0x82), static_cast<char>((masked ? 0x80 : 0) | message_size)};
    return bytes + std::string(masked ? 4 : 0, '\0') + std::string(message_size, 'm');
}

constexpr std::size_t at_a_time = 32;  // of `turns`
constexpr in_addr_t first_of_many = 0x7f010000;

sockaddr_in at(in_addr_t address, std::uint16_t port) {
    return {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(address)}, .sin_zero = {}};
}

/// An epoll instance whose events are those of T's.
template <typename T>
class Events {
  public:
    void watch(int fd, T* owner) {
        epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = owner}};
        check(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    }

    template <typename Function>
    void wait(int most, Function&& take) {
        epoll_event events[256];
        const int count = epoll_wait(epoll_, events, 256, most);
        if (count == 0) die("nothing happens");
        for (int i = 0; i < count; i++) take(static_cast<T*>(events[i].data.ptr));
    }

  private:
    int epoll_ = check(epoll_create1(0), "epoll_create");
};

/// Reads all that is there; false at the end of the stream.
template <typename Function>
bool read_all(int fd, Function&& take) {
    static char buffer[1 << 18];
    for (;;) {
        const auto size = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (size < 0 && errno == EAGAIN) return true;
        if (size <= 0) return false;
        take(std::string_view(buffer, static_cast<std::size_t>(size)));
    }
}

enum class Kind { get, post, once, websocket, turns };

struct Asked {
    std::uint16_t port;
    Kind kind;
    std::string request;
};

class Connection;

struct Seen {
    bool over = false;                  // the window's time is
    std::deque<Connection*> resting{};  // between two requests, the one that rests longest first
    std::size_t busy = 0;               // connections
    std::size_t answers = 0;
    std::vector<long> microseconds{};
};

class Connection {
  public:
    Connection(const Asked& asked, in_addr_t server, Seen& seen, Events<Connection>& events)
        : asked_(asked), server_(server), seen_(seen), events_(events) {}

    void begin() {
        seen_.busy++;
        if (fd_ < 0) connect_now();
        ask(asked_.request);
    }

    void ready() {
        if (fd_ < 0) return;  // an event that its own end has overtaken
        const bool asked = waiting_;
        flush();
        if (!read_all(fd_, [this](std::string_view bytes) { take(bytes); })) die("a connection was closed");
        if (asked && !waiting_) go_on();
    }

  private:
    void connect_now() {
        fd_ = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
        const int yes = 1;
        check(setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), "TCP_NODELAY");
        const auto address = at(server_, asked_.port);
        check(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
        events_.watch(fd_, this);
        tunnel_ = false;
    }

    void ask(std::string_view bytes) {
        unsent_ = bytes;
        waiting_ = true;
        head_.clear();
        left_ = tunnel_ ? 2 + message_size : 0;
        asked_at_ = Clock::now();
        flush();
    }

    void flush() {
        while (!unsent_.empty()) {
            const auto size = send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (size < 0 && errno == EAGAIN) return;
            if (size < 0) die("send");
            unsent_.remove_prefix(static_cast<std::size_t>(size));
        }
    }

    void take(std::string_view bytes) {
        if (!waiting_) die("more came than was asked for");
        if (left_ == 0) {  // still in the head
            const auto old = head_.size();
            head_ += bytes;
            const auto end = head_.find("\r\n\r\n", old < 3 ? 0 : old - 3);
            if (end == std::string::npos) return;
            bytes.remove_prefix(end + 4 - old);
            head_.resize(end + 4);
            left_ = body_size();
        }
        if (bytes.size() > left_) die("more came than was asked for");
        left_ -= bytes.size();
        waiting_ = left_ > 0;
    }

    std::size_t body_size() {
        if (asked_.kind == Kind::websocket) {
            if (!head_.starts_with("HTTP/1.1 101 ")) die("no upgrade: " + head_);
            return 0;
        }
        if (!head_.starts_with("HTTP/1.1 200 ")) die("not 200: " + head_);
        std::ranges::transform(head_, head_.begin(), [](unsigned char c) { return std::tolower(c); });
        constexpr std::string_view name = "\r\ncontent-length: ";
        const auto at = head_.find(name);
        if (at == std::string::npos) die("no Content-Length: " + head_);
        return std::strtoul(head_.c_str() + at + name.size(), nullptr, 10);
    }

    void go_on() {
        if (!tunnel_) seen_.answers++;
        if (tunnel_ || asked_.kind != Kind::websocket) {
            using namespace std::chrono;
            seen_.microseconds.push_back(duration_cast<microseconds>(Clock::now() - asked_at_).count());
        }
        tunnel_ = asked_.kind == Kind::websocket;
        if (asked_.kind == Kind::once || (tunnel_ && seen_.over)) {
            close(fd_);
            fd_ = -1;
        }
        if (seen_.over || asked_.kind == Kind::turns) {
            seen_.busy--;
            seen_.resting.push_back(this);
            return;
        }
        if (fd_ < 0) connect_now();
        static const std::string message = frame(true);
        ask(tunnel_ ? message : asked_.request);
    }

    const Asked& asked_;
    in_addr_t server_;
    Seen& seen_;
    Events<Connection>& events_;
    int fd_ = -1;
    bool tunnel_ = false;
    bool waiting_ = false;
    std::string_view unsent_;
    std::string head_;
    std::size_t left_ = 0;  // of the answer's body; 0 in the head
    Clock::time_point asked_at_;
};

Asked asked_of(char** words) {
    const std::string_view name = words[4];
    const std::unordered_map<std::string_view, Kind> kinds{{"get", Kind::get},
                                                           {"post", Kind::post},
                                                           {"once", Kind::once},
                                                           {"websocket", Kind::websocket},
                                                           {"turns", Kind::turns}};
    const auto kind = kinds.find(name);
    if (kind == kinds.end()) die("no such kind: " + std::string(name));
    const std::string port = words[2];
    std::string request = std::string(kind->second == Kind::post ? "POST " : "GET ") + words[5] +
                          " HTTP/1.1\r\nHost: 127.0.0.1:" + port + "\r\n";
    if (kind->second == Kind::websocket) request += upgrade_headers;
    if (kind->second == Kind::post) request += std::string("Content-Length: ") + words[6] + "\r\n";
    request += "\r\n" + std::string(std::strtoul(words[6], nullptr, 10), 'x');
    return {static_cast<std::uint16_t>(std::stoi(port)), kind->second, std::move(request)};
}

int client(char** words, std::uint32_t servers) {
    const auto asked = asked_of(words);
    Seen seen;
    Events<Connection> events;
    std::vector<std::unique_ptr<Connection>> connections(std::strtoul(words[3], nullptr, 10));
    std::uint32_t number = 0;
    for (auto& one : connections) {
        const auto server = servers == 0 ? INADDR_LOOPBACK : first_of_many + number++ % servers;
        one = std::make_unique<Connection>(asked, server, seen, events);
    }
    for (const auto& one : connections) seen.resting.push_back(one.get());
    const auto together = asked.kind == Kind::turns ? at_a_time : connections.size();
    long milliseconds = 0;
    while (std::scanf("%ld", &milliseconds) == 1) {
        seen = {.resting = std::move(seen.resting)};
        const auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
        const auto begin_more = [&] {
            while (seen.busy < together && !seen.resting.empty()) {
                auto* const one = seen.resting.front();
                seen.resting.pop_front();
                one->begin();
            }
        };
        begin_more();
        while (seen.busy > 0) {
            events.wait(patience, [](Connection* one) { one->ready(); });
            seen.over = Clock::now() >= end;
            if (asked.kind == Kind::turns && !seen.over) begin_more();
        }
        std::printf("%zu", seen.answers);
        for (const auto one : seen.microseconds) std::printf(" %ld", one);
        std::printf("\n");
        std::fflush(stdout);
    }
    return 0;
}

struct Tunnel {
    int fd;
    std::string got{};
    bool open = false;
};

void answer(Tunnel& tunnel) {
    static const std::string message = frame(false), asked = frame(true);
    std::string out;
    if (!tunnel.open) {
        const auto end = tunnel.got.find("\r\n\r\n");
        if (end == std::string::npos) return;
        tunnel.got.erase(0, end + 4);
        tunnel.open = true;
        out = switching;
    }
    for (; tunnel.got.size() >= asked.size(); tunnel.got.erase(0, asked.size())) {
        if (!tunnel.got.starts_with(asked)) die("not the message that was agreed upon");
        out += message;
    }
    // Where the other end is gone, its end of the stream comes next.
    if (!out.empty()) (void)!send(tunnel.fd, out.data(), out.size(), MSG_NOSIGNAL);
}

int echo(char** words) {
    Tunnel listener{.fd = check(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket")};
    const int yes = 1;
    check(setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), "SO_REUSEADDR");
    const auto address = at(INADDR_LOOPBACK, static_cast<std::uint16_t>(std::stoi(words[2])));
    check(bind(listener.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
    check(listen(listener.fd, 4096), "listen");
    Events<Tunnel> events;
    events.watch(listener.fd, &listener);
    for (;;) {
        events.wait(-1, [&](Tunnel* tunnel) {
            if (tunnel == &listener) {
                for (int fd; (fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
                    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), "TCP_NODELAY");
                    events.watch(fd, new Tunnel{.fd = fd});
                }
                return;
            }
            if (read_all(tunnel->fd, [&](std::string_view bytes) { tunnel->got += bytes; })) {
                answer(*tunnel);
            } else {
                close(tunnel->fd);
                delete tunnel;
            }
        });
    }
}

}  // namespace

int main(int count, char** words) {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const std::string_view what = count > 1 ? words[1] : "";
    if (what == "client" && (count == 7 || count == 8)) {
        return client(words, count == 8 ? static_cast<std::uint32_t>(std::stoul(words[7])) : 0);
    }
    if (what == "echo" && count == 3) return echo(words);
    std::fprintf(stderr,
                 "bench_load client PORT CONNECTIONS get|post|once|websocket|turns PATH BODY [SERVERS] | bench_load "
                 "echo PORT\n");
    return 2;
}
