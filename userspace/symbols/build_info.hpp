// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "base/fd.hpp"
#include "symbols/elf.hpp"

namespace upstat::symbols {

/// What Go's linker writes of a program.
struct BuildInfo {
    std::string go;       ///< "go1.26.9"
    std::string package;  ///< the path of the main package; empty where it is not there
};

/// Nothing where there is none, or one of before Go 1.18.
std::optional<BuildInfo> read_build_info(const Fd& file, const ElfFile& elf);

}  // namespace upstat::symbols
