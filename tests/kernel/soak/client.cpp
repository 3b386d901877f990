// SPDX-License-Identifier: Apache-2.0
/// The client's side of the soak. Its record must equal upstat's to the last one, so each request ends in a way that
/// leaves no doubt of what the kernel programs saw:
///  - a request was sent once it is acknowledged, answered, or answered by a RST, which comes only in reply to it;
///  - the client gives up only what is acknowledged (SIOCOUTQ is 0) and will never be answered (End::never);
///  - a request into a connection that the server is closing (End::idle_close) is waited for until its RST has come:
///    its end is certain, only FIN or RST is not (ServerRecord::crossed);
///  - an answer cut short by a RST counts if the client has read its head: a status line is in one segment, or its
///    pieces are (in sequence) in the receive queue before the RST is taken, as they are before the programs.
#include <linux/sockios.h>
#include <spdlog/fmt/fmt.h>
#include <sys/ioctl.h>

#include <chrono>
#include <memory>

#include "sides.hpp"

namespace soak {

namespace {

enum class Phase : std::uint8_t {
    gone,
    connecting,
    idle,
    asking,    ///< a request is sent, its answer's head awaited
    crossing,  ///< a request is sent, and the server's FIN came: its RST will follow
    body,
    tunnel,
};

/// One place of the pool, and the connection that has it now.
struct Slot {
    int fd = -1;
    Phase phase = Phase::gone;
    std::size_t server = 0;
    Plan plan;
    Head head;
    std::size_t left = 0;  ///< bytes of the answer's body to come
    bool doomed = false;   ///< the server is closing this connection
    bool keeps = false;    ///< the request's body waits for an answer
    bool blocked = false;  ///< the kernel takes no more for now
    Output out;
};

class Client {
  public:
    Client(const Load& load, const std::atomic<bool>& stop, std::atomic<std::uint64_t>& answers)
        : stop_(stop), answers_(answers), random_(load.seed), record_(load.addresses.size()), slots_(load.sockets) {
        for (const auto& address : load.addresses) {
            servers_.push_back(to_address(address));
        }
    }

    Record run() {
        for (auto& slot : slots_) {
            connect(slot);
        }
        while (open_ > 0) {
            const auto count = poller_.wait(aborting_.empty() ? 100 : 5);
            for (std::size_t i = 0; i < count; i++) {
                handle(*static_cast<Slot*>(poller_[i].data.ptr), poller_[i].events);
            }
            abort_acknowledged();
            if (stop_) {
                drain();
            }
        }
        return record_;
    }

  private:
    ServerRecord& seen(const Slot& slot) { return record_.at(slot.server); }

    void connect(Slot& slot) {
        slot.server = random_.below(static_cast<std::uint32_t>(servers_.size()));
        slot.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (slot.fd < 0) {
            fail_errno("socket");
        }
        prepare(slot.fd);
        const auto& address = servers_.at(slot.server);
        if (::connect(slot.fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
            errno != EINPROGRESS) {
            fail_errno("connect");
        }
        open_++;
        seen(slot).connects++;
        slot.phase = Phase::connecting;
        slot.doomed = slot.blocked = false;
        slot.out.clear();
        slot.head.clear();
        poller_.add(slot.fd, EPOLLOUT, &slot);
    }

    /// The connection's end, by FIN or by RST, and another one in its place.
    void replace(Slot& slot, bool with_reset = false) {
        if (with_reset) {
            close_with_reset(slot.fd);
        } else {
            ::close(slot.fd);
        }
        open_--;
        slot.phase = Phase::gone;
        if (!stop_) {
            connect(slot);
        }
    }

    void handle(Slot& slot, std::uint32_t events) {
        if (slot.phase == Phase::connecting) {
            connected(slot);
            return;
        }
        if (events & EPOLLOUT) {
            flush(slot);
        }
        if (events & ~EPOLLOUT) {
            receive(slot);
        }
    }

    void connected(Slot& slot) {
        int error = 0;
        socklen_t size = sizeof(error);
        ::getsockopt(slot.fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error == ETIMEDOUT) {
            seen(slot).connect_timeouts++;
            replace(slot);
            return;
        }
        if (error) {
            fail(fmt::format("connect: {}", std::strerror(error)));
        }
        poller_.change(slot.fd, EPOLLIN, &slot);
        slot.phase = Phase::idle;
        if (!stop_) {
            send_request(slot);
        }
    }

    void send_request(Slot& slot) {
        slot.plan = draw(random_);
        if (slot.doomed) {  // one segment: of several, one could be reset before the kernel lets the first one out
            slot.plan = Plan{};
        }
        const auto& plan = slot.plan;
        slot.keeps = plan.upload == Upload::expect || plan.upload == Upload::early;
        append_head(slot.out, plan, random_.one_in(16) ? random_.below(700) : 0);
        if (!slot.keeps && plan.upload != Upload::refused) {
            if (random_.one_in(2)) {
                slot.out.stop();
            }
            append_upload(slot.out, plan);
        }
        slot.phase = Phase::asking;
        seen(slot).requests++;
        if (plan.end == End::never) {
            aborting_.push_back(&slot);
        }
        flush(slot);
    }

    void send_kept_body(Slot& slot) {
        slot.keeps = false;
        append_upload(slot.out, slot.plan);
        flush(slot);
    }

    void flush(Slot& slot) {
        if (const int error = slot.out.flush(slot.fd)) {  // a server resets only what it has read whole
            fail(fmt::format("send: {}: {}", std::strerror(error), describe(slot)));
        }
        if (const bool blocked = !slot.out.empty(); blocked != slot.blocked) {
            slot.blocked = blocked;
            poller_.change(slot.fd, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, &slot);
        }
    }

    void receive(Slot& slot) {
        if (slot.phase == Phase::crossing) {
            end_crossed(slot);
            return;
        }
        const auto size = ::recv(slot.fd, bytes_.data(), bytes_.size(), 0);
        if (size > 0) {
            take(slot, std::string_view(bytes_.data(), static_cast<std::size_t>(size)));
        } else if (size == 0) {
            was_closed(slot);
        } else if (errno != EAGAIN) {
            was_reset(slot, errno);
        }
    }

    void take(Slot& slot, std::string_view data) {
        while (!data.empty() && slot.phase == Phase::asking) {
            data.remove_prefix(slot.head.take(data));
            if (slot.head.whole) {
                take_head(slot);
                slot.head.clear();
            }
        }
        if (slot.phase != Phase::body && slot.phase != Phase::tunnel) {
            return;
        }
        if (data.size() > slot.left) {
            fail("more than the answer came: " + describe(slot));
        }
        slot.left -= data.size();
        if (slot.left == 0) {
            finished(slot);
        }
    }

    void take_head(Slot& slot) {
        int code = 0;
        const auto text = slot.head.text();
        std::from_chars(text.data() + 9, text.data() + 12, code);
        if (code == 100 && slot.plan.upload == Upload::expect && slot.keeps) {
            send_kept_body(slot);
        }
        if (code < 200 && code != 101) {
            return;
        }
        if (code != slot.plan.code) {
            fail(fmt::format("{} came: {}", code, describe(slot)));
        }
        seen(slot).answers.at(slot.plan.code).at(static_cast<std::size_t>(slot.plan.method))++;
        answers_.fetch_add(1, std::memory_order_relaxed);
        slot.left = slot.plan.answer_bytes();
        slot.phase = Phase::body;
        if (code == 101) {
            begin_tunnel(slot);
        }
    }

    void begin_tunnel(Slot& slot) {
        seen(slot).tunnels++;
        slot.phase = Phase::tunnel;
        slot.left = tunnel_say.size();
        slot.out.append(tunnel_ask);
        flush(slot);
    }

    /// The answer was read whole.
    void finished(Slot& slot) {
        const auto& plan = slot.plan;
        if (slot.keeps) {  // answered early
            send_kept_body(slot);
        }
        slot.phase = Phase::idle;
        slot.doomed = plan.end == End::idle_close;
        if (stop_ || plan.end == End::close || plan.end == End::tunnel || plan.upload == Upload::refused) {
            replace(slot);
        } else if (random_.one_in(512)) {  // closes an idle one
            replace(slot, random_.one_in(2));
        } else if (!slot.doomed || random_.one_in(2)) {
            send_request(slot);
        }
    }

    void was_closed(Slot& slot) {
        if (slot.phase == Phase::asking && slot.doomed) {
            slot.phase = Phase::crossing;
            poller_.change(slot.fd, 0, &slot);
            return;
        }
        const bool unanswered =
            slot.phase == Phase::asking && slot.plan.end == End::silent && unacknowledged(slot) == 0;
        const bool expected =
            slot.phase == Phase::idle || (slot.phase == Phase::body && slot.plan.end == End::cut_close);
        if (!unanswered && !expected) {
            fail("closed by the server: " + describe(slot));
        }
        seen(slot).closed += unanswered;
        replace(slot);
    }

    void was_reset(Slot& slot, int error) {
        if (slot.phase == Phase::asking && slot.doomed) {
            end_crossed(slot);
            return;
        }
        const bool cut = slot.plan.end == End::cut_reset;
        const bool unanswered = slot.phase == Phase::asking && (slot.plan.end == End::reset || cut);
        if (error != ECONNRESET || (!unanswered && !(slot.phase == Phase::body && cut))) {
            fail(fmt::format("{}: {}", std::strerror(error), describe(slot)));
        }
        seen(slot).reset += unanswered;
        replace(slot);
    }

    void end_crossed(Slot& slot) {
        seen(slot).crossed++;
        replace(slot);
    }

    static int unacknowledged(const Slot& slot) {
        int bytes = 0;
        ::ioctl(slot.fd, SIOCOUTQ, &bytes);
        return bytes;
    }

    void abort_acknowledged() {
        std::erase_if(aborting_, [this](Slot* slot) {
            if (!slot->out.empty() || unacknowledged(*slot) > 0) {
                return false;
            }
            seen(*slot).aborted++;
            replace(*slot, random_.one_in(2));
            return true;
        });
    }

    /// No new request; says which connections hang when the rest does not come.
    void drain() {
        const auto now = std::chrono::steady_clock::now();
        if (drain_since_ == std::chrono::steady_clock::time_point{}) {
            drain_since_ = now;
        }
        std::string hanging;
        for (auto& slot : slots_) {
            if (slot.phase == Phase::idle) {
                replace(slot);
            } else if (slot.phase != Phase::gone && now - drain_since_ > std::chrono::seconds(60)) {
                hanging += "\n" + describe(slot);
            }
        }
        if (!hanging.empty()) {
            fail("not answered 60 s after the end:" + hanging);
        }
    }

    static std::string describe(const Slot& slot) {
        sockaddr_in local{};
        socklen_t size = sizeof(local);
        ::getsockname(slot.fd, reinterpret_cast<sockaddr*>(&local), &size);
        const auto& plan = slot.plan;
        return fmt::format(
            "port {}, server {}, phase {}, doomed {}, {} {} end {} upload {} ({}) interims {} split {} body {} ({} "
            "left)",
            ntohs(local.sin_port), slot.server, static_cast<int>(slot.phase), slot.doomed,
            method_names.at(static_cast<std::size_t>(plan.method)), plan.code, static_cast<int>(plan.end),
            static_cast<int>(plan.upload), plan.uploaded, plan.interims, plan.split, plan.body, slot.left);
    }

    const std::atomic<bool>& stop_;
    std::atomic<std::uint64_t>& answers_;
    Random random_;
    Record record_;
    std::vector<sockaddr_in> servers_;
    std::vector<Slot> slots_;
    std::vector<Slot*> aborting_;
    std::size_t open_ = 0;
    std::chrono::steady_clock::time_point drain_since_;
    Poller poller_;
    std::array<char, 64 * 1024> bytes_{};
};

}  // namespace

Record ask(const Load& load, const std::atomic<bool>& stop, std::atomic<std::uint64_t>& answers) {
    return std::make_unique<Client>(load, stop, answers)->run();
}

}  // namespace soak
