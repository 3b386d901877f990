// SPDX-License-Identifier: Apache-2.0
#include "programs/zones.hpp"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

#include "programs/pins.hpp"

namespace upstat::programs {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view zone_prefix = "zone-";

std::string link_name(std::uint32_t number) {
    return fmt::format("{}{}", zone_prefix, number);
}

/// Nothing where the file has another name than one of ours.
std::optional<std::uint16_t> zone_of(const fs::path& file) {
    const auto name = file.filename().string();
    std::uint16_t number = 0;
    if (name.starts_with(zone_prefix)) {
        std::from_chars(name.data() + zone_prefix.size(), name.data() + name.size(), number);
    }
    return name == link_name(number) ? std::optional(number) : std::nullopt;
}

}  // namespace

bool is_zone(const fs::path& file) {
    std::error_code error;
    return zone_of(file) && fs::is_symlink(fs::symlink_status(file, error));
}

Zones::Zones(const Root& root) : root_(&root) {
    for (const auto& file : entries_of(path_of(root.directory))) {
        std::error_code error;
        if (is_zone(file)) {
            names_.emplace(*zone_of(file), fs::read_symlink(file, error).string());
        }
    }
}

Result<std::uint16_t> Zones::number_of(const std::string& name) {
    if (const auto known = std::ranges::find(names_, name, &ZoneNames::value_type::second); known != names_.end()) {
        return known->first;
    }
    const auto number = next();
    if (number > std::numeric_limits<std::uint16_t>::max()) {
        return fail(Error::Kind::runtime, "the maps have no number left for one more Traefik",
                    "run `upstat detach` and start anew: the backends' counters go on");
    }
    if (auto given = give(static_cast<std::uint16_t>(number), name); !given) {
        return std::unexpected(given.error());
    }
    return static_cast<std::uint16_t>(number);
}

Result<void> Zones::adopt(const ZoneNames& names) {
    for (const auto& [number, name] : names) {
        const auto at = names_.find(number);
        const auto known = std::ranges::find(names_, name, &ZoneNames::value_type::second);
        if (at == names_.end() ? known != names_.end() : at->second != name) {
            return fail(Error::Kind::runtime,
                        fmt::format("counters start anew: the saved state has {} as number {}, and {} otherwise", name,
                                    number, root_->path.string()),
                        "use one --state.path with one --bpf.pin-path. To go on with what was saved: stop upstat, run "
                        "`upstat detach`, "
                        "and rename the file back");
        }
    }
    for (const auto& [number, name] : names) {
        if (auto given = names_.contains(number) ? Result<void>() : give(number, name); !given) {
            return given;
        }
    }
    return {};
}

Result<void> Zones::give(std::uint16_t number, const std::string& name) {
    if (::symlinkat(name.c_str(), root_->directory.get(), link_name(number).c_str()) != 0) {
        return std::unexpected(
            bpf_error(errno, fmt::format("cannot make {}", (root_->path / link_name(number)).string())));
    }
    names_.emplace(number, name);
    return {};
}

}  // namespace upstat::programs
