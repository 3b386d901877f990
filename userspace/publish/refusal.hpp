// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>

#include "base/http_client.hpp"

namespace upstat::publish {

/// Empty when the receiver took it (any 2xx), else one sentence saying what went wrong.
std::string refusal(const std::string& url, const std::expected<HttpResponse, std::string>& result);

}  // namespace upstat::publish
