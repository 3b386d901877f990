// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "attribute/backend_name.hpp"
#include "base/time.hpp"
#include "history/event.hpp"
#include "history/fields.hpp"
#include "judge/alert.hpp"
#include "measure/codes.hpp"
#include "poll/snapshot.hpp"

namespace upstat::judge {

/// What the numbers say is wrong; deploy/openapi.yaml says what each means.
enum class Cause : std::uint8_t {
    well,
    no_traffic,
    one_server,
    some_servers,
    all_servers,
    new_servers,
    unauthorized,
    rate_limited,
    connect_failures,
    unanswered,
    servers_down,
    some_requests,
    client_cancelled,
    unreadable
};
std::string_view to_string(Cause cause);

/// How bad, in this order: what no alert is about is a notice.
enum class Severity : std::uint8_t { well, notice, pending, firing, outage };
std::string_view to_string(Severity severity);

/// What is known of one server over the window.
struct ServerCase {
    poll::Server server{};
    std::string label;   ///< in a sentence
    bool listed = true;  ///< by the catalogue, now
    bool up = true;      ///< as Traefik's health checks have it
    history::Amounts counts{};
    std::int64_t waiting = 0;             ///< requests without a response so far
    poll::ResponseCounts grown{};         ///< over one or two windows
    std::vector<std::string> backends{};  ///< of its Traefik that list it
    bool culprit = false;
};

/// A backend's numbers, and what was found out from them.
struct Case {
    attribute::BackendName backend;
    std::string traefik{};  ///< whose it is; empty where one Traefik says all
    Moment now;
    Millis window;
    std::vector<const Alert*> alerts{};  ///< that are not inactive
    const Rule* rule = nullptr;          ///< of the worst of them
    std::string outage{};
    const measure::CodeSet* bad = nullptr;  ///< codes
    std::set<int> bad_classes{};            ///< the first digits of such codes
    std::vector<ServerCase> servers{};
    history::Amounts before{};  ///< of the backend, in the hour before the window
    Millis before_length{};
    Millis silent{};  ///< for how long it has given no response

    Severity severity = Severity::well;
    Cause cause = Cause::well;
    std::optional<Time> since{};
    std::optional<history::Event> replaced{};        ///< when new servers are the cause
    std::optional<std::string> failing_elsewhere{};  ///< a server that no backend lists and that fails at the same time

    /// A moment of the agent's own time as the wall clock tells it.
    [[nodiscard]] Wall told(Time at) const { return now.wall + (at - now.at); }
};

// What the counts of a case add up to.
history::Amounts sum_of(const std::vector<ServerCase>& servers);
std::uint64_t bad_responses(const Case& is, const history::Amounts& counts);
std::uint64_t failed_requests(const history::Amounts& counts);  ///< unanswered, but for those that the client gave up
std::uint64_t given_up(const history::Amounts& counts);         ///< by the client
std::vector<const ServerCase*> culprits(const Case& is);

/// Whether as many connections or requests fail that it is worth a word where no rule is about it.
bool fails_much(const history::Amounts& counts);

/// Finds what is wrong and which servers it is about. `events` are those about this backend.
void find_cause(Case& is, const std::vector<history::Event>& events);

/// The sentence of a case whose cause is found.
std::string sentence(const Case& is);

/// "29.3 %" of `part` in `all`.
std::string portion_text(std::uint64_t part, std::uint64_t all);
/// "404", "404 and 500": the codes behind most of what is bad.
std::string codes_text(const Case& is);

}  // namespace upstat::judge
