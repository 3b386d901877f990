// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "attribute/catalogue.hpp"
#include "base/time.hpp"

namespace upstat::attribute {

/// Numeric addresses by host name.
using Addresses = std::map<std::string, std::set<std::string>>;

/// The host names that a catalogue's urls hold; numeric ones and localhost need no look-up and are not among them.
std::set<std::string> names_of(const Catalogue& catalogue);

/// Fills Listed::servers of every url that holds a name. A name without an answer lists no server.
void fill(Catalogue& catalogue, const Addresses& addresses);

/// What is known about the names last asked for.
struct Known {
    Addresses addresses;
    std::map<std::string, std::string> failures;  ///< name -> why its last look-up failed; older addresses still stand
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

    /// Says which names matter now and from which network namespace ("/proc/PID/ns/net", empty: our own); to be called
    /// each turn of the loop. Starts the worker when a name is new, the namespace is another or the period is over.
    void ask(const std::set<std::string>& names, const std::string& network_namespace, Time now);

    /// The answers so far; never waits.
    [[nodiscard]] Known take();

    /// Readable when take() has something new.
    [[nodiscard]] int fd() const;

  private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

}  // namespace upstat::attribute
