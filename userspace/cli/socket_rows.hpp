// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace upstat::cli {

// What `sockets` and `top` say of /api/v1/sockets.

/// "3 connections: 2 idle, 1 waiting".
std::string socket_states(const nlohmann::json& reply);

/// A connection but for its server, in 67 columns: local port, state, responses by class, age.
std::string socket_columns(const nlohmann::json& socket);
std::string socket_columns_head();

}  // namespace upstat::cli
