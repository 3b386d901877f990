// SPDX-License-Identifier: Apache-2.0
#include "base/printable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace upstat {

namespace {

/// The shortest forms only, no surrogates, and none of the controls.
struct Form {
    unsigned char first_low, first_high;    ///< the range of the first byte
    unsigned char second_low, second_high;  ///< the range of the second byte, where there is one
    std::size_t size;
};
constexpr std::array forms{
    Form{0x20, 0x7e, 0x00, 0x00, 1}, Form{0xc2, 0xc2, 0xa0, 0xbf, 2},  // c2 80 to c2 9f are the C1 controls
    Form{0xc3, 0xdf, 0x80, 0xbf, 2}, Form{0xe0, 0xe0, 0xa0, 0xbf, 3}, Form{0xe1, 0xec, 0x80, 0xbf, 3},
    Form{0xed, 0xed, 0x80, 0x9f, 3}, Form{0xee, 0xef, 0x80, 0xbf, 3}, Form{0xf0, 0xf0, 0x90, 0xbf, 4},
    Form{0xf1, 0xf3, 0x80, 0xbf, 4}, Form{0xf4, 0xf4, 0x80, 0x8f, 4},
};

bool is_between(char byte, unsigned char low, unsigned char high) {
    const auto value = static_cast<unsigned char>(byte);
    return value >= low && value <= high;
}

bool begins_with(std::string_view text, const Form& form) {
    return text.size() >= form.size && is_between(text[0], form.first_low, form.first_high) &&
           (form.size < 2 || is_between(text[1], form.second_low, form.second_high)) &&
           std::ranges::all_of(text.substr(0, form.size).substr(std::min<std::size_t>(form.size, 2)),
                               [](char byte) { return is_between(byte, 0x80, 0xbf); });
}

/// How many bytes the printable character takes that the text begins with; 0 when it begins with none.
std::size_t character_size(std::string_view text) {
    const auto* const form =
        std::ranges::find_if(forms, [text](const Form& candidate) { return begins_with(text, candidate); });
    return form == forms.end() ? 0 : form->size;
}

}  // namespace

std::string printable(std::string_view text, std::size_t longest) {
    std::string out;
    std::size_t at = 0;
    while (at < text.size()) {
        const auto size = character_size(text.substr(at));
        if (at + std::max<std::size_t>(size, 1) > longest) {
            return out + "...";
        }
        if (size == 0) {
            fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(text[at]));
        }
        out += text.substr(at, size);
        at += std::max<std::size_t>(size, 1);
    }
    return out;
}

}  // namespace upstat
