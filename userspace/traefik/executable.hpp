// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"

namespace upstat::traefik {

/// Whether an ELF file is Traefik by what Go's linker wrote into it, stripped or not: the path of its main package in
/// the build information (Go 1.18 and later), else (`go build FILE`, Traefik 1 and the first 2) its source file among
/// those of the line table. Its bytes are a stranger's choice: at most 64 MB are read, in pieces, and none is believed
/// to be a size.
bool is_traefik_executable(const Fd& file);

}  // namespace upstat::traefik
