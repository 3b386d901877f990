// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/host_port.hpp"

namespace upstat {

/// An absolute URL with a host, taken apart as libcurl does it.
struct Url {
    std::string text;    ///< as it was written, with the name and password that it may hold: to be asked by
    std::string shown;   ///< without them: to be said
    std::string scheme;  ///< in lower case
    HostPort address;    ///< the scheme's own port where none is written: 443 for https, 80 for http and h2c, else 0

    bool operator==(const Url&) const = default;
};

/// Nothing for what is no absolute URL with a host. Any scheme will do.
std::optional<Url> parse_url(const std::string& text);

/// An http or https URL; the error is of kind usage and shows no password.
Result<Url> parse_http_url(const std::string& text);

/// Whether others take the text for a URL, as Alertmanager does: ASCII without spaces and controls, and each % begins a
/// byte in hexadecimal.
bool is_request_uri(std::string_view text);

/// Any text as it may stand in a URL's query.
std::string percent_encoded(const std::string& text);

/// The URL with `path` ("/api/v2/alerts") behind its own path.
Result<Url> with_path(const Url& url, std::string_view path);

/// What was meant to be a URL, as it may stand in a log or a message: without the name and password that it may hold.
std::string without_password(const std::string& url);

}  // namespace upstat
