// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"

namespace upstat::symbols {

/// A section that has bytes in the file. Where it lies is what the file says: it may lie beyond the file's end.
struct Section {
    std::string name;
    std::uint64_t address = 0;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    bool writable = false;
};

/// A piece of the file that is loaded.
struct Segment {
    std::uint64_t address = 0;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;    ///< in the file
    std::uint64_t memory = 0;  ///< when loaded
    bool executable = false;
};

/// The headers of an ELF file.
struct ElfFile {
    std::uint16_t type = 0;     ///< ET_EXEC, ET_DYN, ...
    std::uint16_t machine = 0;  ///< EM_X86_64, ...
    std::vector<Section> sections;
    std::vector<Segment> segments;

    /// The first section whose name ends like this: a position independent executable has .gopclntab as
    /// .data.rel.ro.gopclntab.
    [[nodiscard]] const Section* section(std::string_view end) const;

    /// Where the byte that is loaded at `address` stands in the file; nothing where no executable segment has it.
    [[nodiscard]] std::optional<std::uint64_t> code_offset(std::uint64_t address) const;
};

/// Nothing for what is no ELF file, or one with more sections, segments or names than any program has.
std::optional<ElfFile> read_elf(const Fd& file);

}  // namespace upstat::symbols
