// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "attribute/catalogue.hpp"

namespace upstat::attribute {

/// Where a server's url leads.
struct Endpoint {
    std::string scheme;      ///< in lower case
    std::string host;        ///< a name or a numeric address, without brackets
    std::uint16_t port = 0;  ///< the scheme's own where the url names none: 443 for https, else 80

    bool operator==(const Endpoint&) const = default;
    /// The address and port when the host is numeric.
    [[nodiscard]] std::optional<poll::Server> numeric() const;
};

/// Nothing for what is not an absolute http, https or h2c url with a host.
std::optional<Endpoint> endpoint_of(const std::string& url);

/// A listed server whose address is known when its url is numeric; names wait for resolve.hpp.
Listed listed_at(std::string url, bool up = true);

}  // namespace upstat::attribute
