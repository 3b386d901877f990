// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "attribute/catalogue.hpp"
#include "attribute/dns.hpp"
#include "base/time.hpp"

namespace upstat::attribute {

/// A host name, and whose: each Traefik resolves names with files and in a network of its own.
struct HostName {
    std::string process;  ///< its directory, "/proc/PID"; empty: our own
    std::string host;

    auto operator<=>(const HostName&) const = default;
};

/// Numeric addresses by host name.
using Addresses = std::map<HostName, std::set<std::string>>;

/// The host names that a catalogue's urls hold; numeric ones and localhost need no look-up and are not among them.
std::set<HostName> names_of(const Catalogue& catalogue, const std::set<std::string>& processes);

/// Fills Listed::servers of every url that holds a name, with what it is to any of these processes. A name without
/// addresses is left as it is.
void fill(Catalogue& catalogue, const std::set<std::string>& processes, const Addresses& addresses);

/// What is known about the names last asked for.
struct Known {
    Addresses addresses;
    std::map<HostName, std::string> failures;  ///< why a name's last look-up failed; older addresses still stand
    std::set<std::string> pending;             ///< hosts of which nothing was heard yet
    std::uint64_t succeeded = 0;               ///< look-ups so far
    std::uint64_t failed = 0;
    std::size_t left_out = 0;  ///< names that are too many to be looked up
};

/// Looks names up on threads of its own, since a look-up can take many seconds and the loop may not wait. Of one
/// process a thousand names are looked up, the first in the order of their letters, and no process has more than a few
/// of the threads: one whose name server is silent holds up nobody else.
///
/// Answers are a history: an address that was seen for a name stays for a while, because a pooled connection outlives
/// the DNS answer that made it. It goes once the answers to another name of this process have it, or after 90 s of
/// answers without it. (A server's late responses still go to the backend that listed it last, see Ledger.)
class Resolver {
  public:
    /// One round, on a thread that ends with it: dns.hpp says what is to be done.
    using LookUp =
        std::function<bool(const std::string& process, const std::set<std::string>& names, const TakeName& take)>;

    /// Every name is looked up again after `period`, where asking costs nobody else anything after `near_period`.
    explicit Resolver(Millis period = std::chrono::seconds(30), Millis near_period = std::chrono::seconds(5),
                      LookUp look_up = {});
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    /// Does not wait for look-ups that are under way.
    ~Resolver();

    /// Says which names matter now; to be called each turn of the loop. Starts the look-ups that are due.
    void ask(const std::set<HostName>& names, Time now);

    /// The answers so far; never waits.
    [[nodiscard]] Known known() const;

    /// Grows whenever the addresses have changed.
    [[nodiscard]] std::uint64_t changes() const;

  private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

}  // namespace upstat::attribute
