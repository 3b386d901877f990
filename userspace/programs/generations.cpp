// SPDX-License-Identifier: Apache-2.0
#include "programs/generations.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <iterator>

#include "layout.h"
#include "programs/pins.hpp"
#include "programs/shape.hpp"

namespace upstat::programs {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view prefix = "layout-";

std::string own_name() {
    return fmt::format("{}{}", prefix, UPSTAT_LAYOUT_VERSION);
}

Generation open_generation(const fs::path& path) {
    Generation generation{.path = path, .maps = {}};
    for (const auto& pin : entries_of(path)) {
        if (Fd fd = open_pin(pin); fd) {
            generation.maps.emplace(pin.filename(), std::move(fd));
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

fs::path links_of(const fs::path& generation) {
    return generation / "links";
}

std::vector<fs::path> links_of(std::span<const Generation> generations) {
    std::vector<fs::path> directories;
    std::ranges::transform(generations, std::back_inserter(directories),
                           [](const Generation& generation) { return links_of(generation.path); });
    return directories;
}

Result<std::vector<Generation>> find_generations(const fs::path& root) {
    std::vector<Generation> generations;
    for (const auto& path : entries_of(root)) {
        if (!path.filename().string().starts_with(prefix)) {
            continue;
        }
        std::error_code error;
        if (fs::exists(links_of(path), error)) {  // made last
            generations.push_back(open_generation(path));
        } else if (fs::remove_all(path, error); error) {
            return std::unexpected(bpf_error(error.value(), fmt::format("cannot remove {}", path.string())));
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
