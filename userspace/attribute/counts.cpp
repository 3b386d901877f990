// SPDX-License-Identifier: Apache-2.0
#include "attribute/counts.hpp"

namespace upstat::attribute {

std::string_view to_string(Protocol protocol) {
    return protocol == Protocol::websocket ? "websocket" : "http";
}

}  // namespace upstat::attribute
