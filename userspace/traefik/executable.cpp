// SPDX-License-Identifier: Apache-2.0
#include "traefik/executable.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/regular_file.hpp"
#include "symbols/build_info.hpp"
#include "symbols/elf.hpp"

namespace upstat::traefik {

namespace {

constexpr std::uint64_t max_line_table = std::uint64_t{64} << 20;
constexpr std::size_t piece_size = std::size_t{1} << 20;

/// github.com/traefik/traefik/v3/cmd/traefik, github.com/containous/traefik/cmd/traefik
bool is_traefiks(std::string_view package) {
    return package.ends_with("/cmd/traefik") && (package.starts_with("github.com/traefik/traefik/") ||
                                                 package.starts_with("github.com/containous/traefik/"));
}

/// Looks for a text that may lie across two pieces.
bool contains(const Fd& file, const symbols::Section& section, std::string_view wanted) {
    const auto size = std::min(section.size, max_line_table);
    std::string kept;
    for (std::uint64_t at = 0; at < size; at += piece_size) {
        const auto wish = static_cast<std::size_t>(std::min<std::uint64_t>(piece_size, size - at));
        const auto piece = read_at(file, section.offset + at, wish);
        kept += piece;
        if (kept.contains(wanted)) {
            return true;
        }
        if (piece.size() < wish) {
            return false;  // the file ends before its section does
        }
        kept.erase(0, kept.size() - std::min(kept.size(), wanted.size()));
    }
    return false;
}

}  // namespace

bool is_traefik_executable(const Fd& file) {
    const auto elf = symbols::read_elf(file);
    if (!elf) {
        return false;
    }
    const auto info = symbols::read_build_info(file, *elf);
    if (info && !info->package.empty() && info->package != "command-line-arguments") {
        return is_traefiks(info->package);
    }
    const auto* const lines = elf->section(".gopclntab");
    return lines != nullptr && contains(file, *lines, "/cmd/traefik/traefik.go");
}

}  // namespace upstat::traefik
