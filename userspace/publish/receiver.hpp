// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/http_client.hpp"

namespace upstat::publish {

/// Where a receiver (http or https) takes what is sent: `path` ("/api/v2/alerts") behind its own path. The error is of
/// kind usage.
Result<std::string> receiver_url(const std::string& base, std::string_view path);

/// Empty when the receiver took it (any 2xx), else one sentence saying what went wrong.
std::string refusal(const std::string& url, const std::expected<HttpResponse, std::string>& result);

}  // namespace upstat::publish
