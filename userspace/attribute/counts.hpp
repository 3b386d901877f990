// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/flat_map.hpp"
#include "base/time.hpp"
#include "poll/snapshot.hpp"

namespace upstat {

/// Traefik's `protocol` label as far as a status line tells it: websocket for a 101, else http.
enum class Protocol : std::uint8_t { http, websocket };
std::string_view to_string(Protocol protocol);

/// One series of traefik_backend_requests_total, but for the backend.
struct Series {
    std::uint16_t code = 0;
    Method method = Method::extension;
    Protocol protocol = Protocol::http;

    auto operator<=>(const Series&) const = default;
};

using SeriesCounts = FlatMap<Series, std::uint64_t>;

/// What attribute gives: the answers of each backend, monotonic while the state lives.
struct Counts {
    Time at;
    std::map<std::string, SeriesCounts> backends;  ///< a backend without an answer is there, empty
};

/// One server of a backend, as Traefik lists it.
struct Listed {
    std::string url;           ///< as Traefik spells it: the `url` label
    bool up = true;            ///< Traefik's serverStatus; true where Traefik does not say
    std::set<Server> servers;  ///< the addresses that the url stands for; several for a host name, none when unresolved

    bool operator==(const Listed&) const = default;
};

struct Backend {
    std::string provider;
    std::vector<Listed> listed;

    bool operator==(const Backend&) const = default;
    [[nodiscard]] bool lists(const Server& server) const;
};

/// Who owns which server, by Traefik's service name (`name@provider`).
struct Catalogue {
    std::map<std::string, Backend> backends;

    bool operator==(const Catalogue&) const = default;
    [[nodiscard]] std::set<std::string> owners(const Server& server) const;
};

/// A catalogue is read by several rooms and changes seldom.
using SharedCatalogue = std::shared_ptr<const Catalogue>;

/// Both catalogues in one, for several Traefiks or a static map beside the API. A backend that both have lists what
/// either lists; where both list one url, `second` says whether it is up.
Catalogue merged(Catalogue first, const Catalogue& second);

}  // namespace upstat
