// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hpp"

namespace upstat::programs {

/// Several bpffs on one mount point, each over the one before: pins in the lower ones are out of reach.
struct Stack {
    std::string point;  ///< as mountinfo writes it
    std::size_t mounts = 0;

    bool operator==(const Stack&) const = default;
};

/// The stack that a mount is the top of, by the text of /proc/self/mountinfo. Nothing where it lies alone.
std::optional<Stack> find_stack(std::string_view mountinfo, std::uint64_t mount);

/// Says so in the log where a directory is on such a stack.
void warn_of_stack(const Fd& directory);

}  // namespace upstat::programs
