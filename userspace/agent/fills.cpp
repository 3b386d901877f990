// SPDX-License-Identifier: Apache-2.0
#include "agent/fills.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace upstat::agent {

namespace {

constexpr std::uint64_t percent_to_warn = 90;
/// A place that fails all the time is told so often.
constexpr auto repeat = std::chrono::minutes(10);

struct Sized {
    std::string_view map;
    std::string_view holds;
    std::string_view way_out;
    std::string_view then = "what was counted stays";
};
constexpr std::array<Sized, 3> sized_maps{
    {{"totals", "series (server, code, method)", "Raise bpf.totals-size and restart upstat"},
     {"requests", "servers", "Raise bpf.requests-size and restart upstat"},
     {"probed", "series (TLS or HTTP/2 server, code, method)", "Run `upstat detach` and restart upstat",
      "it is empty, and the counters of backends go on"}}};

constexpr std::string_view share_full = "share_full";

struct Failure {
    std::string_view place;
    std::string_view what;
};
constexpr std::array<Failure, 6> failures{
    {{"storage_failed",
      "times a connection found no memory for its state: its requests are not counted at all. Raise the sysctl "
      "net.core.optmem_max (of Traefik's network namespace); it works at once"},
     {"probe_series",
      "responses of TLS or HTTP/2 servers are counted in the series server=\"overflow\": their server shows more "
      "than 256 pairs of code and method, or there are more than 2,048 servers. No count is lost"},
     {"probe_memory", "responses of TLS or HTTP/2 servers could not be read in Traefik, and are not counted"},
     {"route_full",
      "responses are counted for their server and for none of the backends that list it: half of the kernel map totals "
      "is in use. Raise bpf.totals-size and restart upstat. No count is lost"},
     {share_full,
      "events of servers that are new are counted in the series server=\"overflow\": their Traefik has its share of a "
      "kernel map, which is nine times what is left there, and once where no backend lists the server. No count is "
      "lost. Raise bpf.totals-size and bpf.requests-size and restart upstat"},
     {"overflow_full", "events found no room in the overflow map either, and are lost. Please report this"}}};

bool is_full(const poll::MapFill& fill) {
    return fill.entries >= fill.capacity;
}

std::string full_text(const Sized& map, const poll::MapFill& fill) {
    return fmt::format(
        "the kernel map {} is full: it has room for {} {}. What is new is counted in the series "
        "server=\"overflow\", of all servers together and of no backend; no count is lost. {}: {}",
        map.map, fill.capacity, map.holds, map.way_out, map.then);
}

std::string warning_text(const Sized& map, const poll::MapFill& fill) {
    return fmt::format("the kernel map {} holds {} of {} {}. {} before it is full: {}", map.map, fill.entries,
                       fill.capacity, map.holds, map.way_out, map.then);
}

/// Which Traefik has the most series, where there are several.
std::string largest(const poll::Snapshot& snapshot, const attribute::TraefikNames& names) {
    std::map<std::uint16_t, std::size_t> series;
    for (const auto& [server, totals] : snapshot.servers) {
        series[server.zone] += totals.responses.size() + 1;
    }
    const auto most = std::ranges::max_element(series, {}, [](const auto& zone) { return zone.second; });
    const auto name = most == series.end() ? std::string() : attribute::name_of(names, most->first);
    return name.empty() ? std::string() : fmt::format(". The Traefik that has the most series is {}", name);
}

}  // namespace

std::vector<Notice> FillWatch::look(const poll::Snapshot& snapshot, const attribute::TraefikNames& names) {
    auto notices = look_at_maps(snapshot, grown(snapshot, "totals_full") != 0);
    for (const auto& [place, what] : failures) {
        const auto count = grown(snapshot, place);
        const auto before = reported_.find(std::string(place));
        if (count != 0 && (before == reported_.end() || snapshot.at - before->second >= repeat)) {
            reported_[std::string(place)] = snapshot.at;
            const auto who = place == share_full ? largest(snapshot, names) : std::string();
            notices.push_back({.error = true, .text = fmt::format("{} {}{}", count, what, who)});
        }
    }
    places_ = snapshot.kernel_errors;
    return notices;
}

std::vector<Notice> FillWatch::look_at_maps(const poll::Snapshot& snapshot, bool spilled) {
    std::vector<Notice> notices;
    for (const auto& map : sized_maps) {
        const auto fill = std::ranges::find(snapshot.maps, map.map, &poll::MapFill::map);
        if (fill == snapshot.maps.end() || fill->entries * 100 < fill->capacity * percent_to_warn) {
            continue;
        }
        if (is_full(*fill) && spilled) {
            warned_.insert(fill->map);
            if (full_.insert(fill->map).second) {
                notices.push_back({.error = true, .text = full_text(map, *fill)});
            }
        } else if (warned_.insert(fill->map).second) {
            notices.push_back({.error = false, .text = warning_text(map, *fill)});
        }
    }
    return notices;
}

/// By how much a place's count is more than in the last snapshot; the first one may hold what is long known.
std::uint64_t FillWatch::grown(const poll::Snapshot& snapshot, std::string_view place) const {
    const auto now = snapshot.kernel_errors.find(std::string(place));
    if (!places_ || now == snapshot.kernel_errors.end()) {
        return 0;
    }
    const auto before = places_->find(now->first);
    return now->second - (before == places_->end() ? 0 : std::min(now->second, before->second));
}

}  // namespace upstat::agent
