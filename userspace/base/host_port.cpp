// SPDX-License-Identifier: Apache-2.0
#include "base/host_port.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <system_error>

namespace upstat {

std::optional<HostPort> parse_host_port(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return std::nullopt;
    }
    auto host = text.substr(0, colon);
    const auto digits = text.substr(colon + 1);
    std::uint16_t port = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size()) {
        return std::nullopt;
    }
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    } else if (host.contains(':')) {
        return std::nullopt;  // an IPv6 address needs its brackets to be told from its port
    }
    return HostPort{.host = std::string(host), .port = port};
}

std::string to_string(const HostPort& address) {
    const auto port = ":" + std::to_string(address.port);
    return address.host.contains(':') ? "[" + address.host + "]" + port : address.host + port;
}

bool is_every_address(const HostPort& address) {
    return address.host.empty() || address.host == "0.0.0.0" || address.host == "::";
}

HostPort reached_locally(const HostPort& listener) {
    if (!is_every_address(listener)) {
        return listener;
    }
    return {.host = listener.host == "::" ? "::1" : "127.0.0.1", .port = listener.port};
}

bool is_loopback(std::string_view host) {
    std::string name(host.ends_with('.') ? host.substr(0, host.size() - 1) : host);
    std::ranges::transform(name, name.begin(), [](unsigned char byte) { return std::tolower(byte); });
    if (name == "localhost" || name.ends_with(".localhost")) {  // RFC 6761
        return true;
    }
    in_addr v4{};
    if (inet_pton(AF_INET, name.c_str(), &v4) == 1) {
        return ntohl(v4.s_addr) >> 24U == IN_LOOPBACKNET;
    }
    in6_addr v6{};
    if (inet_pton(AF_INET6, name.c_str(), &v6) != 1) {
        return false;
    }
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
}

std::string host_name() {
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace upstat
