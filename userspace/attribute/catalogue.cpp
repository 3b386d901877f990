// SPDX-License-Identifier: Apache-2.0
#include "attribute/catalogue.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/url.hpp"

namespace upstat::attribute {

namespace {

bool is_http(const std::string& scheme) {
    return scheme == "http" || scheme == "https" || scheme == "h2c";
}

}  // namespace

bool is_veiled(const std::string& url) {
    const auto parsed = parse_url(url);
    return parsed && (parsed->scheme == "https" || parsed->scheme == "h2c");
}

std::optional<HostPort> endpoint_of(const std::string& url) {
    auto parsed = parse_url(url);
    return parsed && is_http(parsed->scheme) ? std::optional(std::move(parsed->address)) : std::nullopt;
}

std::optional<HostPort> any_endpoint_of(const std::string& url) {
    auto parsed = parse_url(url);
    const bool known = parsed && (is_http(parsed->scheme) || parsed->scheme == "tcp" || parsed->scheme == "udp");
    return known ? std::optional(std::move(parsed->address)) : std::nullopt;
}

Listed listed_at(std::string url, bool up) {
    Listed listed{.url = std::move(url), .up = up, .servers = {}};
    if (const auto endpoint = any_endpoint_of(listed.url)) {
        if (const auto server = poll::parse_server(*endpoint)) {
            listed.servers.insert(*server);
        } else if (is_veiled(listed.url)) {
            listed.servers.insert(poll::url_server(endpoint->host, endpoint->port));
        }
    }
    return listed;
}

std::map<poll::Server, std::set<std::string>> owners_in(const Catalogue& catalogue) {
    std::map<poll::Server, std::set<std::string>> owners;
    for (const auto& [name, backend] : catalogue.backends) {
        for (const auto& listed : backend.listed) {
            for (const auto& server : listed.servers) {
                owners[server].insert(name.name);
            }
        }
    }
    return owners;
}

std::vector<poll::Server> streams_in(const Catalogue& catalogue) {
    const auto owners = owners_in(catalogue);
    std::set<poll::Server> streams;
    for (const auto& listed : catalogue.streams) {
        std::ranges::copy_if(listed.servers, std::inserter(streams, streams.end()),
                             [&](const poll::Server& server) { return !owners.contains(server); });
    }
    return {streams.begin(), streams.end()};
}

namespace {

void add_check(const HealthCheck& check, const std::vector<Listed>& all, std::map<poll::Server, Look>& looks) {
    for (const auto& listed : all) {
        for (auto server : listed.servers) {
            server.port = check.port != 0 ? check.port : server.port;
            looks[server].checks.insert(check.method);
        }
    }
}

}  // namespace

std::map<poll::Server, Look> looks_in(const Catalogue& catalogue) {
    std::map<poll::Server, Look> looks;
    for (const auto* const all : {&catalogue.auths, &catalogue.asked, &catalogue.streams}) {
        for (const auto& listed : *all) {
            for (const auto& server : listed.servers) {
                looks[server].auth |= all == &catalogue.auths;
            }
        }
    }
    for (const auto& [name, backend] : catalogue.backends) {
        for (const auto& check : backend.checks) {
            add_check(check, backend.listed, looks);
        }
    }
    const auto owners = owners_in(catalogue);
    std::erase_if(looks, [&owners](const auto& entry) { return !owners.contains(entry.first); });
    return looks;
}

std::set<poll::Server> servers_of(const Catalogue& catalogue, const BackendName& backend) {
    std::set<poll::Server> servers;
    if (const auto found = catalogue.backends.find(backend); found != catalogue.backends.end()) {
        for (const auto& listed : found->second.listed) {
            servers.insert(listed.servers.begin(), listed.servers.end());
        }
    }
    return servers;
}

namespace {

/// Adds what is new and the addresses of what is not; `more` says whether a server is up.
void merge(std::vector<Listed>& listed, const std::vector<Listed>& more) {
    std::map<std::string, std::size_t> places;
    for (std::size_t at = 0; at < listed.size(); ++at) {
        places.emplace(listed[at].url, at);
    }
    for (const auto& one : more) {
        const auto [place, is_new] = places.emplace(one.url, listed.size());
        if (is_new) {
            listed.push_back(one);
        } else {
            auto& same = listed[place->second];
            same.up = one.up;
            same.servers.insert(one.servers.begin(), one.servers.end());
        }
    }
}

}  // namespace

Catalogue merged(Catalogue first, const Catalogue& second) {
    for (const auto& [name, backend] : second.backends) {
        const auto [entry, added] = first.backends.try_emplace(name, backend);
        if (!added) {
            merge(entry->second.listed, backend.listed);
            entry->second.checks.insert(backend.checks.begin(), backend.checks.end());
            entry->second.has_routers = entry->second.has_routers && backend.has_routers;
        }
    }
    merge(first.streams, second.streams);
    merge(first.auths, second.auths);
    merge(first.asked, second.asked);
    first.routers.insert(first.routers.end(), second.routers.begin(), second.routers.end());
    return first;
}

Catalogue without_routers(Catalogue catalogue) {
    catalogue.routers.clear();
    for (auto& [name, backend] : catalogue.backends) {
        backend.has_routers = false;
    }
    return catalogue;
}

namespace {

Listed moved_to(Listed listed, std::uint16_t zone) {
    std::set<poll::Server> servers;
    for (auto server : listed.servers) {
        server.zone = zone;
        servers.insert(server);
    }
    listed.servers = std::move(servers);
    return listed;
}

std::vector<Listed> moved_to(std::vector<Listed> all, std::uint16_t zone) {
    for (auto& listed : all) {
        listed = moved_to(std::move(listed), zone);
    }
    return all;
}

/// What is of this zone, in zone 0. A url whose addresses are not known yet is of no zone.
std::vector<Listed> part_of(std::vector<Listed> all, std::uint16_t zone) {
    for (auto& listed : all) {
        std::erase_if(listed.servers, [zone](const poll::Server& server) { return server.zone != zone; });
    }
    std::erase_if(all, [](const Listed& listed) { return listed.servers.empty(); });
    return moved_to(std::move(all), 0);
}

std::vector<Router> part_of(std::vector<Router> all, std::uint16_t zone) {
    std::erase_if(all, [zone](const Router& router) { return router.zone != zone; });
    for (auto& router : all) {
        router.zone = 0;
    }
    return all;
}

}  // namespace

Catalogue moved_to(Catalogue catalogue, std::uint16_t zone) {
    if (zone == 0) {
        return catalogue;
    }
    Catalogue moved{.backends = {},
                    .streams = moved_to(std::move(catalogue.streams), zone),
                    .auths = moved_to(std::move(catalogue.auths), zone),
                    .asked = moved_to(std::move(catalogue.asked), zone),
                    .routers = std::move(catalogue.routers)};
    for (auto& router : moved.routers) {
        router.zone = zone;
    }
    for (auto& [name, backend] : catalogue.backends) {
        backend.listed = moved_to(std::move(backend.listed), zone);
        moved.backends.emplace(BackendName(name.name, zone), std::move(backend));
    }
    return moved;
}

Catalogue part_of(const Catalogue& catalogue, std::uint16_t zone) {
    Catalogue part{.backends = {},
                   .streams = part_of(catalogue.streams, zone),
                   .auths = part_of(catalogue.auths, zone),
                   .asked = part_of(catalogue.asked, zone),
                   .routers = part_of(catalogue.routers, zone)};
    for (const auto& [name, backend] : catalogue.backends) {
        if (name.zone == zone) {
            auto& here = part.backends[name.name] = backend;
            here.listed = moved_to(std::move(here.listed), 0);
        }
    }
    return part;
}

std::set<std::uint16_t> zones_in(const Catalogue& catalogue) {
    std::set<std::uint16_t> zones;
    for (const auto& [name, backend] : catalogue.backends) {
        zones.insert(name.zone);
    }
    for (const auto& listed : catalogue.streams) {
        for (const auto& server : listed.servers) {
            zones.insert(server.zone);
        }
    }
    return zones;
}

}  // namespace upstat::attribute
