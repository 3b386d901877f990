// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace upstat::peer {

/// One line of a case: what to do, and its words with quotes and escapes resolved.
struct Step {
    int line = 0;
    std::string verb;
    std::vector<std::string> words;
};

struct Case {
    std::string name;
    std::vector<Step> steps;
};

/// Reads the language that tests/kernel/cases/README describes. `file` is for messages.
/// Throws std::runtime_error with file:line where a line cannot be read.
std::vector<Case> parse_cases(std::string_view text, const std::string& file);

/// `text` as a quoted word of the language.
std::string quote(std::string_view text);

}  // namespace upstat::peer
