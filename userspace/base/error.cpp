// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"

#include <cctype>
#include <system_error>

namespace upstat {

std::string error_words(int error) {
    auto text = std::generic_category().message(error);
    if (!text.empty()) {
        text.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
    }
    return text;
}

}  // namespace upstat
