// SPDX-License-Identifier: Apache-2.0
#include "traefik/listener.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "traefik/proc.hpp"
#include "traefik/socket_diag.hpp"

namespace upstat::traefik {

namespace fs = std::filesystem;

namespace {

/// Of the table, where there is no other way. A namespace's owner decides how many sockets listen in it.
constexpr std::size_t most_lines = 10'000;
constexpr std::string_view listening = "0A";

using Bytes = AddressBytes;

struct ListeningSocket {
    Bytes address{};
    std::uint16_t port = 0;
    std::uint64_t inode = 0;
};

template <typename Number>
std::optional<Number> number(std::string_view digits, int base) {
    Number value = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    const bool whole = parsed.ec == std::errc{} && parsed.ptr == digits.data() + digits.size();
    return whole ? std::optional(value) : std::nullopt;
}

Bytes mapped() {
    Bytes bytes{};
    bytes[10] = bytes[11] = 0xff;
    return bytes;
}

/// "0100007F" or 32 digits: words of four bytes, each as the host has them.
std::optional<Bytes> address_of(std::string_view digits) {
    constexpr std::size_t word = 8;
    Bytes bytes = digits.size() == word ? mapped() : Bytes{};
    auto at = bytes.size() - digits.size() / 2;
    if (digits.size() != word && digits.size() != 4 * word) {
        return std::nullopt;
    }
    for (; !digits.empty(); digits.remove_prefix(word), at += sizeof(std::uint32_t)) {
        const auto value = number<std::uint32_t>(digits.substr(0, word), 16);
        if (!value) {
            return std::nullopt;
        }
        std::memcpy(bytes.data() + at, &*value, sizeof *value);
    }
    return bytes;
}

std::optional<Bytes> parsed(const std::string& host) {
    Bytes bytes = mapped();
    if (inet_pton(AF_INET, host.c_str(), bytes.data() + bytes.size() - sizeof(in_addr)) == 1 ||
        inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1) {
        return bytes;
    }
    return std::nullopt;
}

/// A line of net/tcp: "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 ...".
std::optional<ListeningSocket> socket_in(const std::vector<std::string>& fields) {
    constexpr std::size_t inode_at = 9;
    const auto colon = fields.size() > inode_at ? fields[1].find(':') : std::string::npos;
    if (colon == std::string::npos) {
        return std::nullopt;
    }
    const auto address = address_of(std::string_view(fields[1]).substr(0, colon));
    const auto port = number<std::uint16_t>(std::string_view(fields[1]).substr(colon + 1), 16);
    const auto inode = number<std::uint64_t>(fields[inode_at], 10);
    return address && port && inode
               ? std::optional(ListeningSocket{.address = *address, .port = *port, .inode = *inode})
               : std::nullopt;
}

/// The kernel writes those that listen first; of the others there may be a million.
void add_listening(const fs::path& table, std::vector<ListeningSocket>& sockets) {
    constexpr std::size_t state_at = 3;
    std::ifstream lines(table);
    std::string line;
    std::getline(lines, line);  // what the columns are
    for (std::size_t left = most_lines; left > 0 && std::getline(lines, line); --left) {
        const auto fields = split(line, ' ');
        if (fields.size() <= state_at || fields[state_at] != listening) {
            return;
        }
        if (const auto socket = socket_in(fields)) {
            sockets.push_back(*socket);
        }
    }
}

std::vector<Bytes> addresses_of(const std::string& host) {
    if (host == "localhost") {
        return {*parsed("127.0.0.1"), *parsed("::1")};
    }
    const auto one = parsed(host);
    return one ? std::vector{*one} : std::vector<Bytes>();
}

bool is_v6(const Bytes& address) {
    return !is_v4(address);
}

/// Whether a socket that listens there takes connections to this address. One on :: takes IPv4 too, unless it was told
/// not to, which cannot be seen from here.
bool takes(const Bytes& listener, const Bytes& address) {
    return listener == address || listener == Bytes{} || (is_v4(address) && listener == *parsed("0.0.0.0"));
}

bool is_socket(const fs::path& descriptor, std::uint64_t inode) {
    std::error_code error;
    return fs::read_symlink(descriptor, error).string() == fmt::format("socket:[{}]", inode);
}

/// Whether the process has this socket among its descriptors.
bool has_socket(const fs::path& descriptors, std::uint64_t inode, OwnSockets& own) {
    auto& numbers = own.numbers;
    if (const auto known = numbers.find(inode);
        known != numbers.end() && is_socket(descriptors / known->second, inode)) {
        return true;
    }
    numbers.erase(inode);
    std::error_code error;
    for (fs::directory_iterator entry(descriptors, error), end; !error && entry != end; entry.increment(error)) {
        if (is_socket(entry->path(), inode)) {
            numbers.emplace(inode, entry->path().filename().string());
            return true;
        }
    }
    return false;
}

using Inodes = std::vector<std::uint64_t>;

/// Of those that listen at one of these addresses. Nothing where the kernel does not tell.
std::optional<Inodes> asked_for(const fs::path& proc, const std::vector<Bytes>& wanted, std::uint16_t port,
                                OwnSockets& own) {
    if (!own.diag) {
        own.diag = open_socket_diag(proc);
    }
    Inodes inodes;
    for (const auto& address : wanted) {
        const auto inode = own.diag ? listener_at(own.diag, address, port) : std::nullopt;
        if (!inode) {
            return std::nullopt;
        }
        if (*inode != 0) {
            inodes.push_back(*inode);
        }
    }
    return inodes;
}

Inodes in_tables(const fs::path& proc, const std::vector<Bytes>& wanted, std::uint16_t port) {
    std::vector<ListeningSocket> sockets;
    add_listening(proc / "net/tcp", sockets);
    add_listening(proc / "net/tcp6", sockets);
    std::erase_if(sockets, [&](const ListeningSocket& socket) {
        return socket.port != port ||
               std::ranges::none_of(wanted, [&](const Bytes& one) { return takes(socket.address, one); });
    });
    // Beside a socket of IPv4 only one that does not take IPv4 can be on :: at this port, and it is anybody's.
    if (std::ranges::none_of(wanted, is_v6) &&
        std::ranges::any_of(sockets, [](const ListeningSocket& socket) { return is_v4(socket.address); })) {
        std::erase_if(sockets, [](const ListeningSocket& socket) { return socket.address == Bytes{}; });
    }
    Inodes inodes;
    std::ranges::transform(sockets, std::back_inserter(inodes), &ListeningSocket::inode);
    return inodes;
}

}  // namespace

std::string not_its_listener(const fs::path& root, pid_t pid, const HostPort& address, OwnSockets& own) {
    const auto proc = proc_of(root, pid);
    const auto wanted = addresses_of(address.host);
    const auto asked = asked_for(proc, wanted, address.port, own);
    const auto inodes = asked ? *asked : in_tables(proc, wanted, address.port);
    if (inodes.empty()) {
        return fmt::format("nobody listens on {} where Traefik (pid {}) runs", to_string(address), pid);
    }
    const bool is_own =
        std::ranges::all_of(inodes, [&](const auto inode) { return has_socket(proc / "fd", inode, own); });
    return is_own ? ""
                  : fmt::format("another process than Traefik (pid {}) listens on {}: it is not asked for the backends",
                                pid, to_string(address));
}

}  // namespace upstat::traefik
