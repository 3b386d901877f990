// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace upstat::programs {

/// The highest CPU number in a list such as "0-3,8-11". Some hosts leave out numbers, so the count of CPUs does not
/// tell it. Nothing where the text is no such list.
std::optional<std::uint64_t> highest_cpu(std::string_view list);

}  // namespace upstat::programs
