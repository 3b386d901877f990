// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <iostream>

#include "base/json_text.hpp"
#include "base/printable.hpp"
#include "base/url.hpp"
#include "cli/ask.hpp"
#include "cli/commands.hpp"
#include "cli/servers.hpp"
#include "cli/socket_rows.hpp"

namespace upstat::cli {

namespace {

using nlohmann::json;

std::string table_text(const std::string& backend, const json& reply) {
    auto text = (backend.empty() ? "" : printable(backend) + ": ") + socket_states(reply) + "\n";
    const auto& sockets = reply.at("sockets");
    std::size_t width = 6;
    for (const auto& socket : sockets) {
        width = std::max(width, shown(socket.at("server")).size());
    }
    if (!sockets.empty()) {
        text += fmt::format("{:<{}}  {}\n", "SERVER", width, socket_columns_head());
    }
    for (const auto& socket : sockets) {
        text += fmt::format("{:<{}}  {}\n", shown(socket.at("server")), width, socket_columns(socket));
    }
    if (const auto left_out = reply.at("left_out").get<std::uint64_t>(); left_out > 0) {
        text += fmt::format("and {} more, with fewer errors\n", left_out);
    }
    if (!reply.at("complete").get<bool>()) {
        text += "there are more than were looked at\n";
    }
    return text;
}

}  // namespace

Result<void> show_sockets(const config::Settings& settings, const std::string& backend, Output output) {
    if (auto known = check_backend(settings, backend); !known) {
        return known;
    }
    const auto query = backend.empty() ? std::string() : "?backend=" + percent_encoded(backend);
    const auto reply = ask_agent(settings, "/api/v1/sockets" + query);
    if (!reply) {
        return std::unexpected(reply.error());
    }
    if (const auto problem = shown(reply->at("problem")); !problem.empty()) {
        return fail(Error::Kind::host, problem, shown(reply->at("hint")));
    }
    const auto text = table_text(backend, *reply);  // as JSON too: it may be no agent's
    std::cout << (output == Output::json ? json_text(*reply, 2) + "\n" : text);
    return {};
}

}  // namespace upstat::cli
