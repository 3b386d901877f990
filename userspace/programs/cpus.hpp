// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace upstat::programs {

/// The highest number that a CPU can have, of a list such as "0-3,8-11": some hosts leave out numbers in between, so it
/// is not told by how many CPUs there are. Nothing for what is no such list.
std::optional<std::uint64_t> highest_cpu(std::string_view list);

}  // namespace upstat::programs
