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
                owners[server].insert(name);
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
        for (const auto& listed : backend.check ? backend.listed : std::vector<Listed>{}) {
            for (auto server : listed.servers) {
                server.port = backend.check->port != 0 ? backend.check->port : server.port;
                looks[server].check = backend.check->method;
            }
        }
    }
    const auto owners = owners_in(catalogue);
    std::erase_if(looks, [&owners](const auto& entry) { return !owners.contains(entry.first); });
    return looks;
}

std::set<poll::Server> servers_of(const Catalogue& catalogue, const std::string& backend) {
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
            entry->second.check = backend.check ? backend.check : entry->second.check;
            entry->second.has_routers = entry->second.has_routers && backend.has_routers;
        }
    }
    merge(first.streams, second.streams);
    merge(first.auths, second.auths);
    merge(first.asked, second.asked);
    first.routers.insert(first.routers.end(), second.routers.begin(), second.routers.end());
    return first;
}

}  // namespace upstat::attribute
