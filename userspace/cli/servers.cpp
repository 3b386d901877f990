// SPDX-License-Identifier: Apache-2.0
#include "cli/servers.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <tuple>

#include "base/printable.hpp"
#include "cli/ask.hpp"

namespace upstat::cli {

namespace {

std::uint64_t errors_of(const nlohmann::json& server) {
    std::uint64_t errors = 0;
    for (const auto& [code, count] : server.at("window").at("codes").items()) {
        errors += code >= "400" ? count.get<std::uint64_t>() : 0;
    }
    return errors;
}

}  // namespace

std::vector<ListedServer> worst_first(const nlohmann::json& backend, const nlohmann::json& servers) {
    std::vector<ListedServer> found;
    for (const auto& listed : backend.at("listed")) {
        for (const auto& label : listed.at("servers")) {
            if (const auto server = servers.find(label.get<std::string>()); server != servers.end()) {
                found.push_back({.label = label.get<std::string>(),
                                 .counts = &*server,
                                 .up = listed.at("up").get<bool>(),
                                 .errors = errors_of(*server)});
            }
        }
    }
    std::ranges::sort(found, [](const ListedServer& one, const ListedServer& two) {
        return std::tie(two.errors, one.label) < std::tie(one.errors, two.label);
    });
    return found;
}

std::string noun_of(const nlohmann::json& reply) {
    return reply.value("names", "backend") == "service" ? "service" : "backend";
}

Result<void> check_backend(const config::Settings& settings, const std::string& backend) {
    if (backend.empty()) {
        return {};
    }
    const auto reply = ask_agent(settings, "/api/v1/backends");
    if (!reply || reply->at("backends").contains(backend)) {
        return reply ? Result<void>() : std::unexpected(reply.error());
    }
    std::string known;
    for (const auto& [name, value] : reply->at("backends").items()) {
        known += (known.empty() ? "" : ", ") + printable(name);
    }
    return fail(
        Error::Kind::usage, fmt::format("there is no {} {}", noun_of(*reply), printable(backend)),
        known.empty() ? fmt::format("no {} is known yet: see `upstat status`", noun_of(*reply)) : "known are " + known);
}

std::uint64_t total_of(const nlohmann::json& counts) {
    std::uint64_t total = 0;
    for (const auto& [name, count] : counts.items()) {
        total += count.get<std::uint64_t>();
    }
    return total;
}

}  // namespace upstat::cli
