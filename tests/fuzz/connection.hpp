// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "layout.h"

namespace upstat::fuzz {

/// How a connection's packets look. The streams begin at sequence numbers of the test's choice, so that they wrap.
struct Wire {
    bool ipv6 = false;
    unsigned extensions = 0;   ///< words of IPv4 options (up to 10), or IPv6 extension headers (up to 6)
    unsigned tcp_options = 0;  ///< words, up to 10
    std::uint32_t request_seq = 1;
    std::uint32_t answer_seq = 1;
    bool looked_at = false;  ///< the agent has told of the server: a health check by GET, and forwardAuth asks
                             ///< there; requests come by several routes
};

/// Bytes of a stream and where in it they stand.
struct Segment {
    std::size_t at;
    std::string_view bytes;
};

/// A connection of Traefik's to a server with the real programs on it, and a kernel of its own: the maps are empty at
/// first. There is one at a time. Whatever the kernel or its verifier would refuse aborts the process.
class Connection {
  public:
    enum class Age {
        fresh,  ///< the programs see its SYN
        old,    ///< it was there before the programs
    };

    explicit Connection(Wire wire = {}, Age age = Age::fresh);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// A segment of the requests, sent when `received` bytes of the answers had come.
    void send(Segment segment, std::size_t received);
    /// A segment of the answers.
    void receive(Segment segment);
    /// Two segments on two CPUs: the second is received whole while the first one's program is at its n-th call of a
    /// helper, or after it when it makes fewer.
    void receive(Segment first, Segment second, unsigned point);

    /// The same, and behind the second a segment of the next request leaves, when `received` bytes had come.
    void receive(Segment first, Segment second, Segment request, std::size_t received, unsigned point);

    /// A segment of the requests, or of the answers, that went by while the programs were away.
    void send_unseen(Segment segment);
    void receive_unseen(Segment segment);

    /// A RST that TCP takes.
    void receive_reset();

    /// Packets as they come: not even the headers need to be right.
    void send_packet(std::string_view packet);
    void receive_packet(std::string_view packet);

    /// The socket goes from one state of TCP (BPF_TCP_...) to another.
    void change_state(unsigned from, unsigned to);

    std::uint64_t requests() const;
    /// All, or those of a code and method; Traefik's own have no method.
    std::uint64_t answers() const;
    std::uint64_t answers(int code, upstat_method method) const;
    std::uint64_t answers_of(upstat_whose whose) const;
    std::uint64_t unanswered() const;
    std::uint64_t unanswered(upstat_unanswered reason) const;
    std::uint64_t unread() const;
    std::uint64_t unread(upstat_unread reason) const;
    std::uint64_t place(upstat_place place) const;
    /// The code of the newest answer counted for the first time; 0 where there is none.
    int code() const;
    bool in_flight() const;

    /// Aborts unless requests = answers + unanswered + in flight.
    void check_balance() const;

  private:
    Wire wire_;
};

/// Says what is wrong, and aborts: a finding.
[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...);

}  // namespace upstat::fuzz
