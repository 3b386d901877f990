// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <ranges>
#include <set>
#include <utility>
#include <vector>

#include "attribute/ledger.hpp"

namespace upstat::attribute {

namespace {

/// Of names, and of servers, that nobody lists any more, so many are remembered: the longest unlisted go first, of the
/// Traefik that has the most. A busy cluster has a few thousand in a week.
constexpr std::size_t most_unlisted = 20'000;

/// Changes with whatever is asked of a server.
std::uint64_t activity(const poll::ServerTotals& totals) {
    return totals.requests + totals.connects + totals.response_sum() + totals.unanswered_sum();
}

/// The backends of a catalogue, and those that routes of its backends are told to be of.
std::set<BackendName> names_in(const Catalogue& catalogue) {
    std::set<BackendName> names;
    for (const auto& [name, backend] : catalogue.backends) {
        names.insert(name);
        for (const auto& route : backend.routes) {
            names.insert({route.backend, name.zone});
        }
    }
    return names;
}

/// How many each zone may have: who has few keeps them, whatever the others do.
std::size_t bound_of(const std::map<std::uint16_t, std::size_t>& by_zone) {
    std::vector<std::size_t> sizes;
    std::ranges::copy(by_zone | std::views::values, std::back_inserter(sizes));
    std::ranges::sort(sizes);
    auto left = most_unlisted;
    for (std::size_t at = 0; at < sizes.size(); ++at) {
        const auto share = left / (sizes.size() - at);
        if (sizes[at] > share) {
            return share;
        }
        left -= sizes[at];
    }
    return most_unlisted;
}

/// Those that have been unlisted since `latest`, and the longest unlisted of those that are too many.
template <typename Key>
std::set<Key> due(const std::map<Key, Unlisted>& unlisted, Time latest) {
    std::vector<std::pair<Time, Key>> oldest_first;
    oldest_first.reserve(unlisted.size());
    std::map<std::uint16_t, std::size_t> left;
    for (const auto& [key, known] : unlisted) {
        oldest_first.emplace_back(known.since, key);
        left[key.zone]++;
    }
    std::ranges::sort(oldest_first);
    const auto bound = bound_of(left);
    std::set<Key> keys;
    for (const auto& [since, key] : oldest_first) {
        if (since <= latest || left[key.zone] > bound) {
            keys.insert(key);
            left[key.zone]--;
        }
    }
    return keys;
}

}  // namespace

bool Ledger::forget(const poll::Snapshot& snapshot, Millis after) {
    const bool noted = note_unlisted(snapshot);
    const bool servers_forgotten = forget_servers(snapshot, snapshot.at - after);
    const bool names_forgotten = forget_backends(snapshot.at - after);
    return noted || servers_forgotten || names_forgotten;
}

/// True if anything is noted otherwise than before.
bool Ledger::note_unlisted(const poll::Snapshot& snapshot) {
    std::map<poll::Server, Unlisted> servers;
    Ascending totals(snapshot.servers);
    for (const auto& [server, names] : state_.owners) {
        if (std::ranges::binary_search(listed_, server)) {
            continue;
        }
        const auto* const counted = totals.find(server);
        const auto active = counted == nullptr ? 0 : activity(*counted);
        const auto known = state_.unlisted_servers.find(server);
        const bool idle = known != state_.unlisted_servers.end() && known->second.activity == active;
        servers.emplace_hint(servers.end(), server,
                             idle ? known->second : Unlisted{.since = snapshot.at, .activity = active});
    }
    std::map<BackendName, Unlisted> backends;
    const auto listed = names_in(*state_.catalogue);
    for (const auto& [name, counts] : state_.backends) {
        if (!listed.contains(name)) {
            const auto known = state_.unlisted_backends.find(name);
            backends.emplace_hint(
                backends.end(), name,
                known != state_.unlisted_backends.end() ? known->second : Unlisted{.since = snapshot.at});
        }
    }
    const bool changed = servers != state_.unlisted_servers || backends != state_.unlisted_backends;
    state_.unlisted_servers = std::move(servers);
    state_.unlisted_backends = std::move(backends);
    return changed;
}

/// What they were counted with until now is in no series any more. What comes later is `unmapped`, or of whoever lists
/// them next: the kernel's totals and the last ones stay.
bool Ledger::forget_servers(const poll::Snapshot& snapshot, Time latest) {
    auto gone = due(state_.unlisted_servers, latest);
    std::erase_if(gone, [&snapshot](const poll::Server& server) {
        const auto totals = snapshot.servers.find(server);
        return totals != snapshot.servers.end() && totals->second.outstanding() > 0;
    });
    for (const auto& server : gone) {
        if (const auto totals = snapshot.servers.find(server); totals != snapshot.servers.end()) {
            state_.folded[server] = completed(totals->second);
        }
        state_.unlisted_servers.erase(server);
    }
    erase_if(state_.owners, [&gone](const auto& owner) { return gone.contains(owner.first); });
    return !gone.empty();
}

/// But those whose servers are still remembered: late responses are theirs.
bool Ledger::forget_backends(Time latest) {
    auto gone = due(state_.unlisted_backends, latest);
    if (gone.empty()) {
        return false;
    }
    for (const auto& [server, names] : state_.owners) {
        for (const auto& name : names) {
            gone.erase({name, server.zone});
        }
    }
    for (const auto& name : gone) {
        state_.backends.erase(name);
        state_.unlisted_backends.erase(name);
        if (const auto number = route_numbers_.extract(name)) {
            state_.route_names.at(number.mapped() - 1) = {};
        }
    }
    return !gone.empty();
}

}  // namespace upstat::attribute
