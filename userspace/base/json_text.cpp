// SPDX-License-Identifier: Apache-2.0
#include "base/json_text.hpp"

namespace upstat {

std::string json_text(const nlohmann::json& value, int indent) {
    return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json parse_json(std::string_view text) {
    return nlohmann::json::parse(text);
}

}  // namespace upstat
