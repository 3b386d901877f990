// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat::symbols {

/// Where a program may be probed for the responses that its reverse proxy has parsed.
struct ProbeSite {
    std::uint64_t offset = 0;  ///< of an instruction, in the file
    std::string go;            ///< "go1.26.9"

    bool operator==(const ProbeSite&) const = default;
};

/// Finds net/http/httputil.(*ReverseProxy).modifyResponse in a Go program, stripped or not, and in it the instruction
/// `push %rbp` behind the check of the stack. Before that instruction a call may begin twice, when the stack grows;
/// at it all arguments are still in their registers:
///
///     amd64: DI the response, SI the request
///     arm64: R3 the response, R4 the request; refused, until it has been tried
///
/// The error says in one sentence what is not as it was in the programs that were tried.
Result<ProbeSite> find_probe_site(const Fd& file);

}  // namespace upstat::symbols
