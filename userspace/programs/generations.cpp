// SPDX-License-Identifier: Apache-2.0
#include "programs/generations.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "layout.h"
#include "programs/pins.hpp"
#include "programs/removal.hpp"
#include "programs/shape.hpp"

namespace upstat::programs {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view prefix = "layout-";

/// The maps of bpf/ that are pinned, and those that earlier versions pinned.
constexpr std::array<std::string_view, 21> map_names{
    "totals",   "total_counts", "requests",  "request_counts", "slots",         "overflow",      "places",
    "ports",    "sockets",      "scattered", "listening",      "records",       "records_epoch", "probed",
    "counting", "owners",       "members",   "members_epoch",  "probed_series", "route_hosts",   "route_paths"};

std::string own_name() {
    return fmt::format("{}{}", prefix, UPSTAT_LAYOUT_VERSION);
}

/// A symbolic link to a directory is none: it would show the same maps twice.
bool is_real_directory(const fs::path& path) {
    std::error_code error;
    return fs::is_directory(fs::symlink_status(path, error));
}

/// The map at `pin` if an upstat pinned it there.
Fd open_own_map(const fs::path& pin) {
    const auto name = pin.filename().string();
    if (std::ranges::find(map_names, name) == map_names.end()) {
        return {};
    }
    Fd map = open_pin(pin);
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    const bool is_ours =
        is_map(map) && bpf_obj_get_info_by_fd(map.get(), &info, &size) == 0 && name == std::string_view(info.name);
    return is_ours ? std::move(map) : Fd();
}

Generation open_generation(const fs::path& path) {
    Generation generation{.path = path, .maps = {}};
    for (const auto& pin : entries_of(path)) {
        if (Fd map = open_own_map(pin); map) {
            generation.maps.emplace(pin.filename(), std::move(map));
        }
    }
    return generation;
}

}  // namespace

int Generation::map(const std::string& name) const {
    const auto found = maps.find(name);
    return found == maps.end() ? -1 : found->second.get();
}

std::uint32_t Generation::id(const std::string& name) const {
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    const int fd = map(name);
    return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.id : 0;
}

fs::path cgroup_links_of(const fs::path& generation) {
    return generation / cgroup_links_name;
}

std::vector<fs::path> cgroup_links_of(std::span<const Generation> generations) {
    std::vector<fs::path> directories;
    std::ranges::transform(generations, std::back_inserter(directories),
                           [](const Generation& generation) { return cgroup_links_of(generation.path); });
    return directories;
}

bool is_generation_name(std::string_view name) {
    if (!name.starts_with(prefix)) {
        return false;
    }
    name.remove_prefix(prefix.size());
    const auto dash = name.find('-');
    return is_number(name.substr(0, dash)) && (dash == std::string_view::npos || is_number(name.substr(dash + 1)));
}

std::vector<std::string> generation_names(const fs::path& root) {
    std::vector<std::string> names;
    for (const auto& entry : entries_of(root)) {
        if (auto name = entry.filename().string(); is_generation_name(name) && is_real_directory(entry)) {
            names.push_back(std::move(name));
        }
    }
    return names;
}

bool is_own_map(const fs::path& pin) {
    return static_cast<bool>(open_own_map(pin));
}

Result<std::vector<Generation>> find_generations(const Root& root) {
    std::vector<Generation> generations;
    for (const auto& name : generation_names(root.path)) {
        const auto path = root.path / name;
        if (!is_real_directory(cgroup_links_of(path))) {  // made last
            if (auto removed = remove_generation(root, name); !removed) {
                return std::unexpected(removed.error());
            }
        } else if (auto generation = open_generation(path); generation.map("totals") >= 0) {
            generations.push_back(std::move(generation));
        }
    }
    std::ranges::sort(generations, {}, [](const Generation& generation) { return generation.id("totals"); });
    return generations;
}

bool is_pinned(const bpf_map* map) {
    return bpf_map__pin_path(map) != nullptr;
}

bool is_of(const Generation& generation, const bpf_object* object) {
    const auto name = generation.path.filename().string();
    if (name != own_name() && !name.starts_with(own_name() + "-")) {
        return false;
    }
    const bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        const int fd = generation.map(bpf_map__name(map));
        if (is_pinned(map) && (fd < 0 || !fits(object, map, fd))) {
            return false;
        }
    }
    return true;
}

fs::path new_generation(const fs::path& root) {
    std::error_code error;
    auto path = root / own_name();
    for (int serial = 1; fs::exists(path, error); serial++) {
        path = root / fmt::format("{}-{}", own_name(), serial);
    }
    return path;
}

}  // namespace upstat::programs
