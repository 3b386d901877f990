// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <iostream>

#include "cli/ask.hpp"
#include "cli/commands.hpp"

namespace upstat::cli {

namespace {

using nlohmann::json;

std::uint64_t sum(const json& counts) {
    std::uint64_t total = 0;
    for (const auto& [name, count] : counts.items()) {
        total += count.get<std::uint64_t>();
    }
    return total;
}

/// One server of the backend: what it answered, and what it did not.
void print_server(const std::string& label, const json& server, bool up) {
    fmt::print("  {}{}: {} requests, {} unanswered, {} outstanding\n", label, up ? "" : " (DOWN says Traefik)",
               server["requests"].get<std::uint64_t>(), sum(server["unanswered"]),
               server["outstanding"].get<std::int64_t>());
    for (const auto& [code, count] : server["codes"].items()) {
        if (count != 0) {
            fmt::print("    {}  {}\n", code, count.get<std::uint64_t>());
        }
    }
    for (const auto* const kind : {"unanswered", "unread", "connect_failures"}) {
        for (const auto& [reason, count] : server[kind].items()) {
            if (count != 0) {
                fmt::print("    {} {}  {}\n", kind, reason, count.get<std::uint64_t>());
            }
        }
    }
}

void print_text(const std::string& name, const json& backend, const json& servers, const json& alerts) {
    for (const auto& alert : alerts["alerts"]) {
        if (alert["backend"] == name) {
            fmt::print("{}: {}", alert["alert"].get<std::string>(), alert["state"].get<std::string>());
            fmt::print("{}\n",
                       alert["active_since"].is_null() ? "" : " since " + alert["active_since"].get<std::string>());
        }
    }
    fmt::print("backend {} ({}): ", name, backend["provider"].get<std::string>());
    if (backend["ratio"].is_null()) {
        fmt::print("no traffic in the window\n");
    } else {
        fmt::print("{:.2f} % of {:.1f} answers a second are bad\n", backend["ratio"].get<double>() * 100,
                   backend["rate"].get<double>());
    }
    fmt::print("These answers came from the servers; what Traefik answers by itself is not among them.\n");
    for (const auto& listed : backend["listed"]) {
        for (const auto& label : listed["servers"]) {
            if (const auto server = servers.find(label.get<std::string>()); server != servers.end()) {
                print_server(label.get<std::string>(), *server, listed["up"].get<bool>());
            }
        }
    }
}

}  // namespace

Result<void> explain(const config::Settings& settings, const std::string& backend, Output output) {
    const auto answer = ask_agent(settings, "/api/v1/backends");
    if (!answer) {
        return std::unexpected(answer.error());
    }
    const auto& backends = (*answer)["backends"];
    const auto found = backends.find(backend);
    if (found == backends.end()) {
        std::string known;
        for (const auto& [name, value] : backends.items()) {
            known += (known.empty() ? "" : ", ") + name;
        }
        return fail(Error::Kind::usage, fmt::format("there is no backend {}", backend),
                    known.empty() ? "no backend is known yet: see `upstat status`" : "known are " + known);
    }
    const auto alerts = ask_agent(settings, "/api/v1/alerts");
    if (!alerts) {
        return std::unexpected(alerts.error());
    }
    if (output == Output::json) {
        std::cout << json{{"backend", backend},
                          {"at", (*answer)["at"]},
                          {"detail", *found},
                          {"servers", (*answer)["servers"]}}
                         .dump(2)
                  << '\n';
    } else {
        print_text(backend, *found, (*answer)["servers"], *alerts);
    }
    return {};
}

}  // namespace upstat::cli
