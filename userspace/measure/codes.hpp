// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <cstdint>
#include <string>

#include "base/error.hpp"

namespace upstat::measure {

/// The status codes that a rule's `codes` names.
class CodeSet {
  public:
    /// From a regular expression (ECMAScript) that has to match all three digits, as PromQL's `code=~"..."` does.
    /// An error (Kind::usage) when it is no expression or matches no code from 100 to 999, so could never fire.
    static Result<CodeSet> compile(const std::string& pattern);

    [[nodiscard]] bool matches(std::uint16_t code) const {
        return code >= lowest && code <= highest && codes_[code - lowest];
    }

  private:
    static constexpr std::uint16_t lowest = 100;
    static constexpr std::uint16_t highest = 999;

    std::bitset<highest - lowest + 1> codes_;
};

}  // namespace upstat::measure
