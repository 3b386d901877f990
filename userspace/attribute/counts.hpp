// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string_view>

#include "attribute/backend_name.hpp"
#include "base/flat_map.hpp"
#include "base/time.hpp"
#include "poll/snapshot.hpp"

namespace upstat::attribute {

/// Traefik's `protocol` label as far as a status line tells it: websocket for a 101, else http.
enum class Protocol : std::uint8_t { http, websocket };
std::string_view to_string(Protocol protocol);

/// One series of traefik_backend_requests_total, but for the backend.
struct Series {
    std::uint16_t code = 0;
    poll::Method method = poll::Method::extension;
    Protocol protocol = Protocol::http;

    auto operator<=>(const Series&) const = default;
};

using SeriesCounts = FlatMap<Series, std::uint64_t>;

/// What attribute gives: the responses of each backend, monotonic while the state lives.
struct Counts {
    Time at;
    std::map<BackendName, SeriesCounts> backends;  ///< a backend without a response is there, empty
};

}  // namespace upstat::attribute
