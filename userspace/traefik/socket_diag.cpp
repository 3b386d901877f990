// SPDX-License-Identifier: Apache-2.0
#include "traefik/socket_diag.hpp"

#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

namespace upstat::traefik {

namespace {

constexpr std::uint32_t loopback_interface = 1;  // in each namespace; all that is local comes by it

struct Question {
    nlmsghdr header;
    inet_diag_req_v2 request;
};

Fd make_diag() {
    return Fd(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
}

bool is_our_network(const Fd& there) {
    struct stat theirs{};
    struct stat ours{};
    return fstat(there.get(), &theirs) == 0 && stat("/proc/self/ns/net", &ours) == 0 && theirs.st_dev == ours.st_dev &&
           theirs.st_ino == ours.st_ino;
}

Question question_of(const AddressBytes& address, std::uint16_t port) {
    Question question{};
    question.header = {.nlmsg_len = sizeof question,
                       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                       .nlmsg_flags = NLM_F_REQUEST,
                       .nlmsg_seq = 0,
                       .nlmsg_pid = 0};
    auto& request = question.request;
    request.sdiag_family = is_v4(address) ? AF_INET : AF_INET6;
    request.sdiag_protocol = IPPROTO_TCP;
    request.idiag_states = 1U << TCP_LISTEN;
    request.id.idiag_sport = htons(port);
    request.id.idiag_if = loopback_interface;
    std::ranges::fill(request.id.idiag_cookie, static_cast<std::uint32_t>(INET_DIAG_NOCOOKIE));
    const auto skipped = is_v4(address) ? address.size() - sizeof(in_addr) : 0;
    std::memcpy(request.id.idiag_src, address.data() + skipped, address.size() - skipped);
    return question;
}

}  // namespace

bool is_v4(const AddressBytes& address) {
    constexpr std::array<unsigned char, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::equal(prefix.begin(), prefix.end(), address.begin());
}

/// A socket lives in the namespace where it was made. A thread of its own makes it, and ends.
Fd open_socket_diag(const std::filesystem::path& proc) {
    const Fd there(open((proc / "ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    if (!there || is_our_network(there)) {
        return there ? make_diag() : Fd();
    }
    Fd made;
    try {
        std::thread([&] {
            if (setns(there.get(), CLONE_NEWNET) == 0) {
                made = make_diag();
            }
        }).join();
    } catch (const std::system_error&) {
        return {};
    }
    return made;
}

std::optional<std::uint64_t> listener_at(const Fd& diag, const AddressBytes& address, std::uint16_t port) {
    const auto question = question_of(address, port);
    if (send(diag.get(), &question, sizeof question, MSG_NOSIGNAL) != sizeof question) {
        return std::nullopt;
    }
    alignas(nlmsghdr) std::array<char, 8192> buffer{};
    const auto size = recv(diag.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);  // the kernel answers at once
    nlmsghdr header{};
    if (size < static_cast<ssize_t>(sizeof header)) {
        return std::nullopt;
    }
    std::memcpy(&header, buffer.data(), sizeof header);
    const auto* const content = buffer.data() + NLMSG_HDRLEN;
    if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY && header.nlmsg_len >= NLMSG_LENGTH(sizeof(inet_diag_msg))) {
        inet_diag_msg found{};
        std::memcpy(&found, content, sizeof found);
        return found.idiag_state == TCP_LISTEN ? found.idiag_inode : 0;
    }
    nlmsgerr error{};
    if (header.nlmsg_type != NLMSG_ERROR || header.nlmsg_len < NLMSG_LENGTH(sizeof error)) {
        return std::nullopt;
    }
    std::memcpy(&error, content, sizeof error);
    return error.error == -ENOENT ? std::optional<std::uint64_t>(0) : std::nullopt;
}

}  // namespace upstat::traefik
