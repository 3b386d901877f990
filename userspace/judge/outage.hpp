// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "attribute/catalogue.hpp"
#include "base/time.hpp"
#include "poll/snapshot.hpp"

namespace upstat::judge {

/// By backend, what is to be said before all else: "no responses for 38s, 36 connects a second refused". Backends that
/// give responses, or that nobody asks, are not among them.
using Outages = std::map<attribute::BackendName, std::string>;

/// For how long each server has given no response, and what it did instead. To Prometheus's rules a backend without any
/// response has no ratio, so that an alert resolves when all is down.
class Silences {
  public:
    /// Requests that wait for their response make an outage only after `patience`, and failures only for so long.
    explicit Silences(Millis patience) : patience_(patience) {}

    /// Takes the place of `previous`, with a patience of its own.
    void continue_from(Silences previous) { std::swap(servers_, previous.servers_); }

    void look(const poll::Snapshot& snapshot);

    /// As of the last look.
    [[nodiscard]] Outages outages(const attribute::Catalogue& catalogue) const;

  private:
    /// One server at its last response, and what has grown since.
    struct Silence {
        Time since;
        std::uint64_t responses = 0;
        poll::Reasons connect_failures{};
        poll::Reasons unanswered{};
        poll::Reasons connects_failed{};  ///< since then
        poll::Reasons requests_failed{};  ///< since then
        std::int64_t outstanding = 0;
        bool unreadable = false;  ///< it has connections whose responses cannot be read, and no response
        Time failed;              ///< the last poll that saw more of them
    };

    void look(Silence& silence, const poll::ServerTotals& totals);
    [[nodiscard]] bool fails_since(const Silence& silence, Time since) const;
    [[nodiscard]] bool is_failing(const Silence& silence) const;
    [[nodiscard]] std::vector<const Silence*> servers_of(const attribute::Backend& backend) const;
    [[nodiscard]] std::string of(const attribute::Backend& backend) const;

    Millis patience_;
    Time at_{};
    FlatMap<poll::Server, Silence> servers_;
};

}  // namespace upstat::judge
