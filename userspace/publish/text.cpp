// SPDX-License-Identifier: Apache-2.0
#include "publish/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace upstat::publish {

namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

bool plain(unsigned char byte) {
    return byte < 0x80 && byte != '"' && byte != '\\' && byte != '\n';
}

/// How many bytes the UTF-8 character at the front of `text` takes; 0 if there is none.
std::size_t utf8_size(std::string_view text) {
    const auto first = static_cast<unsigned char>(text.front());
    const std::size_t size = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
    if (size < 2 || text.size() < size) {
        return size == 1 ? 1 : 0;
    }
    const auto second = static_cast<unsigned char>(text[1]);
    // Too long a spelling, a surrogate, beyond U+10FFFF: the second byte tells.
    const unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    const auto continues = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80; };
    return second >= low && second <= high && std::ranges::all_of(text.substr(2, size - 2), continues) ? size : 0;
}

void append_character(std::string& out, std::string_view character) {
    if (character == "\n") {
        out += "\\n";
    } else if (character == "\"" || character == "\\") {
        out += '\\';
        out += character;
    } else {
        out += character;
    }
}

}  // namespace

void append_label_value(std::string& out, std::string_view value) {
    if (std::ranges::all_of(value, plain)) {
        out += value;
        return;
    }
    while (!value.empty()) {
        const auto size = utf8_size(value);
        append_character(out, size == 0 ? replacement : value.substr(0, size));
        value.remove_prefix(std::max<std::size_t>(size, 1));
    }
}

void append_number(std::string& out, double value) {
    if (std::isnan(value)) {
        out += "NaN";
    } else if (std::isinf(value)) {
        out += value > 0 ? "+Inf" : "-Inf";
    } else {
        std::array<char, 32> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
        out.append(digits.data(), end);
    }
}

}  // namespace upstat::publish
