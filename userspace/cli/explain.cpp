// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <iostream>

#include "base/json_text.hpp"
#include "base/printable.hpp"
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
std::string server_text(const std::string& label, const json& server, bool up) {
    auto text = fmt::format("  {}{}: {} requests, {} unanswered, {} outstanding\n", printable(label),
                            up ? "" : " (DOWN says Traefik)", server.at("requests").get<std::uint64_t>(),
                            sum(server.at("unanswered")), server.at("outstanding").get<std::int64_t>());
    for (const auto& [code, count] : server.at("codes").items()) {
        if (count != 0) {
            text += fmt::format("    {}  {}\n", printable(code), count.get<std::uint64_t>());
        }
    }
    for (const auto* const kind : {"unanswered", "unread", "connect_failures"}) {
        for (const auto& [reason, count] : server.at(kind).items()) {
            if (count != 0) {
                text += fmt::format("    {} {}  {}\n", kind, printable(reason), count.get<std::uint64_t>());
            }
        }
    }
    return text;
}

std::string alert_text(const json& alert) {
    const auto& since = alert.at("active_since");
    return fmt::format("{}: {}{}\n", shown(alert.at("alert")), shown(alert.at("state")),
                       since.is_null() ? "" : " since " + shown(since));
}

std::string share_sentence(const json& backend) {
    if (backend.at("ratio").is_null()) {
        return "no traffic in the window\n";
    }
    return fmt::format("{:.2f} % of {:.1f} responses a second are bad\n", backend.at("ratio").get<double>() * 100,
                       backend.at("rate").get<double>());
}

std::string explanation(const std::string& name, const json& backend, const json& servers, const json& alerts) {
    std::string text;
    for (const auto& alert : alerts.at("alerts")) {
        if (alert.at("backend") == name) {
            text += alert_text(alert);
        }
    }
    text += fmt::format("backend {} ({}): {}", printable(name), shown(backend.at("provider")), share_sentence(backend));
    text += "These responses came from the servers; what Traefik answers by itself is not among them.\n";
    for (const auto& listed : backend.at("listed")) {
        for (const auto& label : listed.at("servers")) {
            if (const auto server = servers.find(label.get<std::string>()); server != servers.end()) {
                text += server_text(label.get<std::string>(), *server, listed.at("up").get<bool>());
            }
        }
    }
    return text;
}

std::unexpected<Error> unknown_backend(const std::string& backend, const json& backends) {
    std::string known;
    for (const auto& [name, value] : backends.items()) {
        known += (known.empty() ? "" : ", ") + printable(name);
    }
    return fail(Error::Kind::usage, fmt::format("there is no backend {}", printable(backend)),
                known.empty() ? "no backend is known yet: see `upstat status`" : "known are " + known);
}

}  // namespace

Result<void> explain(const config::Settings& settings, const std::string& backend, Output output) {
    const auto reply = ask_agent(settings, "/api/v1/backends");
    if (!reply) {
        return std::unexpected(reply.error());
    }
    const auto& backends = reply->at("backends");
    const auto found = backends.find(backend);
    if (found == backends.end()) {
        return unknown_backend(backend, backends);
    }
    const auto alerts = ask_agent(settings, "/api/v1/alerts");
    if (!alerts) {
        return std::unexpected(alerts.error());
    }
    const auto text = explanation(backend, *found, reply->at("servers"), *alerts);
    const json all{
        {"backend", backend}, {"at", reply->at("at")}, {"detail", *found}, {"servers", reply->at("servers")}};
    std::cout << (output == Output::json ? json_text(all, 2) + "\n" : text);
    return {};
}

}  // namespace upstat::cli
