// SPDX-License-Identifier: Apache-2.0
#include "cli/socket_rows.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/printable.hpp"
#include "cli/ask.hpp"

namespace upstat::cli {

namespace {

using nlohmann::json;

using Columns = std::array<std::string, 7>;

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

std::string columns_text(const Columns& columns) {
    const auto& [port, state, ok, moved, client, server, age] = columns;
    return fmt::format("{:>5}  {:<17} {:>9} {:>7} {:>7} {:>7}  {:>7}", port, state, ok, moved, client, server, age);
}

}  // namespace

std::string socket_states(const json& reply) {
    std::string states;
    for (const auto& [state, count] : reply.at("states").items()) {
        states += fmt::format("{}{} {}", states.empty() ? ": " : ", ", shown(count), printable(state));
    }
    const auto total = reply.at("total").get<std::uint64_t>();
    return fmt::format("{} connection{}{}", total, total == 1 ? "" : "s", states);
}

std::string socket_columns(const json& socket) {
    const auto& responses = socket.at("responses");
    const auto* const older = socket.at("joined").get<bool>() ? ">" : "";
    return columns_text(
        {shown(socket.at("local_port")),
         fmt::format("{} {}", shown(socket.at("state")), short_time(socket.at("seconds").get<double>())),
         shown(responses.at("2xx")), shown(responses.at("3xx")), shown(responses.at("4xx")), shown(responses.at("5xx")),
         older + short_time(socket.at("age_seconds").get<double>())});
}

std::string socket_columns_head() {
    return columns_text({"PORT", "STATE", "2XX", "3XX", "4XX", "5XX", "AGE"});
}

}  // namespace upstat::cli
