// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <ranges>
#include <utility>

#include "base/json_text.hpp"
#include "base/printable.hpp"
#include "base/url.hpp"
#include "cli/ask.hpp"
#include "cli/commands.hpp"
#include "cli/servers.hpp"
#include "cli/top_terminal.hpp"
#include "cli/top_view.hpp"

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

/// Asks for all three pages; what was there before stays where one does not come. For the connections of the open
/// server too, which an agent of before 0.3 does not show.
void refresh(const config::Settings& settings, const TopState& state, TopData& data) {
    auto backends = ask_agent(settings, "/api/v1/backends");
    auto history = ask_agent(settings, "/api/v1/history");
    auto alerts = ask_agent(settings, "/api/v1/alerts");
    if (backends && history && alerts) {
        data = {.backends = *std::move(backends), .history = *std::move(history), .alerts = *std::move(alerts)};
        if (!state.server.empty()) {
            data.sockets_server = state.server;
            data.sockets =
                ask_agent(settings, "/api/v1/sockets?server=" + percent_encoded(state.server)).value_or(json());
        }
    } else {
        data.problem = (!backends ? backends : !history ? history : alerts).error().message;
    }
}

/// Until the person leaves it. An agent that restarts is waited for.
Result<void> watch(const config::Settings& settings) {
    if (const auto first = ask_agent(settings, "/api/v1/backends"); !first) {
        return std::unexpected(first.error());
    }
    TopData data;
    TopState state;
    refresh(settings, state, data);
    top_screen(data, state, {});  // not everything that is JSON is an agent's
    Terminal terminal;
    if (!terminal.works()) {
        return fail(Error::Kind::usage, "this terminal is of a kind that is not known (TERM)",
                    "use `upstat top --once`");
    }
    const auto interval = std::min<Millis>(settings.poll_interval, std::chrono::seconds(1));
    for (auto next = std::chrono::steady_clock::now() + interval; true;) {
        terminal.draw(top_screen(data, state, terminal.size()));
        const auto left = std::chrono::ceil<Millis>(next - std::chrono::steady_clock::now());
        const auto [key, letter] = terminal.wait(static_cast<int>(std::max(left, Millis(0)).count()), state.typing);
        if (!take_key(data, state, key, letter)) {
            return {};
        }
        if (std::chrono::steady_clock::now() >= next) {
            next = std::chrono::steady_clock::now() + interval;
            if (!state.paused) {
                refresh(settings, state, data);
            }
        }
    }
}

}  // namespace

Result<void> show_top(const config::Settings& settings, Output output, bool once) {
    if (output == Output::text && !once && isatty(STDOUT_FILENO) != 0) {
        return watch(settings);
    }
    const auto reply = ask_agent(settings, "/api/v1/backends");
    if (!reply) {
        return std::unexpected(reply.error());
    }
    const auto text = table(*reply);  // as JSON too: not everything that is JSON is an agent's
    std::cout << (output == Output::json ? json_text(*reply, 2) + "\n" : text);
    return {};
}

}  // namespace upstat::cli
