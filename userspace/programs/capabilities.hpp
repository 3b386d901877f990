// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace upstat::programs {

constexpr auto privileges_hint =
    "run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; CAP_SYS_ADMIN includes them";

struct Capability {
    unsigned number;
    const char* name;
};

/// What it takes to load the programs and to attach them, and what it takes to tell our pins from others'.
std::span<const Capability> to_count();
std::span<const Capability> to_detach();

/// The names of those that a set of effective capabilities (bit N for number N) lacks.
std::vector<std::string> missing(std::span<const Capability> needed, std::uint64_t effective);

/// An Error of kind host that names what this process lacks. Check first: without CAP_PERFMON the verifier runs for
/// many seconds before it gives up, and its error says nothing of capabilities.
Result<void> check_capabilities(std::span<const Capability> needed);

}  // namespace upstat::programs
