// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>

#include "base/error.hpp"

namespace upstat::agent {

/// The Error of a step on a file of --state.path, by errno.
std::unexpected<Error> state_error(std::string_view step, const std::filesystem::path& path);

bool write_all(int fd, std::string_view text);

/// Replaces DIRECTORY/NAME: it is the old one or the new one whenever the power fails. Makes the directory.
Result<void> replace_file(const std::filesystem::path& directory, const std::string& name, std::string_view text);

}  // namespace upstat::agent
