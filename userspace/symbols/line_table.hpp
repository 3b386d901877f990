// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "symbols/elf.hpp"

namespace upstat::symbols {

/// Go's table of functions, which also a stripped program has: .gopclntab, as Go 1.20 and later write it.
///
///     header: magic, sizes, number of functions, where the pieces below begin
///     names, each ended by a zero byte
///     for each function: where its code begins (from `text` on), where its description is
///     descriptions: again where its code begins, where its name is, ...
///
/// The table is read in pieces. None of its numbers is believed: whatever leads out of it ends the search.
class LineTable {
  public:
    /// The table is wrong where `problem` says so.
    LineTable(const Fd& file, const ElfFile& elf);

    /// One sentence without a full stop; empty where the table can be read.
    [[nodiscard]] const std::string& problem() const { return problem_; }

    /// Where the code of a function begins, as it is loaded; 0 where the program has no such function, or it was
    /// inlined wherever it is called.
    [[nodiscard]] std::uint64_t address_of(std::string_view function) const;

  private:
    struct Header {
        std::uint64_t functions = 0;  ///< how many
        std::uint64_t names = 0;      ///< offsets in the section, as the next two
        std::uint64_t names_end = 0;
        std::uint64_t table = 0;
    };

    [[nodiscard]] std::string read_header();
    [[nodiscard]] std::string find_text(const ElfFile& elf);
    [[nodiscard]] std::uint64_t text_in(const Section& section) const;
    [[nodiscard]] std::uint64_t find_name(std::string_view function) const;
    [[nodiscard]] std::string piece(std::uint64_t offset, std::size_t size) const;

    const Fd* file_;
    Section section_;
    Header header_;
    std::uint64_t text_ = 0;  ///< where the code of the first function begins
    std::string problem_;
};

}  // namespace upstat::symbols
