// SPDX-License-Identifier: Apache-2.0
/// The fuzzer's bytes: a stream as text, and behind it the bytes that say how it is delivered, the last one first.
/// Where these run out they are 0: no cuts, one segment.
#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include <cstdint>
#include <vector>

#include "connection.hpp"
#include "delivery.hpp"

namespace upstat::fuzz {

inline Wire take_wire(FuzzedDataProvider& input) {
    const auto form = input.ConsumeIntegral<std::uint8_t>();
    const auto before_wrap = input.ConsumeIntegral<std::uint8_t>();
    return {.ipv6 = (form & 1) != 0,
            .extensions = form / 2U % 7,
            .tcp_options = form / 16U % 11,
            .request_seq = 0U - before_wrap,
            .answer_seq = 0U - before_wrap,
            .looked_at = form >= 16 * 11};
}

inline std::vector<Piece> take_pieces(FuzzedDataProvider& input) {
    std::vector<Piece> pieces(input.ConsumeIntegral<std::uint8_t>() % 17);
    for (Piece& piece : pieces) {
        const auto place = input.ConsumeIntegral<std::uint16_t>();
        piece = {
            .begin = place % 1024U, .size = input.ConsumeIntegral<std::uint8_t>(), .point = place / 1024U};  // 0 to 63
    }
    return pieces;
}

}  // namespace upstat::fuzz
