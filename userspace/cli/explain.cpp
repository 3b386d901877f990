// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <iostream>

#include "base/json_text.hpp"
#include "base/printable.hpp"
#include "cli/ask.hpp"
#include "cli/commands.hpp"
#include "cli/servers.hpp"

namespace upstat::cli {

namespace {

using nlohmann::json;

/// One server of the backend: what it answered, and what it did not.
std::string server_text(const std::string& label, const json& server, bool up) {
    const auto& window = server.at("window");
    auto text = fmt::format("  {}{}: {} requests, {} unanswered, {} outstanding; responses in the last {:.0f} s:\n",
                            printable(label), up ? "" : " (DOWN says Traefik)",
                            server.at("requests").get<std::uint64_t>(), total_of(server.at("unanswered")),
                            server.at("outstanding").get<std::int64_t>(), window.at("seconds").get<double>());
    for (const auto& [code, count] : window.at("codes").items()) {
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

/// What is bad to a rule, and of what.
std::string bad_text(const json& rule) {
    const auto share = rule.value("share", "codes");  // an agent of 0.2.0 knows codes only
    if (share == "connect_failures") {
        return "requests a second find no server: the connect fails";
    }
    return share == "unanswered" ? "requests a second are left without a response"
                                 : "responses a second are " + shown(rule.at("codes"));
}

/// "no traffic", or the alert's own share of what is bad to it.
std::string share_sentence(const json& alert, const json& rules, const std::string& silence) {
    const auto rule = std::ranges::find_if(rules, [&](const json& one) { return one.at("name") == alert.at("alert"); });
    if (alert.at("ratio").is_null() || rule == rules.end()) {
        return silence;
    }
    return fmt::format("{:.2f} % of {:.1f} {}, the threshold is {:g} %", alert.at("ratio").get<double>() * 100,
                       alert.at("rate").get<double>(), bad_text(*rule), rule->at("threshold_percent").get<double>());
}

std::string alert_text(const json& alert, const json& rules, const std::string& silence) {
    const auto& since = alert.at(alert.at("state") == "firing" ? "firing_since" : "active_since");
    auto text = fmt::format("{}: {}{}: {}\n", shown(alert.at("alert")), shown(alert.at("state")),
                            since.is_null() ? "" : " since " + shown(since), share_sentence(alert, rules, silence));
    if (const auto& worst = alert.at("worst"); !worst.is_null() && !since.is_null()) {
        const auto& code = worst.at("code");
        text += fmt::format("  most come from server {}: {} {}\n", shown(worst.at("server")), shown(worst.at("count")),
                            code.is_null() ? "of them" : "responses with " + shown(code));
    }
    return text;
}

/// "https", where all of a backend's servers speak what cannot be read.
std::string unreadable(const json& backend) {
    std::string scheme;
    for (const auto& listed : backend.at("listed")) {
        const auto url = listed.at("url").get<std::string>();
        const auto one = url.substr(0, url.find("://"));
        if (one != "https" && one != "h2c") {
            return "";
        }
        scheme = one;
    }
    return scheme;
}

std::string traffic_text(const json& backend) {
    const auto& rate = backend.at("rate");
    if (const auto scheme = rate.is_null() ? unreadable(backend) : ""; !scheme.empty()) {
        return fmt::format("cannot be read: its servers speak {}", scheme);
    }
    return rate.is_null() ? "no traffic in the window" : fmt::format("{:.1f} responses a second", rate.get<double>());
}

std::string explanation(const std::string& name, const json& backend, const json& reply, const json& alerts) {
    auto text = shown(backend.at("outage"));
    text += text.empty() ? "" : "\n";
    for (const auto& alert : alerts.at("alerts")) {
        if (alert.at("backend") == name) {
            text += alert_text(alert, alerts.at("rules"),
                               backend.at("rate").is_null() ? traffic_text(backend) : "no traffic in the window");
        }
    }
    text += fmt::format("{} {} ({}): {}\n", noun_of(reply), printable(name), shown(backend.at("provider")),
                        traffic_text(backend));
    text += "These responses came from the servers; what Traefik answers by itself is not among them.\n";
    for (const auto& server : worst_first(backend, reply.at("servers"))) {
        text += server_text(server.label, *server.counts, server.up);
    }
    return text;
}

std::unexpected<Error> unknown_backend(const std::string& backend, const json& reply) {
    std::string known;
    for (const auto& [name, value] : reply.at("backends").items()) {
        known += (known.empty() ? "" : ", ") + printable(name);
    }
    return fail(
        Error::Kind::usage, fmt::format("there is no {} {}", noun_of(reply), printable(backend)),
        known.empty() ? fmt::format("no {} is known yet: see `upstat status`", noun_of(reply)) : "known are " + known);
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
        return unknown_backend(backend, *reply);
    }
    const auto alerts = ask_agent(settings, "/api/v1/alerts");
    if (!alerts) {
        return std::unexpected(alerts.error());
    }
    const auto text = explanation(backend, *found, *reply, *alerts);
    const json all{
        {"backend", backend}, {"at", reply->at("at")}, {"detail", *found}, {"servers", reply->at("servers")}};
    std::cout << (output == Output::json ? json_text(all, 2) + "\n" : text);
    return {};
}

}  // namespace upstat::cli
