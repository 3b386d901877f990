// SPDX-License-Identifier: Apache-2.0
#include "history/event.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <ranges>
#include <set>

namespace upstat::history {

namespace {

constexpr std::size_t most_named = 16;    ///< servers in one event
constexpr std::size_t most_events = 100;  ///< of one change
constexpr std::string_view kind = "catalogue";

/// Each server of a backend, by its address or, where that is not known yet, its url; and whether it is up.
std::map<std::string, bool> servers_in(const attribute::Backend& backend) {
    std::map<std::string, bool> servers;
    for (const auto& listed : backend.listed) {
        if (listed.servers.empty()) {
            servers.emplace(listed.url, listed.up);
        }
        for (const auto& server : listed.servers) {
            servers[to_string(server)] = listed.up;
        }
    }
    return servers;
}

/// "2 servers are added: 10.0.0.1:80, 10.0.0.2:80".
std::string said(const std::set<std::string>& servers, std::string_view what) {
    return fmt::format(
        "{} server{} {} {}: {}{}", servers.size(), servers.size() == 1 ? "" : "s", servers.size() == 1 ? "is" : "are",
        what, fmt::join(servers | std::views::take(most_named), ", "), servers.size() > most_named ? ", ..." : "");
}

/// The changes of one backend, by what they are.
struct Difference {
    std::set<std::string> added;
    std::set<std::string> removed;
    std::set<std::string> down;
    std::set<std::string> up;
};

Difference difference(const attribute::Backend& before, const attribute::Backend& after) {
    const auto earlier = servers_in(before);
    const auto later = servers_in(after);
    Difference out;
    for (const auto& [server, up] : later) {
        const auto known = earlier.find(server);
        if (known == earlier.end()) {
            out.added.insert(server);
        } else if (known->second != up) {
            (up ? out.up : out.down).insert(server);
        }
    }
    for (const auto& server : earlier | std::views::keys) {
        if (!later.contains(server)) {
            out.removed.insert(server);
        }
    }
    return out;
}

class Changes {
  public:
    explicit Changes(Moment at) : at_(at) {}

    void add(std::string_view what, const attribute::BackendName& backend, std::string text,
             const std::set<std::string>& servers = {}) {
        if (events_.size() == most_events) {
            ++left_out_;
            return;
        }
        Event event{.at = at_,
                    .kind = std::string(kind),
                    .what = std::string(what),
                    .backend = backend,
                    .text = std::move(text)};
        std::ranges::copy(servers | std::views::take(most_named), std::back_inserter(event.servers));
        events_.push_back(std::move(event));
    }
    void add_servers(std::string_view what, const attribute::BackendName& backend, std::string_view how,
                     const std::set<std::string>& servers) {
        if (!servers.empty()) {
            add(what, backend, said(servers, how), servers);
        }
    }
    std::vector<Event> take() {
        if (left_out_ != 0) {
            events_.push_back({.at = at_,
                               .kind = std::string(kind),
                               .what = "more",
                               .backend = {},
                               .text = fmt::format("{} more changes of the catalogue are not named", left_out_)});
        }
        return std::move(events_);
    }

  private:
    Moment at_;
    std::vector<Event> events_;
    std::size_t left_out_ = 0;
};

}  // namespace

std::vector<Event> changes(const attribute::Catalogue& before, const attribute::Catalogue& after, Moment at) {
    Changes changes(at);
    for (const auto& [name, backend] : after.backends) {
        const auto known = before.backends.find(name);
        if (known == before.backends.end()) {
            changes.add("backend_added", name, fmt::format("backend {} is new", name.name));
        } else if (known->second != backend) {
            const auto found = difference(known->second, backend);
            changes.add_servers("servers_added", name, "added", found.added);
            changes.add_servers("servers_removed", name, "removed", found.removed);
            changes.add_servers("servers_down", name, "down, says Traefik", found.down);
            changes.add_servers("servers_up", name, "up again, says Traefik", found.up);
        }
    }
    for (const auto& name : before.backends | std::views::keys) {
        if (!after.backends.contains(name)) {
            changes.add("backend_removed", name, fmt::format("backend {} is gone", name.name));
        }
    }
    return changes.take();
}

}  // namespace upstat::history
