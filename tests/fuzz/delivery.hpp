// SPDX-License-Identifier: Apache-2.0
/// How a server's bytes reach the host, and what the programs make of them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "connection.hpp"

namespace upstat::fuzz {

/// What became of one request.
struct Verdict {
    enum class Kind { waiting, answered, malformed, unparsed };
    Kind kind = Kind::waiting;
    int code = 0;

    bool operator==(const Verdict&) const = default;
};

std::string to_string(Verdict verdict);

/// The verdict on a connection's only request.
Verdict verdict_of(const Connection& connection);

/// A piece of a stream that is delivered as one segment.
struct Piece {
    std::size_t begin = 0;
    std::size_t size = 0;
    /// Not 0: the next piece comes on another CPU, while this one's program is at its call number `point` of a helper.
    unsigned point = 0;
};

/// Delivers pieces of the stream in their order, whatever it is, and then, each once, the bytes that were in none of
/// them: as TCP does, which sends nothing again that has come. True where every byte came when the programs could keep
/// it; false where one came while bytes before it were missing, and too far ahead of the anchor.
bool deliver(Connection& connection, std::string_view stream, std::size_t anchor, std::span<const Piece> pieces);

}  // namespace upstat::fuzz
