// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace upstat {

/// What is published calls Traefik's services backends, as Traefik 1 did, or services, as it does since, or both.
enum class Names : std::uint8_t { backend, service, both };

constexpr bool say_backend(Names names) {
    return names != Names::service;
}
constexpr bool say_service(Names names) {
    return names != Names::backend;
}

/// Where there is room for one word.
constexpr std::string_view noun(Names names) {
    return say_backend(names) ? "backend" : "service";
}

constexpr std::string_view to_string(Names names) {
    return names == Names::both ? "both" : noun(names);
}

}  // namespace upstat
