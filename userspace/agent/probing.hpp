// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/kernel.hpp"
#include "attribute/catalogue.hpp"
#include "base/time.hpp"
#include "poll/snapshot.hpp"

namespace upstat::agent {

/// Has the kernel's probes in the Traefiks as long as there is a server whose packets cannot be read (TLS, HTTP/2), or
/// as --probe.tls says. A process without such servers pays nothing.
class Probing {
  public:
    /// Whether there are such servers, by what is known now. Without a catalogue, connections that cannot be read tell.
    void look(const attribute::Catalogue& catalogue, const poll::Servers& servers, Time now);

    /// Puts the probes into these processes, or takes them out, if anything is not as it was. `mode` is --probe.tls.
    void follow(Kernel& kernel, const std::vector<programs::Probed>& processes, const std::string& mode, Time now);

    /// Tries again what did not work.
    void try_again() { wanted_.reset(); }

    /// Readable when there is more to follow; negative where nothing is awaited.
    [[nodiscard]] int fd() const { return state_.searching.empty() ? -1 : state_.news; }

    /// What becomes of the TLS and HTTP/2 servers' responses to a process, in a few words.
    [[nodiscard]] std::string state_of(pid_t pid, bool has_fast_proxy) const;

  private:
    void say(const programs::ProbeState& state);
    [[nodiscard]] bool has_news() const;

    bool has_looked_ = false;     ///< at a catalogue with anything in it
    std::optional<Time> needed_;  ///< when there were such servers last
    std::string mode_;
    std::optional<std::vector<programs::Probed>> wanted_;  ///< what the kernel was asked for
    programs::ProbeState state_;
    std::set<std::string> said_;
};

}  // namespace upstat::agent
