// SPDX-License-Identifier: Apache-2.0
#include "play.hpp"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "../../tools/parse_method.hpp"

namespace upstat::peer {

namespace {

constexpr int bound_ms = 10000;  ///< how long anything may take that does not depend on a timer of ours

/// These places count what is no error of the programs and no loss: a case that does not name them does not check them.
const std::set<std::string> unchecked{"not_tcp", "no_socket", "request_gap", "framing_unknown"};

[[noreturn]] void fail(const std::string& what) {
    throw std::runtime_error(what);
}

void check(bool right, const char* what) {
    if (!right) {
        fail(fmt::format("{}: {}", what, std::generic_category().message(errno)));
    }
}

long to_number(const std::string& word) {
    long value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) {
        fail("not a number: " + word);
    }
    return value;
}

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address to_address(const poll::Server& server, bool ipv4) {
    Address address;
    if (ipv4) {
        auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
        in.sin_family = AF_INET;
        in.sin_port = htons(server.port);
        std::copy(server.address.begin() + 12, server.address.end(), reinterpret_cast<std::uint8_t*>(&in.sin_addr));
        address.size = sizeof(in);
    } else {
        auto& in = reinterpret_cast<sockaddr_in6&>(address.storage);
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(server.port);
        std::copy(server.address.begin(), server.address.end(), in.sin6_addr.s6_addr);
        address.size = sizeof(in);
    }
    return address;
}

void set_option(const Fd& socket, int level, int name, int value) {
    check(::setsockopt(socket.get(), level, name, &value, sizeof(value)) == 0, "setsockopt");
}

/// What `set` chooses before a connection is made.
struct Settings {
    bool ipv6 = false;
    bool mapped = false;  ///< an IPv6 socket that talks IPv4
    bool mptcp = false;
    bool fastopen = false;
    std::uint32_t isn = 1000;        ///< the peer's: its first byte has the next number
    std::uint32_t client_first = 0;  ///< not 0: the number of the client's first byte
    std::uint16_t mss = 1400;
    std::uint16_t window = 65535;
    std::string syn_ack_options;  ///< beside the MSS
    std::string ip_options;
};

/// One connection: the client's socket and the peer's end.
struct Connection {
    Fd client;
    poll::Server local;
    poll::Server remote;
    Settings settings;
    std::string stream;                         ///< all that the peer has to say
    std::size_t base = 0;                       ///< where the last `say` begins in it
    std::uint32_t awaited = 0;                  ///< the next byte of the client's
    std::uint32_t acked = 0;                    ///< what the peer acknowledges: the same, unless `acks off`
    std::size_t sent = 0;                       ///< bytes that the client has written
    std::size_t taken = 0;                      ///< of those, bytes that the peer has
    std::map<std::int32_t, std::size_t> early;  ///< segments beyond a gap: distance from `awaited`, size
    std::size_t read = 0;                       ///< bytes that the client has read
    bool acks = true;
    bool knows_client = false;
    Segment last;                ///< of the client's
    std::uint32_t finished = 0;  ///< 1 once the peer's FIN took a number: that behind the stream

    [[nodiscard]] std::uint32_t seq(std::size_t offset) const {
        return settings.isn + 1 + static_cast<std::uint32_t>(offset);
    }
};

class Player {
  public:
    Player(Wire& wire, Counts& counts) : wire_(wire), counts_(counts) {}

    std::string play(const Case& schedule) {
        int line = 0;
        try {
            for (const auto& step : schedule.steps) {
                line = step.line;
                act(step);
            }
        } catch (const Skip&) {
            throw;
        } catch (const std::exception& error) {
            counts_.take(server_);
            clean_up();
            return fmt::format("line {}: {}", line, error.what());
        }
        const auto wrong = compare(counts_.take(server_));
        clean_up();
        counts_.take(server_);
        return wrong;
    }

  private:
    using Words = std::vector<std::string>;

    void act(const Step& step) {
        static const std::map<std::string, void (Player::*)(const Words&), std::less<>> verbs{
            {"set", &Player::set},           {"connect", &Player::connect}, {"dial", &Player::dial},
            {"syn-ack", &Player::syn_ack},   {"send", &Player::send},       {"receive", &Player::receive},
            {"shutdown", &Player::shutdown}, {"close", &Player::close},     {"abort", &Player::abort},
            {"say", &Player::say},           {"seg", &Player::seg},         {"reply", &Player::reply},
            {"super", &Player::super},       {"fin", &Player::fin},         {"rst", &Player::rst},
            {"ack", &Player::ack},           {"acks", &Player::acks},       {"window", &Player::window},
            {"await", &Player::await},       {"too-big", &Player::too_big}, {"keepalive", &Player::keepalive},
            {"lose", &Player::lose},         {"expect", &Player::expect},   {"refuse", &Player::refuse},
            {"send-cut", &Player::send_cut}, {"taken", &Player::taken},     {"accept", &Player::accept},
            {"call", &Player::call},         {"block", &Player::block},     {"unblock", &Player::unblock},
            {"look", &Player::look},         {"given", &Player::given}};
        const auto verb = verbs.find(step.verb);
        if (verb == verbs.end()) {
            fail("no such verb: " + step.verb);
        }
        (this->*verb->second)(step.words);
    }

    static const std::string& word(const Words& words, std::size_t at) {
        if (at >= words.size()) {
            fail("a word is missing");
        }
        return words[at];
    }

    Connection& now() {
        if (connections_.empty()) {
            fail("no connection yet");
        }
        return connections_.back();
    }

    // ---- before a connection is made

    void set(const Words& words) {
        const auto& name = word(words, 0);
        if (name == "ipv6") {
            settings_.ipv6 = true;
        } else if (name == "mapped") {
            settings_.mapped = true;
        } else if (name == "mptcp") {
            settings_.mptcp = true;
        } else if (name == "fastopen") {
            settings_.fastopen = true;
        } else if (name == "isn") {
            settings_.isn = static_cast<std::uint32_t>(to_number(word(words, 1)));
        } else if (name == "client-first") {
            settings_.client_first = static_cast<std::uint32_t>(to_number(word(words, 1)));
        } else if (name == "mss") {
            settings_.mss = static_cast<std::uint16_t>(to_number(word(words, 1)));
        } else if (name == "window") {
            settings_.window = static_cast<std::uint16_t>(to_number(word(words, 1)));
        } else if (name == "syn-ack-options") {
            settings_.syn_ack_options = word(words, 1);
        } else if (name == "ip-options") {
            settings_.ip_options = word(words, 1);
        } else {
            fail("no such setting: " + name);
        }
    }

    /// look other | auth | check METHOD | route HOST PATH NUMBER ...: what the agent tells of the server.
    void look(const Words& words) {
        programs::Record record{.address = server_.address, .port = server_.port, .own = false};
        programs::RouteTable routes;
        for (std::size_t at = 0; at < words.size(); at++) {
            record.own = record.own || words[at] != "route";
            record.auth = record.auth || words[at] == "auth";
            if (words[at] == "check") {
                const auto method = static_cast<unsigned>(poll::method_of(word(words, ++at)));
                record.checks = static_cast<std::uint16_t>(record.checks | 1U << method);
            } else if (words[at] == "route") {
                const auto& path = word(words, at + 2);
                const bool whole = path.starts_with('=');
                routes.push_back({.host = words[at + 1] == "*" ? "" : words[at + 1],
                                  .path = path == "*" ? "" : path.substr(whole ? 1 : 0),
                                  .whole = whole,
                                  .route = static_cast<std::uint16_t>(to_number(word(words, at + 3)))});
                at += 3;
            }
        }
        counts_.set_record(record, routes);
    }

    /// given N: so many slots of the table of totals (1024) are given away.
    void given(const Words& words) { counts_.give_slots(static_cast<std::uint32_t>(to_number(word(words, 0)))); }

    // ---- the client

    /// The client's connect(2), without an answer of the peer's. With words: they are its Fast Open data.
    void dial(const Words& words) {
        if (connections_.empty()) {
            server_ = next_server(settings_.ipv6);
        }
        Connection connection;
        connection.client =
            Fd(::socket(settings_.ipv6 || settings_.mapped ? AF_INET6 : AF_INET,
                        SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, settings_.mptcp ? IPPROTO_MPTCP : 0));
        if (!connection.client && settings_.mptcp && (errno == EPROTONOSUPPORT || errno == ENOPROTOOPT)) {
            throw Skip("this kernel has no Multipath TCP");
        }
        check(static_cast<bool>(connection.client), "socket");
        connection.settings = settings_;
        connection.remote = server_;
        set_option(connection.client, IPPROTO_TCP, TCP_NODELAY, 1);
        const auto address = to_address(server_, !settings_.ipv6 && !settings_.mapped);
        if (settings_.client_first != 0) {
            repair(connection, address);
        } else if (!words.empty()) {
            const auto size = ::sendto(connection.client.get(), words[0].data(), words[0].size(),
                                       MSG_FASTOPEN | MSG_NOSIGNAL, address.get(), address.size);
            check(size >= 0 || errno == EINPROGRESS, "sendto");
            connection.sent = size > 0 ? static_cast<std::size_t>(size) : 0;
        } else {
            check(::connect(connection.client.get(), address.get(), address.size) == 0 || errno == EINPROGRESS,
                  "connect");
        }
        connects_++;
        connections_.push_back(std::move(connection));
        if (settings_.client_first == 0) {
            await({"syn"});
        }
    }

    /// A connection whose numbers are chosen: made without a handshake, as checkpoint/restore does it.
    static void repair(Connection& connection, const Address& address) {
        const auto& socket = connection.client;
        const auto& settings = connection.settings;
        set_option(socket, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
        set_option(socket, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
        set_option(socket, IPPROTO_TCP, TCP_QUEUE_SEQ, static_cast<int>(settings.client_first));
        set_option(socket, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
        set_option(socket, IPPROTO_TCP, TCP_QUEUE_SEQ, static_cast<int>(settings.isn + 1));
        check(::connect(socket.get(), address.get(), address.size) == 0, "connect");
        const tcp_repair_window window{.snd_wl1 = settings.isn,
                                       .snd_wnd = settings.window,
                                       .max_window = settings.window,
                                       .rcv_wnd = 65535,
                                       .rcv_wup = settings.isn + 1};
        check(::setsockopt(socket.get(), IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof(window)) == 0,
              "repair window");
        set_option(socket, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
        connection.awaited = connection.acked = settings.client_first;
        connection.knows_client = true;
        sockaddr_storage name{};
        socklen_t size = sizeof(name);
        check(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0, "getsockname");
        connection.local = to_server(name);
    }

    static poll::Server to_server(const sockaddr_storage& name) {
        poll::Server server;
        if (name.ss_family == AF_INET) {
            const auto& in = reinterpret_cast<const sockaddr_in&>(name);
            server.address[10] = server.address[11] = 0xff;
            std::copy_n(reinterpret_cast<const std::uint8_t*>(&in.sin_addr), 4, server.address.begin() + 12);
            server.port = ntohs(in.sin_port);
        } else {
            const auto& in = reinterpret_cast<const sockaddr_in6&>(name);
            std::copy_n(in.sin6_addr.s6_addr, 16, server.address.begin());
            server.port = ntohs(in.sin6_port);
        }
        return server;
    }

    void connect(const Words& /*unused*/) {
        dial({});
        if (settings_.client_first == 0) {
            syn_ack({});
        }
    }

    /// The client writes; the peer takes it all and acknowledges it, unless `acks off` or its window forbids.
    void send(const Words& words) {
        auto& connection = now();
        const auto& data = word(words, 0);
        std::size_t written = 0;
        while (written < data.size()) {
            const auto size =
                ::send(connection.client.get(), data.data() + written, data.size() - written, MSG_NOSIGNAL);
            if (size < 0 && errno != EAGAIN) {
                check(false, "send");
            }
            written += size > 0 ? static_cast<std::size_t>(size) : 0;
            connection.sent += size > 0 ? static_cast<std::size_t>(size) : 0;
            take(0);
        }
        if (connection.acks && connection.settings.window != 0) {
            taken({});
        }
    }

    /// Until the peer has all that the client has sent.
    void taken(const Words& /*unused*/) {
        const auto& connection = now();
        while (connection.taken < connection.sent) {
            if (!take(bound_ms)) {
                fail(fmt::format("the client's data do not come: {} of {} bytes", connection.taken, connection.sent));
            }
        }
    }

    /// send-cut N TEXT: the first N bytes and the rest in a segment each.
    void send_cut(const Words& words) {
        const auto cut = static_cast<std::size_t>(to_number(word(words, 0)));
        const auto& text = word(words, 1);
        if (cut == 0 || cut >= text.size()) {
            fail("there is no such cut");
        }
        send({text.substr(0, cut)});
        send({text.substr(cut)});
    }

    /// The client reads all that has come; it must be what the peer said. `receive all`: and all of it.
    void receive(const Words& words) {
        auto& connection = now();
        std::string buffer(65536, '\0');
        for (;;) {
            const auto size = ::recv(connection.client.get(), buffer.data(), buffer.size(), 0);
            if (size <= 0) {
                break;
            }
            const auto got = static_cast<std::size_t>(size);
            if (connection.stream.compare(connection.read, got, buffer, 0, got) != 0) {
                fail("the client read something else than the peer said");
            }
            connection.read += got;
        }
        take(0);
        if (!words.empty() && connection.read != connection.stream.size()) {
            fail(fmt::format("the client has {} of {} bytes", connection.read, connection.stream.size()));
        }
    }

    void shutdown(const Words& /*unused*/) {
        check(::shutdown(now().client.get(), SHUT_WR) == 0, "shutdown");
        take(0);
    }

    void close(const Words& /*unused*/) {
        now().client = Fd();
        take(0);
    }

    void abort(const Words& /*unused*/) {
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        check(::setsockopt(now().client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0, "linger");
        close({});
    }

    // ---- the peer

    static Segment from_peer(const Connection& connection, std::uint8_t flags, std::size_t offset) {
        return {.from = connection.remote,
                .to = connection.local,
                .seq = connection.seq(offset) + (offset == connection.stream.size() ? connection.finished : 0),
                .ack_seq = connection.acked,
                .flags = flags,
                .window = connection.settings.window,
                .options = {},
                .ip_options = connection.settings.ip_options,
                .payload = {}};
    }

    Segment segment(std::uint8_t flags, std::size_t offset) { return from_peer(now(), flags, offset); }

    /// The peer accepts. With words: data in the very SYN-ACK.
    void syn_ack(const Words& words) {
        accept(words);
        await({"ack"});
    }

    /// The same, without waiting for what the client says to it.
    void accept(const Words& words) {
        auto& connection = now();
        auto answer = segment(Flag::syn | Flag::ack, 0);
        answer.seq = connection.settings.isn;
        answer.options = std::string("\x02\x04", 2) + static_cast<char>(connection.settings.mss >> 8) +
                         static_cast<char>(connection.settings.mss & 0xff) + connection.settings.syn_ack_options;
        if (!words.empty()) {
            answer.payload = words[0];
            connection.stream += words[0];
        }
        wire_.send(answer);
    }

    /// The peer opens a connection to this host, which listens: what a client of Traefik's does.
    void call(const Words& /*unused*/) {
        server_ = next_server(false);
        const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        poll::Server host = server_;
        host.address[13] = 19;  // the address of the TUN device
        host.address[14] = 255;
        host.address[15] = 254;
        host.port = 8000;
        const auto address = to_address(host, true);
        set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1);
        check(::bind(listener.get(), address.get(), address.size) == 0 && ::listen(listener.get(), 1) == 0, "listen");
        Connection connection;
        connection.remote = server_;
        connection.local = host;
        connection.settings = settings_;
        connections_.push_back(std::move(connection));
        auto opening = segment(Flag::syn, 0);
        opening.seq = settings_.isn;
        wire_.send(opening);
        await({"syn"});
        wire_.send(segment(Flag::ack, 0));
        now().client = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        check(static_cast<bool>(now().client), "accept");
    }

    /// What the client sends gets lost in this host, in front of the programs: there is no way to the peer.
    void block(const Words& /*unused*/) { command("ip route add blackhole 198.18.0.0/16"); }

    void unblock(const Words& /*unused*/) { command("ip route del blackhole 198.18.0.0/16"); }

    /// The peer's RST to a SYN.
    void refuse(const Words& /*unused*/) {
        auto answer = segment(Flag::rst | Flag::ack, 0);
        answer.seq = 0;
        wire_.send(answer);
    }

    void say(const Words& words) {
        auto& connection = now();
        connection.base = connection.stream.size();
        for (const auto& text : words) {
            connection.stream += text;
        }
    }

    /// An offset since the last `say`; `end` is the end of all.
    std::size_t offset(const std::string& word) {
        auto& connection = now();
        const auto at = word == "end" ? static_cast<long>(connection.stream.size())
                                      : static_cast<long>(connection.base) + to_number(word);
        if (at < 0 || at > static_cast<long>(connection.stream.size())) {
            fail("no such byte in what the peer says: " + word);
        }
        return static_cast<std::size_t>(at);
    }

    /// seg A B [fin]: the bytes [A, B) in one segment.
    void seg(const Words& words) {
        const auto from = offset(word(words, 0));
        const auto to = offset(word(words, 1));
        auto made = segment(Flag::ack | Flag::psh, from);
        made.payload = now().stream.substr(from, to - from);
        if (words.size() > 2 && words[2] == "fin") {
            made.flags |= Flag::fin;
            now().finished = 1;
        }
        wire_.send(made);
        take(0);
    }

    void reply(const Words& words) {
        say(words);
        seg({"0", "end"});
    }

    /// super A B SIZE: the bytes [A, B) as one packet that stands for segments of SIZE bytes.
    void super(const Words& words) {
        const auto from = offset(word(words, 0));
        const auto to = offset(word(words, 1));
        auto made = segment(Flag::ack | Flag::psh, from);
        made.payload = now().stream.substr(from, to - from);
        made.super = static_cast<std::uint16_t>(to_number(word(words, 2)));
        wire_.send(made);
        take(0);
    }

    void fin(const Words& /*unused*/) {
        wire_.send(segment(Flag::fin | Flag::ack, now().stream.size()));
        now().finished = 1;
        take(0);
    }

    /// rst [A]: at the byte A; at the end where none is named.
    void rst(const Words& words) {
        const auto at = words.empty() ? now().stream.size() : offset(words[0]);
        wire_.send(segment(Flag::rst | Flag::ack, at));
        take(0);
    }

    /// ack [N]: a bare acknowledgement, N times.
    void ack(const Words& words) {
        for (long n = words.empty() ? 1 : to_number(words[0]); n > 0; n--) {
            wire_.send(segment(Flag::ack, now().stream.size()));
        }
        take(0);
    }

    void acks(const Words& words) {
        now().acks = word(words, 0) == "on";
        if (now().acks) {
            now().acked = now().awaited;
        }
    }

    void window(const Words& words) {
        now().settings.window = static_cast<std::uint16_t>(to_number(word(words, 0)));
        ack({});
    }

    /// A keep-alive probe: a byte that was acknowledged before.
    void keepalive(const Words& /*unused*/) {
        auto probe = segment(Flag::ack, now().stream.size());
        probe.seq--;
        wire_.send(probe);
        take(0);
    }

    /// The path takes packets of at most N bytes: the client cuts its data anew.
    void too_big(const Words& words) {
        wire_.too_big(now().last, static_cast<std::uint16_t>(to_number(word(words, 0))));
        take(0);
    }

    /// The last segment that the peer took is lost: it will be sent again.
    void lose(const Words& /*unused*/) {
        auto& connection = now();
        const auto size = static_cast<std::uint32_t>(connection.last.payload.size());
        connection.awaited -= size;
        connection.acked = connection.awaited;
        connection.taken -= size;
    }

    /// await syn|ack|data|fin|rst: until the client sends such a segment.
    void await(const Words& words) {
        static const std::map<std::string, std::uint8_t> flags{
            {"syn", Flag::syn}, {"ack", Flag::ack}, {"fin", Flag::fin}, {"rst", Flag::rst}};
        const auto& kind = word(words, 0);
        do {
            if (!take_one(bound_ms)) {
                fail("the client sends no " + kind);
            }
        } while (kind == "data" ? now().last.payload.empty() : (now().last.flags & flags.at(kind)) == 0);
    }

    // ---- the wire

    /// Takes what the client has sent, and waits for something where there is nothing; false when nothing came.
    bool take(int timeout_ms) {
        bool any = false;
        while (take_one(any ? 0 : timeout_ms)) {
            any = true;
        }
        return any;
    }

    bool take_one(int timeout_ms) {
        const auto segment = wire_.receive(timeout_ms);
        if (!segment) {
            return false;
        }
        for (auto& connection : connections_) {
            const bool opens = (segment->flags & Flag::syn) != 0 && !connection.knows_client;
            if ((opens && segment->to == connection.remote) ||
                (connection.knows_client && segment->from == connection.local)) {
                arrive(connection, *segment);
                break;
            }
        }
        return true;
    }

    void arrive(Connection& connection, const Segment& segment) {
        connection.last = segment;
        if ((segment.flags & Flag::syn) != 0) {
            connection.local = segment.from;
            connection.awaited = connection.acked = segment.seq + 1;
            connection.knows_client = true;
            connection.taken = 0;
            if (!segment.payload.empty() && connection.settings.fastopen) {
                advance(connection, segment.seq + 1, segment.payload.size());
                connection.acked = connection.awaited;
            }
            return;
        }
        if (segment.payload.empty() && (segment.flags & Flag::fin) == 0) {
            return;
        }
        advance(connection, segment.seq, segment.payload.size());
        if ((segment.flags & Flag::fin) != 0 &&
            segment.seq + static_cast<std::uint32_t>(segment.payload.size()) == connection.awaited) {
            connection.awaited++;
        }
        if (connection.acks) {
            connection.acked = connection.awaited;
            wire_.send(from_peer(connection, Flag::ack, connection.stream.size()));
        }
    }

    /// In order or not: what is there without a gap is taken.
    static void advance(Connection& connection, std::uint32_t seq, std::size_t size) {
        connection.early[static_cast<std::int32_t>(seq - connection.awaited)] = size;
        for (auto next = connection.early.begin(); next != connection.early.end() && next->first <= 0;) {
            const auto end = next->first + static_cast<std::int32_t>(next->second);
            connection.early.erase(next);
            if (end > 0) {
                connection.awaited += static_cast<std::uint32_t>(end);
                connection.taken += static_cast<std::size_t>(end);
                std::map<std::int32_t, std::size_t> moved;
                for (const auto& [distance, length] : connection.early) {
                    moved[distance - end] = length;
                }
                connection.early = std::move(moved);
            }
            next = connection.early.begin();
        }
    }

    void clean_up() {
        for (auto& connection : connections_) {
            if (connection.client) {
                const linger at_once{.l_onoff = 1, .l_linger = 0};
                ::setsockopt(connection.client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
                connection.client = Fd();
            } else if (connection.knows_client) {  // what is left of a closed one need not wait for its timers
                Segment reset;
                reset.from = connection.remote;
                reset.to = connection.local;
                reset.seq = connection.last.ack_seq;
                reset.ack_seq = connection.awaited;
                reset.flags = Flag::rst | Flag::ack;
                wire_.send(reset);
            }
        }
        while (wire_.receive(0)) {
        }
        connections_.clear();
    }

    // ---- what must have been counted

    static std::uint64_t times_of(const Words& words, std::size_t at) {
        return static_cast<std::uint64_t>(
            words.size() > at ? to_number(words[at].substr(words[at].starts_with('x') ? 1 : 0)) : 1);
    }

    /// expect probe KIND CODE [xN] | probe KIND unanswered REASON
    void expect_probe(const Words& words) {
        auto& probes = wanted_.probes[word(words, 1)];
        if (word(words, 2) == "unanswered") {
            probes.unanswered[word(words, 3)]++;
        } else {
            probes.responses[{.code = static_cast<std::uint16_t>(to_number(words[2]))}] += times_of(words, 3);
        }
    }

    /// expect route NUMBER CODE METHOD [xN]: the part that came by it of what other lines expect.
    void expect_route(const Words& words) {
        const auto method = poll::parse_method(word(words, 3));
        if (!method) {
            fail("no such method: " + words[3]);
        }
        wanted_.routes[static_cast<std::uint16_t>(to_number(words[1]))][{
            .code = static_cast<std::uint16_t>(to_number(words[2])), .method = *method}] += times_of(words, 4);
    }

    /// expect CODE METHOD [xN] | unanswered|unread|failure REASON [xN] | outstanding N | place NAME N | probe ...
    /// | route ...
    void expect(const Words& words) {
        const auto& kind = word(words, 0);
        if (kind == "probe") {
            expect_probe(words);
            return;
        }
        if (kind == "route") {
            expect_route(words);
            return;
        }
        const auto& name = word(words, 1);
        const auto times = times_of(words, 2);
        if (kind == "unanswered") {
            wanted_.server.unanswered[name] += times;
        } else if (kind == "unread") {
            wanted_.server.unread[name] += times;
        } else if (kind == "failure") {
            wanted_.server.connect_failures[name] += times;
        } else if (kind == "outstanding") {
            outstanding_ += static_cast<std::uint64_t>(to_number(name));
        } else if (kind == "place") {
            wanted_.places[name] = times;
        } else {
            const auto method = poll::parse_method(name);
            if (!method) {
                fail("no such method: " + name);
            }
            wanted_.server.responses[{.code = static_cast<std::uint16_t>(to_number(kind)), .method = *method}] += times;
        }
    }

    static std::string describe(const poll::ServerTotals& totals) {
        std::string text = fmt::format("requests {} connects {}", totals.requests, totals.connects);
        for (const auto& [answer, count] : totals.responses) {
            text += fmt::format(", {} {} x{}", answer.code, to_string(answer.method), count);
        }
        const auto add = [&text](const char* kind, const poll::Reasons& counts) {
            for (const auto& [reason, count] : counts) {
                if (count != 0) {
                    text += fmt::format(", {} {} x{}", kind, reason, count);
                }
            }
        };
        add("unanswered", totals.unanswered);
        add("unread", totals.unread);
        add("failure", totals.connect_failures);
        return text;
    }

    static std::string describe(const std::map<std::uint16_t, poll::ResponseCounts>& routes) {
        std::string text;
        for (const auto& [route, responses] : routes) {
            text += fmt::format(" {}: {}", route, describe(poll::ServerTotals{.responses = responses}));
        }
        return text;
    }

    /// Where no head's room is free, no route is told, and those that are not are counted.
    void expect_no_routes() {
        wanted_.routes.clear();
        for (const auto* const place : {"route_unread", "route_full"}) {
            wanted_.places.erase(place);
        }
    }

    std::string compare(Counted got) {
        if (counts_.head_buffers_occupied()) {
            expect_no_routes();
            got.places.erase("route_unread");
        }
        wanted_.server.connects = connects_;
        wanted_.server.requests = wanted_.server.response_sum() + wanted_.server.unanswered_sum() + outstanding_;
        std::string wrong;
        if (const auto is = describe(got.server), should = describe(wanted_.server); is != should) {
            wrong = fmt::format("counted {}; expected {}", is, should);
        }
        if (got.routes != wanted_.routes) {
            wrong += fmt::format("; by routes{}; expected{}", describe(got.routes), describe(wanted_.routes));
        }
        for (const auto& kind : poll::probe_kinds()) {
            auto& should = wanted_.probes[kind];
            const auto found = got.probes.find(kind);
            const auto is = found == got.probes.end() ? poll::ServerTotals{} : found->second;
            should.requests = should.response_sum() + should.unanswered_sum();
            if (describe(is) != describe(should)) {
                wrong += fmt::format("; {} {}; expected {}", kind, describe(is), describe(should));
            }
        }
        auto places = got.places;
        for (const auto& [place, count] : wanted_.places) {
            if (places[place] != count) {
                wrong += fmt::format("; place {} {}, expected {}", place, places[place], count);
            }
            places.erase(place);
        }
        for (const auto& [place, count] : places) {
            if (!unchecked.contains(place)) {
                wrong += fmt::format("; place {} {}, expected 0", place, count);
            }
        }
        return wrong;
    }

    Wire& wire_;
    Counts& counts_;
    Settings settings_;
    poll::Server server_;
    std::vector<Connection> connections_;
    std::uint64_t connects_ = 0;
    std::uint64_t outstanding_ = 0;
    Counted wanted_;
};

}  // namespace

std::string play(Wire& wire, Counts& counts, const Case& schedule) {
    return Player(wire, counts).play(schedule);
}

}  // namespace upstat::peer
