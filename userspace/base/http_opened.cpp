// SPDX-License-Identifier: Apache-2.0
#include "base/http_opened.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <expected>
#include <system_error>
#include <thread>
#include <utility>

#include "base/http_files.hpp"

namespace upstat {

namespace {

std::string read_into(std::string& text, const std::string& file, Result<std::string> (*read)(const std::string&)) {
    if (file.empty()) {
        return {};
    }
    auto content = read(file);
    if (!content) {
        text.clear();
        return content.error().message;
    }
    text = *std::move(content);
    return {};
}

std::string read_files(OpenedRequest& opened) {
    const auto& files = opened.request.files;
    for (auto [text, file] : {std::pair(&opened.ca, &files.ca_file), std::pair(&opened.cert, &files.cert_file),
                              std::pair(&opened.key, &files.key_file)}) {
        if (auto problem = read_into(*text, *file, read_pem); !problem.empty()) {
            return problem;
        }
    }
    const auto problem = read_into(opened.token, files.bearer_token_file, read_token);
    return problem.empty() ? problem : "bearer token: " + problem;
}

/// A socket lives in the namespace where it was made. A thread of its own makes them: it enters the namespace and
/// ends, so that no failure can leave the caller in a foreign one. A family that the host does not have is no failure.
std::string make_sockets(OpenedRequest& opened) {
    const auto& name = opened.request.network_namespace;
    const Fd there(open(name.c_str(), O_RDONLY | O_CLOEXEC));
    if (!there) {
        return fmt::format("cannot open the network namespace {}: {}", name, error_words(errno));
    }
    int error = 0;
    try {
        std::thread([&] {
            if (setns(there.get(), CLONE_NEWNET) == 0) {
                opened.socket_v4 = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                opened.socket_v6 = Fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
            }
            error = errno;
        }).join();
    } catch (const std::system_error& failure) {
        error = failure.code().value();
    }
    return opened.socket_v4 || opened.socket_v6
               ? std::string()
               : fmt::format("cannot make a socket in the network namespace {}: {}", name, error_words(error));
}

}  // namespace

OpenedRequest opened(HttpRequest request) {
    OpenedRequest opened{.request = std::move(request)};
    opened.problem = read_files(opened);
    if (opened.problem.empty() && !opened.request.network_namespace.empty()) {
        opened.problem = make_sockets(opened);
    }
    return opened;
}

}  // namespace upstat
