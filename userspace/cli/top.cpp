// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <ranges>
#include <thread>
#include <utility>

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

/// "firing 8.0 % Http5xx": each alert that is not inactive, with its own ratio; an outage first. A name may be cut off.
std::string alerts_text(const json& backend) {
    auto text = shown(backend.at("outage"));
    for (const auto& [name, alert] : backend.at("alerts").items()) {
        if (alert.at("state") != "inactive") {
            text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", shown(alert.at("state")),
                                ratio_text(alert.at("ratio")), printable(name));
        }
    }
    return text.empty() ? "inactive" : text;
}

std::string rate_text(const json& rate) {
    return rate.is_null() ? "-" : fmt::format("{:.1f}", rate.get<double>());
}

std::string server_row(const std::string& label, const json& server, bool up) {
    return fmt::format("  {:<30} {:>9} {:>9} {:>9}  {}{}\n", printable(label), total_of(server.at("codes")), "", "",
                       codes_text(server.at("window").at("codes")), up ? "" : " DOWN");
}

/// How bad a backend is: an outage is worse than any alert, a firing one than a pending one; then by the ratio of 4xx.
std::pair<int, double> badness(const json& backend) {
    int worst = shown(backend.at("outage")).empty() ? 0 : 3;
    for (const auto& [name, alert] : backend.at("alerts").items()) {
        worst = std::max(worst, alert.at("state") == "firing" ? 2 : alert.at("state") == "pending" ? 1 : 0);
    }
    return {worst, backend.at("ratio").is_null() ? 0 : backend.at("ratio").get<double>()};
}

/// The names of the backends, the worst first.
std::multimap<std::pair<int, double>, std::string, std::greater<>> by_badness(const json& backends) {
    std::multimap<std::pair<int, double>, std::string, std::greater<>> names;
    for (const auto& [name, backend] : backends.items()) {
        names.emplace(badness(backend), name);
    }
    return names;
}

std::string table(const json& reply) {
    auto text = fmt::format("{:<32} {:>9} {:>9} {:>9}  {}\n",
                            noun_of(reply) == "service" ? "SERVICE / SERVER" : "BACKEND / SERVER", "RESPONSES",
                            "PER SEC", "4XX", "ALERTS / CODES IN THE WINDOW");
    const auto& servers = reply.at("servers");
    for (const auto& name : by_badness(reply.at("backends")) | std::views::values) {
        const auto& backend = reply.at("backends").at(name);
        text +=
            fmt::format("{:<32} {:>9} {:>9} {:>9}  {}\n", printable(name), backend.at("requests").get<std::uint64_t>(),
                        rate_text(backend.at("rate")), ratio_text(backend.at("ratio")), alerts_text(backend));
        for (const auto& server : worst_first(backend, servers)) {
            text += server_row(server.label, *server.counts, server.up);
        }
    }
    return text;
}

/// As much of a text as fits on a screen. A character is taken for one column wide.
std::string fitted(std::string_view text, unsigned rows, unsigned columns) {
    std::string out;
    unsigned row = 1;
    unsigned column = 0;
    for (const char byte : text) {
        if (byte == '\n' && ++row > rows) {
            break;
        }
        column = byte == '\n' ? 0 : column + ((static_cast<unsigned char>(byte) & 0xC0U) == 0x80U ? 0U : 1U);
        if (column <= columns) {
            out += byte;
        }
    }
    return out;
}

/// Over what the terminal showed before. One that does not know its size is taken as it is.
void draw(std::string_view text) {
    winsize size{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row != 0 && size.ws_col != 0;
    std::cout << "\x1b[H\x1b[2J" << (known ? fitted(text, size.ws_row, size.ws_col) : std::string(text)) << std::flush;
}

}  // namespace

Result<void> show_top(const config::Settings& settings, Output output) {
    const bool live = output == Output::text && isatty(STDOUT_FILENO) != 0;
    for (bool begun = false;; begun = true) {
        const auto reply = ask_agent(settings, "/api/v1/backends");
        if (!reply && !(live && begun)) {  // an agent that restarts is waited for
            return std::unexpected(reply.error());
        }
        const auto text = reply ? table(*reply) : "waiting: " + reply.error().message + "\n";
        if (output == Output::json) {  // after the table: not everything that is JSON is an agent's
            std::cout << reply->dump(2) << '\n';
            return {};
        }
        if (!live) {
            std::cout << text;
            return {};
        }
        draw(text);
        std::this_thread::sleep_for(std::min<Millis>(settings.poll_interval, std::chrono::seconds(1)));
    }
}

}  // namespace upstat::cli
