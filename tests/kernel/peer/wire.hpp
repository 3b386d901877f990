// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "poll/snapshot.hpp"

namespace upstat::peer {

/// TCP's flags, as they stand in the header.
enum Flag : std::uint8_t { fin = 1, syn = 2, rst = 4, psh = 8, ack = 16 };

/// One TCP segment in an IP packet. Addresses and ports as in Server; an IPv4-mapped address makes an IPv4 packet.
struct Segment {
    poll::Server from;
    poll::Server to;
    std::uint32_t seq = 0;
    std::uint32_t ack_seq = 0;
    std::uint8_t flags = 0;
    std::uint16_t window = 65535;
    std::string options;     ///< of TCP, unpadded
    std::string ip_options;  ///< IPv4 options or IPv6 extension headers (the first is hop-by-hop), padded
    std::string payload;
    std::uint16_t super = 0;  ///< not 0: a super-packet of segments of this size, as GRO makes them
};

/// What stands before each packet of a TUN device with IFF_VNET_HDR: struct virtio_net_hdr of linux/virtio_net.h, which
/// no C++ compiler takes.
struct Offload {
    std::uint8_t flags = 0;
    std::uint8_t gso_type = 0;
    std::uint16_t hdr_len = 0;
    std::uint16_t gso_size = 0;
    std::uint16_t csum_start = 0;
    std::uint16_t csum_offset = 0;
};

/// A TUN device in this process's network namespace (where the kernel has none, a netkit pair): the peer's end of it.
class Wire {
  public:
    /// Makes the device, routes the servers' addresses (next_server) to it and brings it up. Throws on failure.
    Wire();

    void send(const Segment& segment);

    /// An ICMP (v6) error about a segment that was received: the path takes packets of at most `mtu` bytes.
    void too_big(const Segment& about, std::uint16_t mtu);

    /// The next TCP segment from the system's stack; nothing when none comes within the time.
    std::optional<Segment> receive(int timeout_ms);

  private:
    void write(Offload offload, const std::string& packet);

    Fd tun_;
    int netkit_ = 0;  ///< the index of netkit's other end
    std::string buffer_;
};

/// Moves this process to a network namespace of its own. Throws on failure.
void enter_namespace();

/// Runs a shell command; throws where it fails.
void command(const std::string& line);

/// Another server address each time: of 198.18.0.0/15 or fd18::/64, port 80.
poll::Server next_server(bool ipv6);

}  // namespace upstat::peer
