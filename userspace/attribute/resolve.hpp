// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "attribute/catalogue.hpp"
#include "base/time.hpp"

namespace upstat::attribute {

/// A host name, and where it is looked up: each Traefik resolves names in a network of its own.
struct HostName {
    std::string network_namespace;  ///< "/proc/PID/ns/net"; empty: our own
    std::string host;

    auto operator<=>(const HostName&) const = default;
};

/// Numeric addresses by host name.
using Addresses = std::map<HostName, std::set<std::string>>;

/// The host names that a catalogue's urls hold; numeric ones and localhost need no look-up and are not among them.
std::set<HostName> names_of(const Catalogue& catalogue, const std::string& network_namespace);

/// Fills Listed::servers of every url that holds a name of this network. A name without addresses is left as it is.
void fill(Catalogue& catalogue, const std::string& network_namespace, const Addresses& addresses);

/// What is known about the names last asked for.
struct Known {
    Addresses addresses;
    std::map<HostName, std::string> failures;  ///< why a name's last look-up failed; older addresses still stand
    std::uint64_t succeeded = 0;               ///< look-ups so far
    std::uint64_t failed = 0;
};

/// Looks names up on a thread of its own, since a look-up can take many seconds and the loop may not wait.
///
/// Answers are a history: an address seen for a name stays for as long as the name is asked for, because a pooled
/// connection outlives the DNS answer that made it.
class Resolver {
  public:
    /// One look-up of one name, or one sentence why it failed; runs on the worker.
    using LookUp = std::function<std::expected<std::set<std::string>, std::string>(const std::string& name)>;

    /// Every name is looked up again after `period`. The default is getaddrinfo.
    explicit Resolver(Millis period = std::chrono::seconds(30), LookUp look_up = {});
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    /// Does not wait for a look-up that is under way.
    ~Resolver();

    /// Says which names matter now; to be called each turn of the loop. Starts the worker when a name is new or the
    /// period is over.
    void ask(const std::set<HostName>& names, Time now);

    /// The answers so far; never waits.
    [[nodiscard]] Known known() const;

  private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

}  // namespace upstat::attribute
