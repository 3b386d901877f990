// SPDX-License-Identifier: Apache-2.0
#include "programs/cpus.hpp"

#include <charconv>

namespace upstat::programs {

std::optional<std::uint64_t> highest_cpu(std::string_view list) {
    const auto last = list.substr(list.find_last_of("-,") + 1);  // npos + 1 is 0
    std::uint64_t number = 0;
    const auto read = std::from_chars(last.data(), last.data() + last.size(), number);
    return read.ec == std::errc{} ? std::optional(number) : std::nullopt;
}

}  // namespace upstat::programs
