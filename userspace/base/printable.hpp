// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace upstat {

/// Text that others chose (a backend's name, a server's words) as it may be printed to a terminal: control characters
/// (line feed, ESC, DEL and the C1 ones) and bytes that are no UTF-8 as \xNN, and "..." for what is behind `longest`
/// bytes.
std::string printable(std::string_view text, std::size_t longest = 512);

}  // namespace upstat
