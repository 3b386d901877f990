// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "attribute/catalogue.hpp"
#include "base/error.hpp"

namespace upstat::attribute {

/// What a --backends.file says. It is usable when there is no mistake in it.
struct StaticMap {
    Catalogue catalogue;          ///< provider "file"
    std::vector<Error> mistakes;  ///< each with file:line and a hint, in the order of the file
};

/// YAML: `backends: {name: ["10.0.0.1:80", "http://host:8080", "[::1]:90"]}`. An entry without a scheme is http.
StaticMap parse_static_map(const std::string& text, const std::string& file);

StaticMap load_static_map(const std::filesystem::path& file);

}  // namespace upstat::attribute
