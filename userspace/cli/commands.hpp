// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/error.hpp"
#include "config/settings.hpp"

namespace upstat::cli {

/// How `top`, `status`, `explain` and `sockets` print.
enum class Output : std::uint8_t { text, json };

// One file a command. Each prints its data on stdout and returns the Error that ends the program otherwise.

Result<void> show_status(const config::Settings& settings, Output output);
/// On a terminal, until the person leaves it; as JSON, or where stdout is no terminal, prints `once` in any case.
Result<void> show_top(const config::Settings& settings, Output output, bool once);
/// Answers the alert's runbook for one backend.
Result<void> explain(const config::Settings& settings, const std::string& backend, Output output);
/// The connections to servers, of one backend or all.
Result<void> show_sockets(const config::Settings& settings, const std::string& backend, Output output);
/// Prints each mistake of a settings file.
Result<void> check_config(const std::string& path);
Result<void> detach(const config::Settings& settings);

}  // namespace upstat::cli
