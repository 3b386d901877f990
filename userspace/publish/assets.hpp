// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace upstat::publish {

/// A file of the web page, as it was when this binary was built.
struct Asset {
    std::string_view path;  ///< that it is served at
    std::string_view type;
    std::string_view text;
};

std::span<const Asset> assets();

}  // namespace upstat::publish
