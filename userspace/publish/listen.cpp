// SPDX-License-Identifier: Apache-2.0
#include "publish/listen.hpp"

#include <fmt/format.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include "base/host_port.hpp"

namespace upstat::publish {

namespace {

/// socket, bind and listen; the error number where one of them fails.
std::expected<Fd, int> open_listener(const addrinfo& info, bool both_families) {
    const int unsent = 16384;  // bytes of a response that wait in the kernel for a client that does not read
    Fd fd(socket(info.ai_family, info.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, info.ai_protocol));
    const int on = 1;
    const int only_v6 = both_families ? 0 : 1;
    // Not SO_REUSEPORT: two agents must not share a port without a word.
    if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (info.ai_family == AF_INET6 &&
         setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6) != 0) ||
        setsockopt(fd.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent) != 0 ||  // for what it accepts
        bind(fd.get(), info.ai_addr, info.ai_addrlen) != 0 || listen(fd.get(), SOMAXCONN) != 0) {
        return std::unexpected(errno);
    }
    return fd;
}

std::string bound_address(const Fd& fd) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    auto* const address = reinterpret_cast<sockaddr*>(&storage);
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    if (getsockname(fd.get(), address, &size) != 0 || getnameinfo(address, size, host.data(), host.size(), port.data(),
                                                                  port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return {};
    }
    const bool v6 = storage.ss_family == AF_INET6;
    return fmt::format("{}{}{}:{}", v6 ? "[" : "", host.data(), v6 ? "]" : "", port.data());
}

std::unexpected<Error> refused(const std::string& address, int error) {
    const auto what = fmt::format("cannot listen on {}: {}", address, std::generic_category().message(error));
    switch (error) {
        case EADDRINUSE:
            return fail(Error::Kind::runtime, what,
                        "another program, perhaps another upstat, has this address (ss -ltnp shows which): stop it or "
                        "choose another with --web.listen-address");
        case EACCES:
            return fail(Error::Kind::host, what, "choose a port of 1024 or above with --web.listen-address");
        case EADDRNOTAVAIL:
            return fail(Error::Kind::runtime, what,
                        "this host has no such address: choose one of its own with --web.listen-address");
        default:
            return fail(Error::Kind::runtime, what, "choose another with --web.listen-address");
    }
}

std::expected<Fd, int> try_host(const HostPort& wanted, const char* host, std::string& resolver_error) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    if (const int code = getaddrinfo(host, std::to_string(wanted.port).c_str(), &hints, &found); code != 0) {
        resolver_error = gai_strerror(code);
        return std::unexpected(EADDRNOTAVAIL);
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, &freeaddrinfo);
    std::expected<Fd, int> opened = std::unexpected(EADDRNOTAVAIL);
    for (const auto* info = found; info != nullptr && !opened; info = info->ai_next) {
        opened = open_listener(*info, wanted.host.empty());
    }
    return opened;
}

}  // namespace

Result<Listener> listen_on(const std::string& address) {
    const auto wanted = parse_host_port(address);
    if (!wanted) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not an address to listen on", address),
                    "write host:port, [v6 address]:port or :port");
    }
    std::string resolver_error;
    const bool any = wanted->host.empty();
    auto opened = try_host(*wanted, any ? "::" : wanted->host.c_str(), resolver_error);
    if (any && !opened && opened.error() != EADDRINUSE && opened.error() != EACCES) {
        opened = try_host(*wanted, "0.0.0.0", resolver_error);  // a host without IPv6
    }
    if (!resolver_error.empty() && !opened) {
        return fail(Error::Kind::runtime, fmt::format("cannot listen on {}: {}", address, resolver_error),
                    "name an address of this host with --web.listen-address");
    }
    if (!opened) {
        return refused(address, opened.error());
    }
    Listener listener;
    listener.address = bound_address(*opened);
    listener.fd = std::move(*opened);
    return listener;
}

}  // namespace upstat::publish
