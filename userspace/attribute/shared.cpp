// SPDX-License-Identifier: Apache-2.0
#include "attribute/shared.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace upstat::attribute {

namespace {

/// What a label should not exceed, and names of Traefik's do not.
constexpr std::size_t longest_name = 512;

std::string name_of(const std::set<std::string>& backends) {
    auto name = fmt::format("{}", fmt::join(backends, "|"));
    if (name.size() > longest_name) {
        name = fmt::format("{}|+{}", *backends.begin(), backends.size() - 1);
    }
    return name;
}

/// Moves the servers in `shared` from a backend's entry to the backends that stand for several, with the health check.
void move_shared(Listed& listed, const std::optional<HealthCheck>& check,
                 const std::map<poll::Server, std::string>& shared, Catalogue& catalogue) {
    std::map<BackendName, Listed> moved;
    std::erase_if(listed.servers, [&](const poll::Server& server) {
        const auto name = shared.find(server);
        if (name != shared.end()) {
            moved
                .try_emplace(BackendName(name->second, server.zone),
                             Listed{.url = listed.url, .up = listed.up, .servers = {}})
                .first->second.servers.insert(server);
        }
        return name != shared.end();
    });
    for (auto& [name, one] : moved) {
        auto& backend = catalogue.backends[name];
        backend.provider = shared_provider;
        backend.check = check ? check : backend.check;
        const auto same = std::ranges::find(backend.listed, one.url, &Listed::url);
        if (same == backend.listed.end()) {
            backend.listed.push_back(std::move(one));
        } else {
            same->servers.insert(one.servers.begin(), one.servers.end());
        }
    }
}

}  // namespace

Catalogue with_shared(Catalogue catalogue) {
    std::map<poll::Server, std::string> shared;
    for (const auto& [server, owners] : owners_in(catalogue)) {
        if (owners.size() > 1) {
            shared.emplace(server, name_of(owners));
        }
    }
    Catalogue added;
    for (auto& [name, backend] : catalogue.backends) {
        for (auto& listed : backend.listed) {
            move_shared(listed, backend.check, shared, added);
        }
    }
    catalogue.backends.merge(std::move(added.backends));
    return catalogue;
}

Catalogue without_shared(Catalogue catalogue) {
    std::erase_if(catalogue.backends, [](const auto& entry) { return entry.second.provider == shared_provider; });
    for (auto& [name, backend] : catalogue.backends) {
        for (auto& listed : backend.listed) {
            for (auto server : listed_at(listed.url).servers) {
                server.zone = name.zone;
                listed.servers.insert(server);
            }
        }
    }
    return catalogue;
}

}  // namespace upstat::attribute
