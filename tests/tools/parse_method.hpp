// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "poll/snapshot.hpp"

namespace upstat::poll {

/// The inverse of to_string(Method).
inline std::optional<Method> parse_method(std::string_view text) {
    for (auto number = 0; number <= static_cast<int>(Method::patch); ++number) {
        if (const auto method = static_cast<Method>(number); to_string(method) == text) {
            return method;
        }
    }
    return std::nullopt;
}

}  // namespace upstat::poll
