// SPDX-License-Identifier: Apache-2.0
#include "traefik/executable.hpp"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/regular_file.hpp"

namespace upstat::traefik {

namespace {

using namespace std::string_view_literals;

constexpr std::size_t max_sections = 4096;
constexpr std::size_t max_names = std::size_t{64} << 10;
constexpr std::size_t max_build_info = std::size_t{4} << 10;
constexpr std::uint64_t max_line_table = std::uint64_t{64} << 20;
constexpr std::size_t piece_size = std::size_t{1} << 20;

struct Section {
    std::string name;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};

template <typename T>
std::optional<T> from(std::string_view bytes, std::size_t at = 0) {
    T value{};
    if (at > bytes.size() || bytes.size() - at < sizeof value) {
        return std::nullopt;
    }
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

std::string name_at(std::string_view names, std::size_t at) {
    const auto rest = names.substr(std::min(at, names.size()));
    return std::string(rest.substr(0, rest.find('\0')));
}

template <typename Header, typename Entry>
std::vector<Section> sections_of(const Fd& file) {
    const auto header = from<Header>(read_at(file, 0, sizeof(Header)));
    if (!header || header->e_shentsize != sizeof(Entry) || header->e_shnum > max_sections) {
        return {};
    }
    const auto table = read_at(file, header->e_shoff, header->e_shnum * sizeof(Entry));
    const auto strings = from<Entry>(table, header->e_shstrndx * sizeof(Entry));
    if (!strings) {
        return {};
    }
    const auto names = read_at(file, strings->sh_offset, std::min<std::uint64_t>(strings->sh_size, max_names));
    std::vector<Section> sections;
    for (std::size_t at = 0; const auto entry = from<Entry>(table, at); at += sizeof(Entry)) {
        if (entry->sh_type != SHT_NOBITS) {
            sections.push_back(
                {.name = name_at(names, entry->sh_name), .offset = entry->sh_offset, .size = entry->sh_size});
        }
    }
    return sections;
}

std::vector<Section> sections_of(const Fd& file) {
    const auto identity = read_at(file, 0, EI_NIDENT);
    if (identity.size() < EI_NIDENT || !identity.starts_with(ELFMAG)) {
        return {};
    }
    return identity[EI_CLASS] == ELFCLASS64 ? sections_of<Elf64_Ehdr, Elf64_Shdr>(file)
                                            : sections_of<Elf32_Ehdr, Elf32_Shdr>(file);
}

/// A position independent executable has it under another name, such as .data.rel.ro.gopclntab.
const Section* section_called(const std::vector<Section>& sections, std::string_view end) {
    const auto found =
        std::ranges::find_if(sections, [end](const Section& section) { return section.name.ends_with(end); });
    return found == sections.end() ? nullptr : &*found;
}

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

/// The path of the main package; empty where the linker did not write it here.
std::string main_package(const Fd& file, const Section& section) {
    constexpr auto magic = "\xff Go buildinf:"sv;
    constexpr std::size_t flags_at = 15;
    constexpr std::size_t strings_at = 32;
    constexpr std::size_t sentinel = 16;
    constexpr auto key = "path\t"sv;
    const auto bytes = read_at(file, section.offset, std::min<std::uint64_t>(section.size, max_build_info));
    if (!bytes.starts_with(magic) || bytes.size() < strings_at || (bytes[flags_at] & 2) == 0) {
        return {};
    }
    auto rest = std::string_view(bytes).substr(strings_at);
    take_string(rest);  // Go's version
    auto modules = take_string(rest);
    modules.remove_prefix(std::min(sentinel, modules.size()));
    return modules.starts_with(key) ? std::string(modules.substr(key.size(), modules.find('\n') - key.size())) : "";
}

/// github.com/traefik/traefik/v3/cmd/traefik, github.com/containous/traefik/cmd/traefik
bool is_traefiks(std::string_view package) {
    return package.ends_with("/cmd/traefik") && (package.starts_with("github.com/traefik/traefik/") ||
                                                 package.starts_with("github.com/containous/traefik/"));
}

/// Looks for a text that may lie across two pieces.
bool contains(const Fd& file, const Section& section, std::string_view wanted) {
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
    const auto sections = sections_of(file);
    const auto* const build_info = section_called(sections, ".go.buildinfo");
    const auto package = build_info == nullptr ? "" : main_package(file, *build_info);
    if (!package.empty() && package != "command-line-arguments") {
        return is_traefiks(package);
    }
    const auto* const lines = section_called(sections, ".gopclntab");
    return lines != nullptr && contains(file, *lines, "/cmd/traefik/traefik.go");
}

}  // namespace upstat::traefik
