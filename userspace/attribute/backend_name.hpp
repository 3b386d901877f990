// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace upstat::attribute {

/// A backend of one Traefik: those of two Traefiks may have one name.
struct BackendName {
    std::string name;
    std::uint16_t zone = 0;  ///< the number of its Traefik

    BackendName() = default;
    // NOLINTBEGIN(google-explicit-constructor): most hosts have one Traefik, where the name says all
    BackendName(std::string of, std::uint16_t in = 0) : name(std::move(of)), zone(in) {}
    BackendName(const char* of, std::uint16_t in = 0) : name(of), zone(in) {}
    // NOLINTEND(google-explicit-constructor)

    auto operator<=>(const BackendName&) const = default;
};

/// What Traefiks are called, by zone: the label `traefik`. Empty where one Traefik says all.
using TraefikNames = std::map<std::uint16_t, std::string>;

/// Empty where it need not be said.
inline std::string name_of(const TraefikNames& names, std::uint16_t zone) {
    const auto found = names.find(zone);
    return found == names.end() ? std::string() : found->second;
}

}  // namespace upstat::attribute
