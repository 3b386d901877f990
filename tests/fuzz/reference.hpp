// SPDX-License-Identifier: Apache-2.0
/// The parser that others trust (http_parser 2.9.4), asked for what counting needs. In a file of its own, since its
/// header and bpf/http.h use the same names.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace upstat::fuzz {

/// A whole request that the reference accepts.
struct ReferenceRequest {
    std::size_t begin;  ///< where its line begins: the reference skips empty lines before it
    std::size_t head;   ///< behind its head
    std::size_t end;    ///< behind its body
    std::string method;
    bool chunked;
};

/// The requests that a stream begins with, up to the first that the reference does not accept or that is not whole.
std::vector<ReferenceRequest> reference_requests(std::string_view stream);

}  // namespace upstat::fuzz
