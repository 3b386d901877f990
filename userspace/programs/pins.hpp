// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat::programs {

/// What is in a directory, sorted. Empty where there is no such directory.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& directory);

/// Whether a part of a pin's name is a number.
bool is_number(std::string_view text);

/// A path to what a descriptor is open on, for calls that take no descriptor.
std::filesystem::path path_of(const Fd& descriptor);

/// The BPF object pinned at a path. Empty where there is none.
Fd open_pin(const std::filesystem::path& path);

/// What kind of BPF object a descriptor is open on.
bool is_map(const Fd& object);
bool is_link(const Fd& object);

/// One sentence for a failed bpf(2) call, with a hint for the common causes.
Error bpf_error(int error, const std::string& what);

}  // namespace upstat::programs
