// SPDX-License-Identifier: Apache-2.0
#include "wire.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace upstat::peer {

namespace {

constexpr std::size_t tcp_header = 20;

constexpr std::uint8_t needs_checksum = 1;
constexpr std::uint8_t super_ipv4 = 1;
constexpr std::uint8_t super_ipv6 = 4;

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

void set_sysctl(const std::string& name, const std::string& value) {
    std::ofstream("/proc/sys/" + name) << value;
}

bool is_ipv4(const poll::Server& server) {
    static constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::equal(mapped.begin(), mapped.end(), server.address.begin());
}

void put16(std::string& to, std::uint16_t value) {
    to += static_cast<char>(value >> 8);
    to += static_cast<char>(value & 0xff);
}

void put32(std::string& to, std::uint32_t value) {
    put16(to, static_cast<std::uint16_t>(value >> 16));
    put16(to, static_cast<std::uint16_t>(value));
}

std::uint8_t byte_at(const std::string& from, std::size_t at) {
    return static_cast<std::uint8_t>(from.at(at));
}

std::uint16_t get16(const std::string& from, std::size_t at) {
    return static_cast<std::uint16_t>(byte_at(from, at) << 8 | byte_at(from, at + 1));
}

std::uint32_t get32(const std::string& from, std::size_t at) {
    return static_cast<std::uint32_t>(get16(from, at)) << 16 | get16(from, at + 2);
}

std::string address_bytes(const poll::Server& server) {
    const auto* bytes = reinterpret_cast<const char*>(server.address.data());
    return is_ipv4(server) ? std::string(bytes + 12, 4) : std::string(bytes, 16);
}

/// RFC 1071, not complemented.
std::uint16_t checksum(const std::string& bytes) {
    std::uint32_t sum = 0;
    for (std::size_t at = 0; at < bytes.size(); at += 2) {
        sum += at + 1 < bytes.size() ? get16(bytes, at) : byte_at(bytes, at) << 8;
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<std::uint16_t>(sum);
}

void set16(std::string& in, std::size_t at, std::uint16_t value) {
    in[at] = static_cast<char>(value >> 8);
    in[at + 1] = static_cast<char>(value & 0xff);
}

std::string ipv4_header(const poll::Server& from, const poll::Server& to, const std::string& options,
                        std::uint8_t protocol, std::size_t length) {
    const auto words = 5 + options.size() / 4;
    std::string header;
    header += static_cast<char>(0x40 | words);
    header += '\0';
    put16(header, static_cast<std::uint16_t>(words * 4 + length));
    put32(header, 0x00014000);  // an identification, and "do not fragment"
    header += '\x40';
    header += static_cast<char>(protocol);
    put16(header, 0);
    header += address_bytes(from) + address_bytes(to) + options;
    set16(header, 10, static_cast<std::uint16_t>(~checksum(header)));
    return header;
}

std::string ipv6_header(const poll::Server& from, const poll::Server& to, const std::string& extensions,
                        std::uint8_t protocol, std::size_t length) {
    std::string header;
    put32(header, 0x60000000);
    put16(header, static_cast<std::uint16_t>(extensions.size() + length));
    header += static_cast<char>(extensions.empty() ? protocol : 0 /* hop-by-hop */);
    header += '\x40';
    return header + address_bytes(from) + address_bytes(to) + extensions;
}

std::string tcp_bytes(const Segment& segment) {
    auto options = segment.options;
    options.resize((options.size() + 3) / 4 * 4, '\1');
    std::string tcp;
    put16(tcp, segment.from.port);
    put16(tcp, segment.to.port);
    put32(tcp, segment.seq);
    put32(tcp, segment.ack_seq);
    tcp += static_cast<char>((tcp_header + options.size()) / 4 << 4);
    tcp += static_cast<char>(segment.flags);
    put16(tcp, segment.window);
    put32(tcp, 0);
    std::string pseudo = address_bytes(segment.from) + address_bytes(segment.to);
    put32(pseudo, 6);
    put32(pseudo, static_cast<std::uint32_t>(tcp.size() + options.size() + segment.payload.size()));
    set16(tcp, 16, checksum(pseudo));  // the kernel completes it: see NEEDS_CSUM
    return tcp + options + segment.payload;
}

poll::Server server_at(const std::string& packet, std::size_t at, bool ipv4) {
    poll::Server server;
    if (ipv4) {
        server.address[10] = server.address[11] = 0xff;
    }
    const std::size_t size = ipv4 ? 4 : 16;
    std::copy_n(packet.begin() + static_cast<std::ptrdiff_t>(at), size,
                server.address.end() - static_cast<std::ptrdiff_t>(size));
    return server;
}

/// A TCP segment; nothing where the packet holds none.
std::optional<Segment> parse(const std::string& packet) {
    if (packet.size() < 40) {
        return std::nullopt;
    }
    const bool ipv4 = byte_at(packet, 0) >> 4 == 4;
    const std::size_t tcp = ipv4 ? (byte_at(packet, 0) & 15) * 4U : 40;
    if (byte_at(packet, ipv4 ? 9 : 6) != IPPROTO_TCP || packet.size() < tcp + tcp_header) {
        return std::nullopt;
    }
    Segment segment;
    segment.from = server_at(packet, ipv4 ? 12 : 8, ipv4);
    segment.to = server_at(packet, ipv4 ? 16 : 24, ipv4);
    segment.from.port = get16(packet, tcp);
    segment.to.port = get16(packet, tcp + 2);
    segment.seq = get32(packet, tcp + 4);
    segment.ack_seq = get32(packet, tcp + 8);
    segment.flags = byte_at(packet, tcp + 13);
    segment.window = get16(packet, tcp + 14);
    const std::size_t payload = tcp + (byte_at(packet, tcp + 12) >> 4) * 4U;
    segment.options = packet.substr(tcp + tcp_header, payload - tcp - tcp_header);
    segment.payload = packet.substr(payload);
    return segment;
}

}  // namespace

void command(const std::string& line) {
    if (std::system(line.c_str()) != 0) {  // NOLINT(concurrency-mt-unsafe): this tool has one thread
        throw std::runtime_error("failed: " + line);
    }
}

void enter_namespace() {
    if (::unshare(CLONE_NEWNET) != 0) {
        fail("cannot make a network namespace");
    }
    command("ip link set lo up");
}

namespace {

constexpr const char* device = "upstat-peer";

/// The wire proper: its end that this process reads and writes, packets with an Offload in front.
Fd open_tun() {
    Fd tun(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    ifreq request{};
    std::strcpy(request.ifr_name, device);
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    if (!tun || ::ioctl(tun.get(), TUNSETIFF, &request) != 0 ||
        ::ioctl(tun.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0) {
        fail("cannot make a TUN device");
    }
    return tun;
}

/// The same on a kernel without TUN: the other end of a netkit pair, as a packet socket. Packets have an Ethernet
/// header.
Fd open_netkit() {
    command(std::string("ip link add ") + device + " type netkit");
    command("ip link set dev nk0 mtu 65535 up");
    Fd packets(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(::if_nametoindex("nk0"));
    if (!packets || ::setsockopt(packets.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) != 0 ||
        ::setsockopt(packets.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
        ::bind(packets.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        fail("cannot make a packet socket");
    }
    return packets;
}

}  // namespace

Wire::Wire()
    : tun_(::access("/dev/net/tun", F_OK) == 0 ? open_tun() : open_netkit()), buffer_(sizeof(Offload) + 70000, '\0') {
    const std::string name = device;
    netkit_ = static_cast<int>(::if_nametoindex("nk0"));
    set_sysctl("net/ipv6/conf/" + name + "/accept_dad", "0");
    set_sysctl("net/ipv6/conf/" + name + "/dad_transmits", "0");
    set_sysctl("net/ipv4/tcp_no_metrics_save", "1");
    set_sysctl("net/ipv4/tcp_fastopen", "1");
    set_sysctl("net/ipv4/tcp_fastopen_blackhole_timeout_sec", "0");
    set_sysctl("net/ipv4/tcp_syn_linear_timeouts", "0");
    command("ip link set dev " + name + " up");
    command("ip addr add 198.19.255.254/15 dev " + name);
    command("ip -6 addr add fd18::ffff:fffe/64 dev " + name);
}

void Wire::write(Offload offload, const std::string& packet) {
    std::string link(netkit_ == 0 ? 0 : ETH_HLEN, '\0');
    if (netkit_ != 0) {
        set16(link, ETH_HLEN - 2, byte_at(packet, 0) >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6);
        offload.csum_start = static_cast<std::uint16_t>(offload.csum_start + link.size());
        offload.hdr_len = static_cast<std::uint16_t>(offload.hdr_len + link.size());
    }
    std::string bytes(reinterpret_cast<const char*>(&offload), sizeof(offload));
    bytes += link + packet;
    if (::write(tun_.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
        fail("cannot write to the wire");
    }
}

void Wire::send(const Segment& segment) {
    const auto tcp = tcp_bytes(segment);
    const bool ipv4 = is_ipv4(segment.to);
    const auto header = ipv4 ? ipv4_header(segment.from, segment.to, segment.ip_options, IPPROTO_TCP, tcp.size())
                             : ipv6_header(segment.from, segment.to, segment.ip_options, IPPROTO_TCP, tcp.size());
    Offload offload{};
    offload.flags = needs_checksum;
    offload.csum_start = static_cast<std::uint16_t>(header.size());
    offload.csum_offset = 16;
    if (segment.super != 0) {
        offload.gso_type = ipv4 ? super_ipv4 : super_ipv6;
        offload.gso_size = segment.super;
        offload.hdr_len = static_cast<std::uint16_t>(header.size() + tcp.size() - segment.payload.size());
    }
    write(offload, header + tcp);
}

void Wire::too_big(const Segment& about, std::uint16_t mtu) {
    Segment bare = about;
    bare.payload.clear();
    const auto quoted = tcp_bytes(bare);
    std::string icmp;
    put32(icmp, 0x03040000);  // destination unreachable, fragmentation needed
    put32(icmp, mtu);
    icmp +=
        ipv4_header(about.from, about.to, {}, IPPROTO_TCP, quoted.size() + about.payload.size()) + quoted.substr(0, 20);
    set16(icmp, 2, static_cast<std::uint16_t>(~checksum(icmp)));
    write({}, ipv4_header(about.to, about.from, {}, IPPROTO_ICMP, icmp.size()) + icmp);
}

std::optional<Segment> Wire::receive(int timeout_ms) {
    for (;;) {
        const auto size = ::read(tun_.get(), buffer_.data(), buffer_.size());
        if (size < 0 && errno == EAGAIN) {
            pollfd readable{.fd = tun_.get(), .events = POLLIN, .revents = 0};
            if (timeout_ms == 0 || ::poll(&readable, 1, timeout_ms) <= 0) {
                return std::nullopt;
            }
            continue;
        }
        if (size < static_cast<ssize_t>(sizeof(Offload))) {
            fail("cannot read from the TUN device");
        }
        const auto front = sizeof(Offload) + (netkit_ == 0 ? 0 : ETH_HLEN);
        if (auto segment = parse(buffer_.substr(front, std::max<std::size_t>(size, front) - front))) {
            return segment;
        }
    }
}

poll::Server next_server(bool ipv6) {
    static std::uint32_t number = 0;
    number = number % 130000 + 1;
    poll::Server server;
    server.port = 80;
    if (ipv6) {
        server.address = {0xfd, 0x18};
    } else {
        server.address[10] = server.address[11] = 0xff;
        server.address[12] = 198;
        server.address[13] = static_cast<std::uint8_t>(18 + (number >> 16));
    }
    if (ipv6) {
        server.address[13] = static_cast<std::uint8_t>(number >> 16);
    }
    server.address[14] = static_cast<std::uint8_t>(number >> 8);
    server.address[15] = static_cast<std::uint8_t>(number);
    return server;
}

}  // namespace upstat::peer
