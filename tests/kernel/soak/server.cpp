// SPDX-License-Identifier: Apache-2.0
/// The servers' side of the soak: does what each request's plan says, and writes down that it did.
#include <memory>
#include <utility>

#include "sides.hpp"

namespace soak {

namespace {

enum class Phase : std::uint8_t { head, body, tunnel, ended };

struct Listener {
    int fd = -1;
    std::size_t server = 0;
};

/// One accepted connection.
struct Connection {
    int fd = -1;
    std::size_t server = 0;
    Phase phase = Phase::head;
    Plan plan;
    Head head;
    std::size_t left = 0;  ///< bytes of the request's body, or of the tunnel's question, to come
    bool answered = false;
    bool blocked = false;
    Output out;
};

class Server {
  public:
    explicit Server(const std::vector<std::string>& addresses) : record_(addresses.size()) {
        for (std::size_t server = 0; server < addresses.size(); server++) {
            listeners_.push_back(std::make_unique<Listener>(Listener{listen(to_address(addresses[server])), server}));
            poller_.add(listeners_.back()->fd, EPOLLIN, tagged(*listeners_.back()));
        }
    }

    Record run(const std::atomic<bool>& stop) {
        while (!stop) {
            const auto count = poller_.wait(100);
            for (std::size_t i = 0; i < count; i++) {
                handle(poller_[i].data.u64, poller_[i].events);
            }
            // Behind the others' answers, so that the client has had the time to ask again.
            std::erase_if(closing_, [this](Connection* connection) {
                const bool sent = connection->out.empty();
                if (sent) {
                    close(*connection);
                }
                return sent;
            });
        }
        return record_;
    }

  private:
    /// Listeners and connections come back from one epoll: the lowest bit tells them apart.
    static void* tagged(Listener& listener) { return reinterpret_cast<char*>(&listener) + 1; }

    void handle(std::uint64_t owner, std::uint32_t events) {
        if (owner & 1) {
            accept(*reinterpret_cast<Listener*>(owner - 1));
            return;
        }
        auto& connection = *reinterpret_cast<Connection*>(owner);
        if (events & EPOLLOUT) {
            flush(connection);
        }
        if (events & ~EPOLLOUT && connection.fd >= 0) {
            receive(connection);
        }
    }

    static int listen(const sockaddr_in& address) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
        if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 || ::listen(fd, 4096) != 0) {
            fail_errno("listen");
        }
        return fd;
    }

    void accept(const Listener& listener) {
        for (;;) {
            const int fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED)) {
                return;
            }
            if (fd < 0) {
                fail_errno("accept4");
            }
            prepare(fd);
            auto& connection = unused();
            connection.fd = fd;
            connection.server = listener.server;
            record_[listener.server].connects++;
            poller_.add(fd, EPOLLIN, &connection);
        }
    }

    Connection& unused() {
        if (unused_.empty()) {
            connections_.push_back(std::make_unique<Connection>());
            unused_.push_back(connections_.back().get());
        }
        auto& connection = *unused_.back();
        unused_.pop_back();
        connection.phase = Phase::head;
        connection.blocked = false;
        connection.head.clear();
        connection.out.clear();
        return connection;
    }

    /// No event of this round is left for it: each descriptor comes once.
    void close(Connection& connection, bool with_reset = false) {
        if (connection.fd < 0) {
            return;
        }
        if (with_reset) {
            close_with_reset(connection.fd);
        } else {
            ::close(connection.fd);
        }
        connection.fd = -1;
        unused_.push_back(&connection);
    }

    void receive(Connection& connection) {
        if (connection.phase == Phase::ended) {  // unread bytes make the close a reset, whatever crosses it
            poller_.change(connection.fd, EPOLLOUT, &connection);
            return;
        }
        const auto size = ::recv(connection.fd, bytes_.data(), bytes_.size(), 0);
        if (size > 0) {
            take(connection, std::string_view(bytes_.data(), static_cast<std::size_t>(size)));
        } else if (size == 0 || errno != EAGAIN) {
            close(connection);
        }
    }

    void take(Connection& connection, std::string_view data) {
        while (!data.empty() && connection.phase != Phase::ended) {
            if (connection.phase == Phase::head) {
                data.remove_prefix(connection.head.take(data));
                if (!connection.head.whole) {
                    return;
                }
                begin(connection);
                connection.head.clear();
            } else {
                const auto taken = std::min(connection.left, data.size());
                connection.left -= taken;
                data.remove_prefix(taken);
            }
            if (connection.left == 0 && connection.phase != Phase::head) {
                read_whole(connection);
            }
        }
    }

    /// A request's head was read.
    void begin(Connection& connection) {
        auto& plan = connection.plan = read_plan(connection.head.text());
        record_[connection.server].requests++;
        connection.phase = Phase::body;
        connection.left = upload_bytes(plan);
        connection.answered = plan.upload == Upload::early;
        if (connection.answered) {
            answer(connection);
        } else if (plan.upload == Upload::expect) {
            connection.out.append(continue_answer);
            flush(connection);
        }
    }

    /// So was its body, or what is asked in a tunnel.
    void read_whole(Connection& connection) {
        if (std::exchange(connection.phase, Phase::head) == Phase::tunnel) {
            connection.out.append(tunnel_say);
            flush(connection);
        } else if (!connection.answered) {
            answer(connection);
        }
    }

    void answer(Connection& connection) {
        const auto& plan = connection.plan;
        auto& record = record_[connection.server];
        const auto method = static_cast<std::size_t>(plan.method);
        switch (plan.end) {
            case End::reset:
                record.reset++;
                end_unanswered(connection, true);
                return;
            case End::silent:
                record.closed++;
                end_unanswered(connection, false);
                return;
            case End::never:
                record.aborted++;
                append_interims(connection.out, plan);
                flush(connection);
                return;
            case End::cut_reset:
                record.cut.at(plan.code).at(method)++;
                break;
            default:
                record.answers.at(plan.code).at(method)++;
                break;
        }
        append_answer(connection.out, plan);
        flush(connection);
        end_answered(connection);
    }

    void end_unanswered(Connection& connection, bool with_reset) {
        append_interims(connection.out, connection.plan);
        flush(connection);
        connection.phase = Phase::ended;
        close(connection, with_reset);
    }

    void end_answered(Connection& connection) {
        const auto end = connection.plan.end;
        if (end == End::tunnel) {
            record_[connection.server].tunnels++;
            connection.phase = Phase::tunnel;
            connection.left = tunnel_ask.size();
        } else if (end == End::cut_reset) {
            connection.phase = Phase::ended;
            close(connection, true);
        } else if (end != End::keep) {
            connection.phase = Phase::ended;
            closing_.push_back(&connection);
        }
    }

    void flush(Connection& connection) {
        if (connection.out.flush(connection.fd) != 0) {  // the client is gone; its socket will say so
            connection.out.clear();
        }
        if (const bool blocked = !connection.out.empty(); blocked != connection.blocked) {
            connection.blocked = blocked;
            poller_.change(connection.fd, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, &connection);
        }
    }

    Record record_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::vector<std::unique_ptr<Connection>> connections_;
    std::vector<Connection*> unused_;
    std::vector<Connection*> closing_;
    Poller poller_;
    std::array<char, 64 * 1024> bytes_{};
};

}  // namespace

Record serve(const std::vector<std::string>& addresses, const std::atomic<bool>& stop) {
    return std::make_unique<Server>(addresses)->run(stop);
}

}  // namespace soak
