// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "attribute/catalogue.hpp"
#include "base/flat_map.hpp"
#include "base/time.hpp"
#include "judge/alert.hpp"
#include "measure/ratio.hpp"
#include "poll/snapshot.hpp"

namespace upstat::judge {

/// The connects of each server that failed and the requests that it left without a response, over the longest window.
/// Servers that never failed take no room.
class Unserved {
  public:
    explicit Unserved(Millis window) : window_(window) {}

    /// Takes the place of `previous`, with a window of its own.
    void continue_from(Unserved previous);

    void look(const poll::Snapshot& snapshot);

    /// The share that `rule` is about, of each backend one of whose servers ever failed. `responses` has the rates of
    /// all responses over the rule's window: what failed and what was answered are all requests that came to an end.
    [[nodiscard]] measure::Ratios ratios(const Rule& rule, const attribute::Catalogue& catalogue,
                                         const measure::Ratios& responses) const;

    /// The server of the backend that failed most in the rule's window.
    [[nodiscard]] std::optional<Worst> worst(const Rule& rule, const attribute::Catalogue& catalogue,
                                             const attribute::BackendName& backend) const;

  private:
    /// By what became of them.
    struct Tally {
        std::uint64_t connect_failures = 0;
        std::uint64_t unanswered = 0;  ///< because of the server
        std::uint64_t given_up = 0;    ///< without a response for another reason

        Tally& operator+=(const Tally& other);
        [[nodiscard]] std::uint64_t sum() const { return connect_failures + unanswered + given_up; }
        [[nodiscard]] std::uint64_t of(Share share) const;
    };
    struct Growth {
        Time at;
        Tally since;  ///< the poll before
    };
    struct Server {
        Tally totals;
        std::deque<Growth> growths;  ///< only of polls that saw more
    };

    static Tally tally(const poll::ServerTotals& totals);
    void look(const poll::Server& server, const poll::ServerTotals& totals);
    [[nodiscard]] Tally within(const Server& server, Millis window) const;

    Millis window_;
    std::optional<Time> began_;
    Time at_{};
    std::map<poll::Server, Server> servers_;  ///< only those that ever failed
};

}  // namespace upstat::judge
