// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <optional>
#include <string>

#include "base/time.hpp"

namespace upstat::publish {

/// What a request says behind its path's question mark, as far as a page heeds it. Empty: it does not say.
struct Query {
    std::string backend;
    std::string server;
    std::string traefik;                        ///< whose the backend or server is
    std::optional<std::chrono::seconds> range;  ///< so much of the past

    auto operator<=>(const Query&) const = default;
};

/// From the values of `backend`, `server`, `traefik` and `seconds`; nothing where `seconds` is no whole number from 1
/// to a day's.
std::optional<Query> parse_query(std::optional<std::string> backend, std::optional<std::string> server,
                                 std::optional<std::string> traefik, const std::optional<std::string>& seconds);

}  // namespace upstat::publish
