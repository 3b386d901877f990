// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace upstat {

/// The known name that a mistyped one is most like, for a hint; empty where none is like it.
std::string_view nearest(std::string_view mistyped, std::span<const std::string_view> known);

}  // namespace upstat
