// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <iostream>

#include "cli/ask.hpp"
#include "cli/commands.hpp"

namespace upstat::cli {

namespace {

std::string or_dash(const nlohmann::json& value) {
    const auto text = value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
    return text.empty() ? "-" : text;
}

void print_text(const nlohmann::json& status) {
    fmt::print("ready      {}{}\n", status["ready"].get<bool>() ? "yes" : "no",
               status["ready"].get<bool>() ? "" : ": " + or_dash(status["not_ready"]));
    fmt::print("last poll  {} ({:.1f} ms)\n", or_dash(status["last_poll"]),
               status["poll_seconds"].get<double>() * 1000);
    for (const auto& traefik : status["traefiks"]) {
        fmt::print("traefik    pid {} version {} {} in {}\n", or_dash(traefik["pid"]), or_dash(traefik["version"]),
                   traefik["attached"].get<bool>() ? "counted" : "NOT COUNTED", or_dash(traefik["cgroup"]));
        fmt::print("           api {}\n", or_dash(traefik["api"]));
        if (or_dash(traefik["problem"]) != "-") {
            fmt::print("           problem: {}\n", or_dash(traefik["problem"]));
        }
    }
    for (const auto& map : status["maps"]) {
        const auto entries = map["entries"].get<double>();
        fmt::print("map        {}: {} of {} ({:.0f} %)\n", or_dash(map["map"]), or_dash(map["entries"]),
                   or_dash(map["capacity"]), 100 * entries / map["capacity"].get<double>());
    }
    for (const auto& program : status["programs"]) {
        fmt::print("program    {}: {} runs, {} s\n", or_dash(program["program"]), or_dash(program["runs"]),
                   or_dash(program["seconds"]));
    }
    for (const auto& [name, result] : status["results"].items()) {
        fmt::print("{:<26} {} good, {} failed{}\n", name, or_dash(result["success"]), or_dash(result["failure"]),
                   or_dash(result["last_error"]) == "-" ? "" : ", last: " + or_dash(result["last_error"]));
    }
    for (const auto& [place, count] : status["kernel_errors"].items()) {
        if (count != 0) {
            fmt::print("kernel     {}: {}\n", place, or_dash(count));
        }
    }
}

}  // namespace

Result<void> show_status(const config::Settings& settings, Output output) {
    const auto status = ask_agent(settings, "/api/v1/status");
    if (!status) {
        return std::unexpected(status.error());
    }
    if (output == Output::json) {
        std::cout << status->dump(2) << '\n';
    } else {
        print_text(*status);
    }
    return {};
}

}  // namespace upstat::cli
