// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attribute/backend_name.hpp"
#include "attribute/routes.hpp"
#include "base/host_port.hpp"
#include "poll/snapshot.hpp"

namespace upstat::attribute {

/// One server of a backend, as Traefik lists it.
struct Listed {
    std::string url;  ///< as Traefik spells it: the `url` label
    bool up = true;   ///< Traefik's serverStatus; true where Traefik does not say
    /// The addresses that the url stands for: several for a host name, none when unresolved. A TLS or h2c server's name
    /// is one of them, since its responses are counted by it.
    std::set<poll::Server> servers;

    bool operator==(const Listed&) const = default;
};

/// Whether packets do not show what the server of a url responds: it is reached by TLS or by HTTP/2.
bool is_veiled(const std::string& url);

/// Where a server's url leads; nothing for what is not an absolute http, https or h2c url with a host.
std::optional<HostPort> endpoint_of(const std::string& url);

/// The same, also for the servers of TCP and UDP services: "tcp://HOST:PORT", "udp://HOST:PORT".
std::optional<HostPort> any_endpoint_of(const std::string& url);

/// A listed server whose address is known when its url is numeric; the addresses of names wait for resolve.hpp.
Listed listed_at(std::string url, bool up = true);

/// The health check that Traefik makes at each server of a backend.
struct HealthCheck {
    poll::Method method = poll::Method::get;
    std::uint16_t port = 0;  ///< 0: the server's own

    auto operator<=>(const HealthCheck&) const = default;
};

/// The provider of a backend that is only a server's address, for want of any name.
inline constexpr auto nameless_provider = "none";

struct Backend {
    std::string provider;
    std::vector<Listed> listed;
    std::set<HealthCheck> checks{};      ///< one that stands for several has theirs
    bool has_routers = false;            ///< whoever sends to its servers is in Catalogue.routers
    std::set<std::string> stands_for{};  ///< the backends whose shared servers it lists; see shared.hpp
    std::vector<Route> routes{};         ///< how what is sent to these servers is told apart

    bool operator==(const Backend&) const = default;
};

inline bool is_nameless(const Backend& backend) {
    return backend.provider == nameless_provider;
}

/// Which backend lists which server, by Traefik's service name (`name@provider`).
struct Catalogue {
    std::map<BackendName, Backend> backends;  ///< each lists servers of its own zone only
    std::vector<Listed> streams;              ///< the servers of TCP and UDP services
    std::vector<Listed> auths{};              ///< where forwardAuth middlewares ask
    std::vector<Listed> asked{};  ///< what else Traefik asks by itself: providers, receivers of traces and metrics
    std::vector<Router> routers{};

    bool operator==(const Catalogue&) const = default;
};

/// A catalogue is read by several rooms and rarely changes.
using SharedCatalogue = std::shared_ptr<const Catalogue>;

/// The names of the backends that list a server, all of the server's zone, by server.
std::map<poll::Server, std::set<std::string>> owners_in(const Catalogue& catalogue);

/// The servers of TCP and UDP services that are no backend's, ascending: what is sent there is not Traefik's HTTP.
std::vector<poll::Server> streams_in(const Catalogue& catalogue);

/// What the requests to a server may be besides users'.
struct Look {
    std::set<poll::Method> checks{};  ///< health checks, with these methods
    bool auth = false;                ///< what forwardAuth asks

    bool operator==(const Look&) const = default;
};

/// The backends' servers to which Traefik sends requests of its own.
std::map<poll::Server, Look> looks_in(const Catalogue& catalogue);

/// Every address that one backend lists; none for an unknown backend.
std::set<poll::Server> servers_of(const Catalogue& catalogue, const BackendName& backend);

/// Both catalogues in one, for several Traefiks or a static map beside the API. A backend that both have lists what
/// either lists; where both list one url, `second` says whether it is up.
Catalogue merged(Catalogue first, const Catalogue& second);

/// The same where nobody knows all who send to the servers.
Catalogue without_routers(Catalogue catalogue);

/// What one Traefik gave, which is in zone 0 as it comes, as that of its zone.
Catalogue moved_to(Catalogue catalogue, std::uint16_t zone);

/// The inverse: what a catalogue has of one zone, in zone 0.
Catalogue part_of(const Catalogue& catalogue, std::uint16_t zone);

/// The zones that it has something of.
std::set<std::uint16_t> zones_in(const Catalogue& catalogue);

}  // namespace upstat::attribute
