// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <iostream>
#include <thread>

#include "base/printable.hpp"
#include "cli/ask.hpp"
#include "cli/commands.hpp"
#include "cli/servers.hpp"

namespace upstat::cli {

namespace {

using nlohmann::json;

/// "404:12 500:1": the codes with their counts.
std::string codes_text(const json& codes) {
    std::string text;
    for (const auto& [code, count] : codes.items()) {
        if (count != 0) {
            text += fmt::format("{}{}:{}", text.empty() ? "" : " ", printable(code), count.get<std::uint64_t>());
        }
    }
    return text;
}

std::string ratio_text(const json& ratio) {
    return ratio.is_null() ? "-" : fmt::format("{:.1f} %", ratio.get<double>() * 100);
}

/// "Http5xx firing 8.0 %": each alert that is not inactive, with its own ratio; an outage first.
std::string alerts_text(const json& backend) {
    auto text = shown(backend.at("outage"));
    for (const auto& [name, alert] : backend.at("alerts").items()) {
        if (alert.at("state") != "inactive") {
            text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", printable(name), shown(alert.at("state")),
                                ratio_text(alert.at("ratio")));
        }
    }
    return text.empty() ? "inactive" : text;
}

std::string rate_text(const json& rate) {
    return rate.is_null() ? "-" : fmt::format("{:.1f}", rate.get<double>());
}

std::string server_row(const std::string& label, const json& server, bool up) {
    return fmt::format("  {:<30} {:>9} {:>9} {:>9}  {}{}\n", printable(label),
                       server.at("requests").get<std::uint64_t>(), "", "", codes_text(server.at("window").at("codes")),
                       up ? "" : " DOWN");
}

std::string table(const json& reply) {
    auto text = fmt::format("{:<32} {:>9} {:>9} {:>9}  {}\n", "BACKEND / SERVER", "RESPONSES", "PER SEC", "4XX",
                            "ALERTS / CODES IN THE WINDOW");
    const auto& servers = reply.at("servers");
    for (const auto& [name, backend] : reply.at("backends").items()) {
        text +=
            fmt::format("{:<32} {:>9} {:>9} {:>9}  {}\n", printable(name), backend.at("requests").get<std::uint64_t>(),
                        rate_text(backend.at("rate")), ratio_text(backend.at("ratio")), alerts_text(backend));
        for (const auto& server : worst_first(backend, servers)) {
            text += server_row(server.label, *server.counts, server.up);
        }
    }
    return text;
}

}  // namespace

Result<void> show_top(const config::Settings& settings, Output output) {
    const bool live = output == Output::text && isatty(STDOUT_FILENO) != 0;
    for (;;) {
        const auto reply = ask_agent(settings, "/api/v1/backends");
        if (!reply) {
            return std::unexpected(reply.error());
        }
        const auto text = table(*reply);  // as JSON too: not everything that is JSON is an agent's
        if (output == Output::json) {
            std::cout << reply->dump(2) << '\n';
            return {};
        }
        std::cout << (live ? "\x1b[H\x1b[2J" : "") << text << std::flush;
        if (!live) {
            return {};
        }
        std::this_thread::sleep_for(std::min<Millis>(settings.poll_interval, std::chrono::seconds(1)));
    }
}

}  // namespace upstat::cli
