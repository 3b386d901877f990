// SPDX-License-Identifier: Apache-2.0
#include "agent/probing.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace upstat::agent {

namespace {

/// How long the probes stay when the last such server is no more: its requests in flight may take so long.
constexpr Millis linger = std::chrono::minutes(10);

bool is_veiled(const attribute::Listed& listed) {
    return attribute::is_veiled(listed.url);
}

bool lists_veiled(const attribute::Catalogue& catalogue) {
    return std::ranges::any_of(catalogue.backends,
                               [](const auto& entry) { return std::ranges::any_of(entry.second.listed, is_veiled); });
}

bool has_veiled(const poll::Servers& servers) {
    return std::ranges::any_of(servers, [](const auto& entry) {
        return std::ranges::any_of(entry.second.unread, [](const auto& reason) {
            return reason.second != 0 && (reason.first == "tls" || reason.first == "http2");
        });
    });
}

}  // namespace

void Probing::look(const attribute::Catalogue& catalogue, const poll::Servers& servers, Time now) {
    const auto is_nameless = [](const auto& entry) { return attribute::is_nameless(entry.second); };
    has_looked_ = has_looked_ || !catalogue.backends.empty();
    if (lists_veiled(catalogue) || (std::ranges::all_of(catalogue.backends, is_nameless) && has_veiled(servers))) {
        needed_ = now;
    }
}

void Probing::follow(Kernel& kernel, const std::vector<programs::Probed>& processes, const std::string& mode,
                     Time now) {
    mode_ = mode;
    if (mode == "auto" && !has_looked_ && !needed_) {
        return;  // what an agent before this one probes goes on until it is known what for
    }
    const bool needed = mode == "on" || (mode == "auto" && needed_ && now - *needed_ <= linger);
    auto wanted = needed ? processes : std::vector<programs::Probed>();
    if (wanted == wanted_ && !has_news()) {
        return;
    }
    state_ = kernel.probe(wanted);
    wanted_ = std::move(wanted);
    say(state_);
}

bool Probing::has_news() const {
    pollfd ready{.fd = fd(), .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, 0) > 0;
}

/// Each problem once: it is in `upstat status` as long as it lasts.
void Probing::say(const programs::ProbeState& state) {
    for (const auto& [pid, problem] : state.problems) {
        if (said_.size() < 64 && said_.insert(fmt::format("{} {}", pid, problem.message)).second) {
            spdlog::error("Traefik (pid {}): {}", pid, problem.text());
        }
    }
    if (!state.outlives && said_.insert("outlives").second) {
        spdlog::warn(
            "this kernel is older than Linux 5.15: responses of TLS and HTTP/2 servers are not counted while no agent "
            "runs");
    }
}

/// fastProxy leaves HTTP/2, and whatever may turn out to be that, to Go's proxy.
std::string Probing::state_of(pid_t pid, bool has_fast_proxy) const {
    if (mode_ == "off") {
        return "not counted: --probe.tls=off";
    }
    const auto is_it = [pid](const programs::Probed& process) { return process.pid == pid; };
    if (!wanted_ || std::ranges::none_of(*wanted_, is_it)) {
        return "no such server is known";
    }
    if (const auto problem = state_.problems.find(pid); problem != state_.problems.end()) {
        return "not counted: " + problem->second.message;
    }
    if (state_.searching.contains(pid)) {
        return "not counted yet: its executable is being read";
    }
    std::string state =
        state_.outlives ? "counted" : "counted while an agent runs (to go on without one takes Linux 5.15)";
    return has_fast_proxy ? state + "; fastProxy is on: not where a serversTransport has disableHTTP2" : state;
}

}  // namespace upstat::agent
