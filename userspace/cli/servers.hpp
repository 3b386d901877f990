// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "config/settings.hpp"

namespace upstat::cli {

/// A server of a backend, in what /api/v1/backends says.
struct ListedServer {
    std::string label;
    const nlohmann::json* counts = nullptr;
    bool up = true;
    std::uint64_t errors = 0;  ///< 4xx and 5xx in the window
};

/// The servers of a backend that have counts, those with most errors in the window first.
std::vector<ListedServer> worst_first(const nlohmann::json& backend, const nlohmann::json& servers);

/// What the agent calls Traefik's services; those of before 0.3 say nothing of it.
std::string noun_of(const nlohmann::json& reply);

/// Asks the agent whether there is such a backend; an empty name stands for all of them. Errors: usage, with the names
/// that there are.
Result<void> check_backend(const config::Settings& settings, const std::string& backend);

/// Of counts by code or reason.
std::uint64_t total_of(const nlohmann::json& counts);

}  // namespace upstat::cli
