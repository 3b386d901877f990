// SPDX-License-Identifier: Apache-2.0
#include "measure/codes.hpp"

#ifndef __clang__
// g++ 12 takes a member of its own std::regex for uninitialized when the sanitizers are on (GCC bug 105562).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <regex>

namespace upstat::measure {

namespace {

constexpr auto hint = "codes is a regular expression over the three digits: 4.. for all of 400 to 499, 404|429 for two";

// std::regex works on the stack, a frame for every step: a pattern of thousands of characters could overflow it.
constexpr std::size_t longest_pattern = 256;

}  // namespace

Result<CodeSet> CodeSet::compile(const std::string& pattern) {
    if (pattern.size() > longest_pattern) {
        return fail(Error::Kind::usage, "codes is longer than " + std::to_string(longest_pattern) + " characters",
                    hint);
    }
    CodeSet set;
    try {
        const std::regex expression(pattern);
        for (auto code = lowest; code <= highest; ++code) {
            set.codes_[code - lowest] = std::regex_match(std::to_string(code), expression);
        }
    } catch (const std::regex_error& error) {
        return fail(Error::Kind::usage, "codes '" + pattern + "' is not a regular expression: " + error.what(), hint);
    }
    if (set.codes_.none()) {
        return fail(Error::Kind::usage, "codes '" + pattern + "' matches no status code from 100 to 999", hint);
    }
    return set;
}

}  // namespace upstat::measure
