// SPDX-License-Identifier: Apache-2.0
#include "poll/snapshot.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <span>

#include "base/printable.hpp"
#include "layout.h"

namespace upstat::poll {

namespace {

constexpr std::array<std::string_view, UPSTAT_METHODS> method_names{
    "EXTENSION_METHOD", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
static_assert(static_cast<int>(Method::patch) == UPSTAT_METHOD_PATCH);

constexpr std::size_t max_name = 512;

constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/// "10.0.0.1:80". The address as inet_ntop writes it, but for a page of ten thousand servers.
std::string to_ipv4(std::span<const std::uint8_t, 4> address, std::uint16_t port) {
    std::array<char, sizeof("255.255.255.255:65535")> text{};
    auto* const limit = text.data() + text.size();
    auto* end = text.data();
    for (const auto byte : address) {
        end = std::to_chars(end, limit, byte).ptr;
        *end++ = '.';
    }
    end[-1] = ':';
    return {text.data(), std::to_chars(end, limit, port).ptr};
}

/// By its address where it has one.
Server host_server(const HostPort& host) {
    if (const auto numeric = parse_server(host)) {
        return *numeric;
    }
    auto name = printable(host.host, max_name);
    std::ranges::transform(name, name.begin(), [](char letter) {
        return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
    });
    return {.address = {}, .port = host.port, .name = Name(std::move(name))};
}

std::uint64_t sum(const auto& counts) {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0},
                           [](std::uint64_t total, const auto& entry) { return total + entry.second; });
}

}  // namespace

std::string to_string(const Server& server) {
    if (!server.name.empty()) {
        return to_string(HostPort{.host = server.name.text(), .port = server.port});
    }
    if (std::ranges::equal(mapped_prefix, std::span(server.address).first<12>())) {
        return to_ipv4(std::span(server.address).last<4>(), server.port);
    }
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(AF_INET6, server.address.data(), text.data(), text.size());
    return "[" + std::string(text.data()) + "]:" + std::to_string(server.port);
}

std::optional<Server> parse_server(std::string_view address, std::uint16_t port) {
    const std::string text(address);
    Server server{.address = {}, .port = port};
    std::ranges::copy(mapped_prefix, server.address.begin());
    if (inet_pton(AF_INET, text.c_str(), server.address.data() + mapped_prefix.size()) == 1 ||
        inet_pton(AF_INET6, text.c_str(), server.address.data()) == 1) {
        return server;
    }
    return std::nullopt;
}

Server url_server(std::string_view host, std::uint16_t port) {
    if (const auto whole = parse_host_port(host)) {
        return host_server(*whole);
    }
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    }
    return host_server(HostPort{.host = std::string(host), .port = port});
}

std::optional<Server> server_of_label(std::string_view label) {
    const auto parts = parse_host_port(label);
    return parts ? std::optional(host_server(*parts)) : std::nullopt;
}

std::optional<Server> parse_server(std::string_view text) {
    const auto address = parse_host_port(text);
    return address ? parse_server(*address) : std::nullopt;
}

std::optional<Server> parse_server(const HostPort& address) {
    return parse_server(address.host, address.port);
}

std::string_view to_string(Method method) {
    return method_names.at(static_cast<std::size_t>(method));
}

Method method_of(std::string_view name) {
    const auto same = [name](std::string_view one) {
        return std::ranges::equal(one, name, {}, {}, [](unsigned char c) { return std::toupper(c); });
    };
    const auto* const found = std::ranges::find_if(method_names, same);
    return found == method_names.end() ? Method::extension : static_cast<Method>(found - method_names.begin());
}

std::uint64_t ServerTotals::response_sum() const {
    return sum(responses);
}

std::uint64_t ServerTotals::unanswered_sum() const {
    return sum(unanswered);
}

std::int64_t ServerTotals::outstanding() const {
    return static_cast<std::int64_t>(requests - response_sum() - unanswered_sum());
}

const std::vector<std::string>& kernel_unanswered_reasons() {
    static const std::vector<std::string> reasons{UPSTAT_UNANSWERED_LIST(UPSTAT_LABEL)};
    return reasons;
}

const std::vector<std::string>& probe_kinds() {
    static const std::vector<std::string> kinds{UPSTAT_PROBE_LIST(UPSTAT_LABEL)};
    return kinds;
}

const std::vector<std::string>& unanswered_reasons() {
    static const auto reasons = [] {
        auto all = kernel_unanswered_reasons();
        all.push_back(upgraded_reason);
        return all;
    }();
    return reasons;
}

const std::vector<std::string>& unread_reasons() {
    static const std::vector<std::string> reasons{UPSTAT_UNREAD_LIST(UPSTAT_LABEL)};
    return reasons;
}

const std::vector<std::string>& connect_failure_reasons() {
    static const std::vector<std::string> reasons{UPSTAT_CONNECT_FAILURE_LIST(UPSTAT_LABEL)};
    return reasons;
}

}  // namespace upstat::poll
