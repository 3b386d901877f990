// SPDX-License-Identifier: Apache-2.0
#include "judge/succession.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <string>

namespace upstat::judge {

namespace {

using ServerOwners = std::map<poll::Server, std::set<std::string>>;

bool has_member_of(const attribute::Backend& group, const attribute::BackendName& name,
                   const attribute::Backend& backend) {
    return group.stands_for.contains(name.name) ||
           std::ranges::any_of(backend.stands_for,
                               [&group](const std::string& member) { return group.stands_for.contains(member); });
}

std::optional<attribute::BackendName> successor(const attribute::Backend& group, const std::set<poll::Server>& servers,
                                                const ServerOwners& owners, const attribute::Catalogue& after) {
    std::map<attribute::BackendName, std::size_t> taken;
    for (const auto& server : servers) {
        if (const auto found = owners.find(server); found != owners.end()) {
            for (const auto& owner : found->second) {
                taken[{owner, server.zone}]++;
            }
        }
    }
    const auto most = std::ranges::max_element(taken, {}, [](const auto& entry) { return entry.second; });
    if (most == taken.end()) {
        return std::nullopt;
    }
    const auto& [name, count] = *most;
    const bool is_mostly_those = 2 * count > attribute::servers_of(after, name).size();
    return is_mostly_those && has_member_of(group, name, after.backends.at(name)) ? std::optional(name) : std::nullopt;
}

}  // namespace

Successors successors(const attribute::Catalogue& before, const attribute::Catalogue& after) {
    Successors all;
    ServerOwners owners;
    for (const auto& [name, backend] : before.backends) {
        if (backend.stands_for.empty() || after.backends.contains(name)) {
            continue;
        }
        if (owners.empty()) {
            owners = attribute::owners_in(after);
        }
        if (auto next = successor(backend, attribute::servers_of(before, name), owners, after)) {
            all.emplace(name, *std::move(next));
        }
    }
    return all;
}

}  // namespace upstat::judge
