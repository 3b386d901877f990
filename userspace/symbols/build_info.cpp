// SPDX-License-Identifier: Apache-2.0
#include "symbols/build_info.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/regular_file.hpp"

namespace upstat::symbols {

namespace {

using namespace std::string_view_literals;

constexpr std::size_t max_build_info = std::size_t{4} << 10;

/// A string behind its length, as Go's encoding/binary writes it; cut where the bytes end.
std::string_view take_string(std::string_view& bytes) {
    std::uint64_t size = 0;
    int shift = 0;
    bool more = true;
    while (more && !bytes.empty() && shift < 63) {
        const auto byte = static_cast<unsigned char>(bytes.front());
        size |= std::uint64_t{byte & 0x7FU} << shift;
        more = (byte & 0x80U) != 0;
        shift += 7;
        bytes.remove_prefix(1);
    }
    const auto taken = bytes.substr(0, size);
    bytes.remove_prefix(taken.size());
    return taken;
}

}  // namespace

std::optional<BuildInfo> read_build_info(const Fd& file, const ElfFile& elf) {
    constexpr auto magic = "\xff Go buildinf:"sv;
    constexpr std::size_t flags_at = 15;
    constexpr std::size_t strings_at = 32;
    constexpr std::size_t sentinel = 16;
    constexpr auto key = "path\t"sv;
    const auto* const section = elf.section(".go.buildinfo");
    const auto bytes = section == nullptr
                           ? std::string()
                           : read_at(file, section->offset, std::min<std::uint64_t>(section->size, max_build_info));
    if (!bytes.starts_with(magic) || bytes.size() < strings_at || (bytes[flags_at] & 2) == 0) {
        return std::nullopt;
    }
    auto rest = std::string_view(bytes).substr(strings_at);
    BuildInfo info{.go = std::string(take_string(rest)), .package = {}};
    auto modules = take_string(rest);
    modules.remove_prefix(std::min(sentinel, modules.size()));
    if (modules.starts_with(key)) {
        info.package = modules.substr(key.size(), modules.find('\n') - key.size());
    }
    return info;
}

}  // namespace upstat::symbols
