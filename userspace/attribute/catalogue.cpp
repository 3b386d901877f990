// SPDX-License-Identifier: Apache-2.0
#include "attribute/catalogue.hpp"

#include <algorithm>
#include <utility>

#include "base/url.hpp"

namespace upstat::attribute {

std::optional<HostPort> endpoint_of(const std::string& url) {
    auto parsed = parse_url(url);
    if (!parsed || (parsed->scheme != "http" && parsed->scheme != "https" && parsed->scheme != "h2c")) {
        return std::nullopt;
    }
    return std::move(parsed->address);
}

Listed listed_at(std::string url, bool up) {
    Listed listed{.url = std::move(url), .up = up, .servers = {}};
    if (const auto endpoint = endpoint_of(listed.url)) {
        if (const auto server = poll::parse_server(*endpoint)) {
            listed.servers.insert(*server);
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

std::set<poll::Server> servers_of(const Catalogue& catalogue, const std::string& backend) {
    std::set<poll::Server> servers;
    if (const auto found = catalogue.backends.find(backend); found != catalogue.backends.end()) {
        for (const auto& listed : found->second.listed) {
            servers.insert(listed.servers.begin(), listed.servers.end());
        }
    }
    return servers;
}

Catalogue merged(Catalogue first, const Catalogue& second) {
    for (const auto& [name, backend] : second.backends) {
        const auto [entry, added] = first.backends.try_emplace(name, backend);
        if (added) {
            continue;
        }
        auto& listed = entry->second.listed;
        for (const auto& one : backend.listed) {
            const auto same = std::ranges::find(listed, one.url, &Listed::url);
            if (same == listed.end()) {
                listed.push_back(one);
            } else {
                same->up = one.up;
                same->servers.insert(one.servers.begin(), one.servers.end());
            }
        }
    }
    return first;
}

}  // namespace upstat::attribute
