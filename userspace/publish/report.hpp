// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attribute/counts.hpp"
#include "attribute/ledger.hpp"
#include "base/names.hpp"
#include "base/results.hpp"
#include "base/time.hpp"
#include "history/history.hpp"
#include "judge/alert.hpp"
#include "judge/outage.hpp"
#include "judge/worst.hpp"
#include "measure/ratio.hpp"
#include "poll/samples.hpp"
#include "poll/snapshot.hpp"
#include "poll/sockets.hpp"
#include "publish/process.hpp"

namespace upstat::publish {

/// One Traefik of this host, as far as it is known.
struct TraefikReport {
    std::string name;  ///< the `traefik` label; empty while it is not counted, or has none
    int pid = 0;
    std::string cgroup;   ///< the path of its cgroup v2
    std::string api;      ///< the URL of its API; empty when it is off
    std::string version;  ///< empty when the API did not tell
    bool attached = false;
    std::string shared{};  ///< who else lives in the cgroup; empty where nobody does
    std::string tls;       ///< what becomes of the responses of TLS and HTTP/2 servers, in a few words
    std::string problem;   ///< one sentence; empty when all is well
};

/// Everything that is published, as one value. The loop fills it after each poll and shares it, unchanged from then on.
struct Report {
    Wall at{};
    std::string not_ready = "no poll of the kernel's counters has succeeded yet";  ///< empty: ready
    std::string notice;                        ///< what is to be said although it is ready
    std::map<std::string, std::string> build;  ///< the labels of upstat_build_info: version, revision, ...
    std::string agent;                         ///< the `agent` label: whose series these are, however they come
    std::map<std::uint16_t, std::string> traefik_names;  ///< the `traefik` label, by zone
    Names names = Names::backend;                        ///< of metrics and pages
    std::vector<TraefikReport> traefiks;

    attribute::Counts counts;
    attribute::ServerView servers;
    poll::ServerTotals overflow;  ///< shown as a server of this name once there is anything
    poll::Probes probes{};        ///< Traefik's own requests
    attribute::SharedCatalogue catalogue = std::make_shared<const attribute::Catalogue>();
    measure::Ratios client_errors;  ///< of 4xx, over the built-in rule's window
    judge::Outages outages;
    std::shared_ptr<const judge::ResponsesByServer> before = std::make_shared<const judge::ResponsesByServer>();
    Time before_at{};  ///< about a window ago
    std::map<poll::Server, poll::ResponseCounts>
        folded{};  ///< what `before` has and `servers` has not: it is in `unmapped`
    judge::Alerts alerts;
    std::vector<judge::Rule> rules;
    history::View history;
    std::shared_ptr<const attribute::Owners> owners = std::make_shared<const attribute::Owners>();

    std::shared_ptr<const poll::SocketWalk> sockets{};  ///< goes when it is asked for; null before the first poll
    std::shared_ptr<const poll::Samples> samples{};     ///< null where none are wanted

    std::map<std::string, std::uint64_t> kernel_errors;
    std::vector<poll::MapFill> maps;
    std::vector<poll::ProgramRuns> programs;

    std::optional<Wall> last_poll;  ///< when the last good one began
    std::chrono::microseconds poll_duration{};
    Results polls;
    Results push;
    std::map<std::string, Results> alertmanagers;  ///< by URL, as it may be shown
    Results traefik_api;
    Results name_lookups;  ///< of servers' host names
    std::map<std::string, std::string>
        unresolved;                       ///< host names whose last look-up failed, and why; the first of them
    std::uint64_t unresolved_names = 0;   ///< all of them
    std::uint64_t unwatched_cgroups = 0;  ///< in which a new Traefik is found at the next poll only
    bool config_reloaded = true;          ///< the last reading of the configuration went well
    std::string reading_threads{};        ///< what the threads that read foreign bytes may do
    ProcessStats process;
};

/// Labels of what is no single server.
inline constexpr std::string_view unmapped_label = "unmapped";
inline constexpr std::string_view overflow_label = "overflow";

/// The name of a zone's Traefik; empty where none is known.
inline std::string_view traefik_name(const Report& report, std::uint16_t zone) {
    const auto found = report.traefik_names.find(zone);
    return found == report.traefik_names.end() ? std::string_view() : std::string_view(found->second);
}

/// What tells one server's series from all others.
struct ServerSeries {
    std::string label;                  ///< the `server` label
    std::optional<std::uint16_t> zone;  ///< whose Traefik is the `traefik` label; nothing: of the whole host

    auto operator<=>(const ServerSeries&) const = default;
};

inline ServerSeries series_of(const poll::Server& server) {
    return {.label = to_string(server), .zone = server.zone};
}

/// Calls `take(series, totals)` for what is the sum of servers that cannot be told apart.
void each_sum(const Report& report, auto&& take) {
    take(ServerSeries{.label = std::string(unmapped_label), .zone = {}}, report.servers.unmapped);
    if (report.overflow != poll::ServerTotals{}) {
        take(ServerSeries{.label = std::string(overflow_label), .zone = {}}, report.overflow);
    }
}

/// The same for each server that has series.
void each_server(const Report& report, auto&& take) {
    for (const auto& [server, totals] : report.servers.servers) {
        take(series_of(server), totals);
    }
    each_sum(report, take);
}

}  // namespace upstat::publish
