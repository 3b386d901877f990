// SPDX-License-Identifier: Apache-2.0
#include "symbols/elf.hpp"

#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

#include "base/regular_file.hpp"

namespace upstat::symbols {

namespace {

constexpr std::size_t max_headers = 4096;
constexpr std::uint64_t max_names = std::uint64_t{64} << 10;

struct EndElf {
    void operator()(::Elf* elf) const { elf_end(elf); }
};
using OpenElf = std::unique_ptr<::Elf, EndElf>;

/// Whether the file counts its sections in its first header. Where there are more, another place says how many, and
/// libelf takes memory for as many.
template <typename Header>
bool has_few_sections(const Fd& file) {
    const auto bytes = read_at(file, 0, sizeof(Header));
    Header header{};
    if (bytes.size() < sizeof header) {
        return false;
    }
    std::memcpy(&header, bytes.data(), sizeof header);
    return header.e_shnum <= max_headers && (header.e_shnum != 0 || header.e_shoff == 0);
}

bool has_few_sections(const Fd& file) {
    const auto identity = read_at(file, 0, EI_NIDENT);
    if (identity.size() < EI_NIDENT) {
        return false;
    }
    return identity[EI_CLASS] == ELFCLASS64 ? has_few_sections<Elf64_Ehdr>(file) : has_few_sections<Elf32_Ehdr>(file);
}

/// The file is read, never mapped: whoever may write to it may shorten it, and a mapping would end us.
OpenElf open_elf(const Fd& file) {
    static const bool known = elf_version(EV_CURRENT) != EV_NONE;
    OpenElf elf(known && has_few_sections(file) ? elf_begin(file.get(), ELF_C_READ, nullptr) : nullptr);
    return elf && elf_kind(elf.get()) == ELF_K_ELF ? std::move(elf) : nullptr;
}

bool read_segments(::Elf* elf, ElfFile& read) {
    std::size_t count = 0;
    if (elf_getphdrnum(elf, &count) != 0 || count > max_headers) {
        return false;
    }
    for (std::size_t i = 0; i < count; i++) {
        GElf_Phdr header{};
        if (gelf_getphdr(elf, static_cast<int>(i), &header) == nullptr) {
            return false;
        }
        if (header.p_type == PT_LOAD) {
            read.segments.push_back({.address = header.p_vaddr,
                                     .offset = header.p_offset,
                                     .size = header.p_filesz,
                                     .memory = header.p_memsz,
                                     .executable = (header.p_flags & PF_X) != 0});
        }
    }
    return true;
}

/// Where the names of sections are; nothing where that is more than libelf should take into memory.
std::optional<std::size_t> names_of(::Elf* elf) {
    std::size_t names = 0;
    GElf_Shdr header{};
    if (elf_getshdrstrndx(elf, &names) != 0 || gelf_getshdr(elf_getscn(elf, names), &header) == nullptr ||
        header.sh_size > max_names) {
        return std::nullopt;
    }
    return names;
}

bool read_sections(::Elf* elf, ElfFile& read) {
    std::size_t count = 0;
    if (elf_getshdrnum(elf, &count) != 0 || count > max_headers) {
        return false;
    }
    const auto names = count == 0 ? std::nullopt : names_of(elf);
    for (auto* section = names ? elf_nextscn(elf, nullptr) : nullptr; section != nullptr;
         section = elf_nextscn(elf, section)) {
        GElf_Shdr header{};
        const char* const name =
            gelf_getshdr(section, &header) == nullptr ? nullptr : elf_strptr(elf, *names, header.sh_name);
        if (name != nullptr && header.sh_type != SHT_NOBITS) {
            read.sections.push_back({.name = name,
                                     .address = header.sh_addr,
                                     .offset = header.sh_offset,
                                     .size = header.sh_size,
                                     .writable = (header.sh_flags & SHF_WRITE) != 0});
        }
    }
    return true;
}

}  // namespace

const Section* ElfFile::section(std::string_view end) const {
    const auto found =
        std::ranges::find_if(sections, [end](const Section& section) { return section.name.ends_with(end); });
    return found == sections.end() ? nullptr : &*found;
}

std::optional<std::uint64_t> ElfFile::code_offset(std::uint64_t address) const {
    for (const auto& segment : segments) {
        if (segment.executable && address >= segment.address && address - segment.address < segment.size) {
            return segment.offset + (address - segment.address);
        }
    }
    return std::nullopt;
}

std::optional<ElfFile> read_elf(const Fd& file) {
    const auto elf = open_elf(file);
    GElf_Ehdr header{};
    if (!elf || gelf_getehdr(elf.get(), &header) == nullptr) {
        return std::nullopt;
    }
    ElfFile read{.type = header.e_type, .machine = header.e_machine, .sections = {}, .segments = {}};
    if (!read_segments(elf.get(), read) || !read_sections(elf.get(), read)) {
        return std::nullopt;
    }
    return read;
}

}  // namespace upstat::symbols
