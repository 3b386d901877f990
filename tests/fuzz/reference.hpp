// SPDX-License-Identifier: Apache-2.0
/// The parser that others trust (http_parser 2.9.4), asked for what counting needs. In a file of its own, since its
/// header and bpf/http.h use the same names.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace upstat::fuzz {

/// The head of an answer that the reference accepts.
struct ReferenceAnswer {
    std::size_t begin;  ///< where its status line begins: the reference skips empty lines before it
    std::size_t end;    ///< behind its head
    int code;
};

/// The heads that a stream of answers begins with, up to the first final one, or to the first that the reference does
/// not accept or that is not whole. None has a body: that is so for interim answers, and behind the final one nobody
/// looks.
std::vector<ReferenceAnswer> reference_answers(std::string_view stream);

/// A whole request that the reference accepts.
struct ReferenceRequest {
    std::size_t begin;  ///< as above
    std::size_t head;   ///< behind its head
    std::size_t end;    ///< behind its body
    std::string method;
    bool chunked;
};

/// The requests that a stream begins with, up to the first that the reference does not accept or that is not whole.
std::vector<ReferenceRequest> reference_requests(std::string_view stream);

}  // namespace upstat::fuzz
