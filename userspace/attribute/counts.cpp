// SPDX-License-Identifier: Apache-2.0
#include "attribute/counts.hpp"

#include <algorithm>

namespace upstat {

std::string_view to_string(Protocol protocol) {
    return protocol == Protocol::websocket ? "websocket" : "http";
}

bool Backend::lists(const Server& server) const {
    return std::ranges::any_of(listed, [&](const Listed& one) { return one.servers.contains(server); });
}

std::set<std::string> Catalogue::owners(const Server& server) const {
    std::set<std::string> names;
    for (const auto& [name, backend] : backends) {
        if (backend.lists(server)) {
            names.insert(name);
        }
    }
    return names;
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

}  // namespace upstat
