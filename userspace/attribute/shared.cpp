// SPDX-License-Identifier: Apache-2.0
#include "attribute/shared.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "attribute/route_budget.hpp"

namespace upstat::attribute {

namespace {

/// What a label should not exceed, and names of Traefik's do not.
constexpr std::size_t longest_name = 512;

/// Of more backends that list one server none is told: each would have series of its own in the kernel.
constexpr std::size_t most_told = 64;

std::string name_of(const std::set<std::string>& backends) {
    auto name = fmt::format("{}", fmt::join(backends, "|"));
    if (name.size() > longest_name) {
        name = fmt::format("{}|+{}", *backends.begin(), backends.size() - 1);
    }
    return name;
}

/// Moves the servers in `shared` from a backend's entry to the backends that stand for several, with the health checks.
void move_shared(Listed& listed, const std::set<HealthCheck>& checks, const std::map<poll::Server, std::string>& shared,
                 Catalogue& catalogue) {
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
        backend.checks.insert(checks.begin(), checks.end());
        const auto same = std::ranges::find(backend.listed, one.url, &Listed::url);
        if (same == backend.listed.end()) {
            backend.listed.push_back(std::move(one));
        } else {
            same->servers.insert(one.servers.begin(), one.servers.end());
        }
    }
}

/// The owners of shared servers, by the name of the backend that stands for them.
using Groups = std::map<BackendName, std::set<std::set<std::string>>>;

struct Routers {
    std::vector<const Router*> all{};
    std::size_t size = 0;  ///< with their matches
};
using RoutersByBackend = std::map<BackendName, Routers>;

/// A group whose routes may be told.
struct Group {
    Backend* backend = nullptr;
    std::vector<BackendName> owners{};
    std::size_t size = 0;  ///< of their routers
};

RoutersByBackend routers_in(const Catalogue& catalogue) {
    RoutersByBackend routers;
    for (const auto& router : catalogue.routers) {
        auto& theirs = routers[{router.backend, router.zone}];
        theirs.all.push_back(&router);
        theirs.size += 1 + router.matches.size();
    }
    return routers;
}

/// The smallest first, so that who has most routers is the first who is not told.
void tell_routes(std::vector<Group> groups, const RoutersByBackend& routers) {
    std::ranges::sort(groups, {}, &Group::size);
    auto left = most_comparisons;
    for (const auto& group : groups) {
        if (group.size > left) {
            return;
        }
        left -= group.size;
        std::vector<const Router*> theirs;
        std::set<std::string> names;
        for (const auto& owner : group.owners) {
            names.insert(owner.name);
            if (const auto found = routers.find(owner); found != routers.end()) {
                theirs.insert(theirs.end(), found->second.all.begin(), found->second.all.end());
            }
        }
        group.backend->routes = routes_within(left, theirs, names);
    }
}

/// Says whom the backends stand for that stand for several, and how what is sent to their servers is told apart.
void describe_groups(const Groups& groups, const Catalogue& catalogue, Catalogue& added) {
    const auto routers = routers_in(catalogue);
    std::vector<Group> told;
    for (const auto& [name, all_owners] : groups) {
        const auto& owners = *all_owners.begin();
        auto& backend = added.backends.at(name);
        for (const auto& some : all_owners) {
            backend.stands_for.insert(some.begin(), some.end());
        }
        const auto has_routers = [&](const std::string& owner) {
            return catalogue.backends.at({owner, name.zone}).has_routers;
        };
        if (all_owners.size() > 1 || owners.size() > most_told || !std::ranges::all_of(owners, has_routers)) {
            continue;  // a name that was cut is of two groups; or requests may come that no router tells of
        }
        Group group{.backend = &backend};
        for (const auto& owner : owners) {
            const auto theirs = routers.find(group.owners.emplace_back(owner, name.zone));
            group.size += theirs == routers.end() ? 0 : theirs->second.size;
        }
        told.push_back(std::move(group));
    }
    tell_routes(std::move(told), routers);
}

}  // namespace

Catalogue with_shared(Catalogue catalogue) {
    std::map<poll::Server, std::string> shared;
    Groups groups;
    for (const auto& [server, owners] : owners_in(catalogue)) {
        if (owners.size() > 1) {
            shared.emplace(server, name_of(owners));
            groups[{name_of(owners), server.zone}].insert(owners);
        }
    }
    Catalogue added;
    for (auto& [name, backend] : catalogue.backends) {
        for (auto& listed : backend.listed) {
            move_shared(listed, backend.checks, shared, added);
        }
    }
    describe_groups(groups, catalogue, added);
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
