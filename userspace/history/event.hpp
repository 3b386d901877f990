// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "attribute/catalogue.hpp"
#include "base/time.hpp"

namespace upstat::history {

/// Something that happened, to stand beside the counts.
struct Event {
    Moment at;
    std::string kind;                    ///< catalogue, traefik, agent, alert, reload
    std::string what;                    ///< of its kind, as "servers_added"
    attribute::BackendName backend;      ///< without a name where it is about no single one
    std::string text;                    ///< one sentence
    std::vector<std::string> servers{};  ///< that it is about, as many as are named

    bool operator==(const Event&) const = default;
};

/// What two catalogues differ in, backend by backend: `backend_added`, `backend_removed`, `servers_added`,
/// `servers_removed`, `servers_down` and `servers_up` (as Traefik's health checks see them). Where more backends have
/// changed than are worth a line each, the last one says how many.
std::vector<Event> changes(const attribute::Catalogue& before, const attribute::Catalogue& after, Moment at);

}  // namespace upstat::history
