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

namespace upstat::cli {

namespace {

using nlohmann::json;

/// "0.2s", "12s", "3m05s", "2h07m", "3d04h".
std::string short_time(double seconds) {
    const auto whole = static_cast<std::uint64_t>(std::clamp(seconds, 0.0, 1e15));
    const auto two = [whole](std::uint64_t large, char first, std::uint64_t small, char second) {
        return fmt::format("{}{}{:02}{}", whole / large, first, whole % large / small, second);
    };
    return whole < 10       ? fmt::format("{:.1f}s", std::max(seconds, 0.0))
           : whole < 60     ? fmt::format("{}s", whole)
           : whole < 3600   ? two(60, 'm', 1, 's')
           : whole < 86'400 ? two(3600, 'h', 60, 'm')
                            : two(86'400, 'd', 3600, 'h');
}

std::string head_text(const std::string& backend, const json& reply) {
    std::string states;
    for (const auto& [state, count] : reply.at("states").items()) {
        states += fmt::format("{}{} {}", states.empty() ? ": " : ", ", shown(count), printable(state));
    }
    const auto total = reply.at("total").get<std::uint64_t>();
    return fmt::format("{}{} connection{}{}\n", backend.empty() ? "" : printable(backend) + ": ", total,
                       total == 1 ? "" : "s", states);
}

std::string row_text(const json& socket, std::size_t width) {
    const auto& responses = socket.at("responses");
    const auto state = fmt::format("{} {}", shown(socket.at("state")), short_time(socket.at("seconds").get<double>()));
    const auto age = fmt::format("{}{}", socket.at("joined").get<bool>() ? ">" : "",
                                 short_time(socket.at("age_seconds").get<double>()));
    return fmt::format("{:<{}}  {:>5}  {:<17} {:>9} {:>7} {:>7} {:>7}  {:>7}\n", shown(socket.at("server")), width,
                       shown(socket.at("local_port")), state, shown(responses.at("2xx")), shown(responses.at("3xx")),
                       shown(responses.at("4xx")), shown(responses.at("5xx")), age);
}

std::string table_text(const std::string& backend, const json& reply) {
    auto text = head_text(backend, reply);
    const auto& sockets = reply.at("sockets");
    std::size_t width = 6;
    for (const auto& socket : sockets) {
        width = std::max(width, shown(socket.at("server")).size());
    }
    if (!sockets.empty()) {
        text += fmt::format("{:<{}}  {:>5}  {:<17} {:>9} {:>7} {:>7} {:>7}  {:>7}\n", "SERVER", width, "PORT", "STATE",
                            "2XX", "3XX", "4XX", "5XX", "AGE");
    }
    for (const auto& socket : sockets) {
        text += row_text(socket, width);
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
