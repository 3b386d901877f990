// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace upstat {

/// The names of the files by which the two sides of an exchange know each other; empty: none.
struct HttpFiles {
    std::string ca_file{};            ///< PEM: whose certificates are believed; else the system's
    std::string bearer_token_file{};  ///< read for each request, because its token may be replaced at any moment
    std::string cert_file{};          ///< PEM: our own certificate
    std::string key_file{};           ///< PEM: its key

    bool operator==(const HttpFiles&) const = default;
};

/// What a file of PEM holds.
Result<std::string> read_pem(const std::string& file);

/// The password in a file: its first line. No error shows anything of it.
Result<std::string> read_password(const std::string& file);

/// The token in a file, without the white space around it. No error shows anything of it.
Result<std::string> read_token(const std::string& file);

/// What is wrong with the files now, an Error of kind usage each. `option` ("alertmanager") is what their settings
/// begin with.
std::vector<Error> mistakes_in(const HttpFiles& files, std::string_view option);

}  // namespace upstat
