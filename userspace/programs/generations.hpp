// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "programs/root.hpp"

struct bpf_map;
struct bpf_object;

namespace upstat::programs {

/// The maps and programs that were made together. They stay in the kernel when the agent ends, pinned below
/// --bpf.pin-path:
///     layout-N/MAP                          N is the version of bpf/layout.h
///     layout-N/links/CGROUP-PROGRAM
///     layout-N-1, layout-N-2, ...           where layout-N was taken
///
/// An agent whose maps have the same layout and room enough goes on with the newest generation. After an upgrade that
/// changed the layout, or with a larger --bpf.totals-size, it makes a new one beside it. Then:
///   - New requests are counted in the newest generation only.
///   - The previous generations' programs stay attached until the requests that they track are answered.
///   - Their maps stay until `upstat detach`. Every count is the sum over all generations.
/// Nothing is copied from one to another, so a crash at any moment counts nothing twice.
struct Generation {
    std::filesystem::path path;
    std::map<std::string, Fd> maps;

    /// The descriptor of a map; -1 where there is no such map.
    [[nodiscard]] int map(const std::string& name) const;
    /// The kernel's number of a map, which no later map gets; 0 where there is no such map.
    [[nodiscard]] std::uint32_t id(const std::string& name) const;
};

/// Where a generation pins its links to cgroups.
constexpr auto cgroup_links_name = "links";
std::filesystem::path cgroup_links_of(const std::filesystem::path& generation);
std::vector<std::filesystem::path> cgroup_links_of(std::span<const Generation> generations);

/// Whether a name has the form "layout-2" or "layout-2-1".
bool is_generation_name(std::string_view name);

/// The directories in root whose names have this form.
std::vector<std::string> generation_names(const std::filesystem::path& root);

/// Whether a map is pinned here that an upstat pinned: its name is one of ours, and the map has the same.
bool is_own_map(const std::filesystem::path& pin);

/// All generations, oldest first. A crash may have left one unfinished: it was never in use, and is removed.
Result<std::vector<Generation>> find_generations(const Root& root);

/// Whether a map of ours outlives the programs.
bool is_pinned(const bpf_map* map);

/// Whether the maps of this generation are those of `object`, whose pin paths do not matter here.
bool is_of(const Generation& generation, const bpf_object* object);

/// A path for a new generation.
std::filesystem::path new_generation(const std::filesystem::path& root);

}  // namespace upstat::programs
