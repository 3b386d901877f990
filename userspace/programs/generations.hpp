// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"

struct bpf_map;
struct bpf_object;

namespace upstat::programs {

/// The maps that were made together, by one layout and with one size, below --bpf.pin-path:
///     layout-N/MAP, layout-N/links/CGROUP-PROGRAM      and layout-N-1, layout-N-2, ... where that was taken
/// Nothing is ever copied from one to another, so that no crash can make anything count twice: what is counted is the
/// sum over all of them. New requests are counted in the newest only, on the cgroups that its programs are on.
struct Generation {
    std::filesystem::path path;
    std::map<std::string, Fd> maps;

    /// The descriptor of a map; -1 where there is no such map.
    [[nodiscard]] int map(const std::string& name) const;
    /// The kernel's number of a map, which no later map has; 0 where there is no such map.
    [[nodiscard]] std::uint32_t id(const std::string& name) const;
};

std::filesystem::path links_of(const std::filesystem::path& generation);
std::vector<std::filesystem::path> links_of(std::span<const Generation> generations);

/// All of them, oldest first. Those that a crash left unfinished were never in use and are removed.
Result<std::vector<Generation>> find_generations(const std::filesystem::path& root);

/// Whether a map of ours outlives the programs.
bool is_pinned(const bpf_map* map);

/// Whether the maps of this generation are those of `object`, whose pin paths do not matter here.
bool is_of(const Generation& generation, const bpf_object* object);

/// A directory for a new one.
std::filesystem::path new_generation(const std::filesystem::path& root);

}  // namespace upstat::programs
