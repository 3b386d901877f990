// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "config/settings.hpp"
#include "judge/alert.hpp"

namespace upstat::config {

/// What a file says, and each mistake in it, as "file:line: ..." with a hint.
struct FileSettings {
    Given given;
    std::vector<judge::Rule> rules;
    std::vector<Error> errors;
};
FileSettings read_settings_file(const std::string& path);

}  // namespace upstat::config
