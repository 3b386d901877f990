// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "attribute/catalogue.hpp"
#include "attribute/ledger.hpp"
#include "base/time.hpp"
#include "history/history.hpp"
#include "judge/alert.hpp"
#include "judge/case.hpp"
#include "judge/outage.hpp"
#include "judge/worst.hpp"
#include "measure/codes.hpp"
#include "poll/snapshot.hpp"

namespace upstat::judge {

/// One thing that was seen, with the number behind it.
struct Fact {
    std::string topic;
    std::string text;
    bool operator==(const Fact&) const = default;
};

/// What to do, and the line for a shell where there is one.
struct Step {
    std::string text;
    std::string command;
    bool operator==(const Step&) const = default;
};

/// Of one backend. Names in it are as Traefik has them: whoever prints them makes them printable.
struct Diagnosis {
    attribute::BackendName backend;  ///< without a name: about servers that no backend lists
    Severity severity = Severity::well;
    Cause cause = Cause::well;
    std::string sentence;  ///< what is wrong, where and since when
    std::optional<Time> since{};
    std::vector<poll::Server> servers{};  ///< where to look, the worst first
    std::vector<Fact> facts{};
    std::vector<Step> next{};
};

/// What a diagnosis is made from: one poll, and the day before it.
struct Evidence {
    Moment now;
    const history::View& history;
    const attribute::Catalogue& catalogue;
    const attribute::Owners& owners;
    const poll::Servers& servers;              ///< totals
    const std::vector<poll::Server>& streams;  ///< servers of TCP and UDP services, ascending
    const ResponsesByServer& before;           ///< totals of about a window ago
    const Routed& routed;                      ///< what came by routes since
    const Alerts& alerts;
    const Outages& outages;
    const std::vector<Rule>& rules;  ///< at least one; the first is the built-in one
    const attribute::TraefikNames& traefiks;
};

/// The runbook: asks the evidence what a person would ask who was woken by the alert. The evidence outlives it.
class Diagnoser {
  public:
    explicit Diagnoser(const Evidence& evidence);

    /// A backend without anything wrong has the cause `well`.
    [[nodiscard]] Diagnosis of(const attribute::BackendName& backend) const;

    /// All that is wrong, the worst first; at most so many.
    [[nodiscard]] std::vector<Diagnosis> problems(std::size_t most = 100) const;

    /// In the order of their names. The past is read once for all.
    [[nodiscard]] std::vector<Diagnosis> of_all(const std::set<attribute::BackendName>& backends) const;

  private:
    [[nodiscard]] Case open(const attribute::BackendName& backend) const;
    [[nodiscard]] Case open_unlisted() const;
    void add_servers(Case& is) const;
    void add_shared_servers(Case& is) const;
    [[nodiscard]] ServerCase server_case(const poll::Server& server) const;
    [[nodiscard]] bool is_suspect(Case is) const;
    void find(Case& is, const std::vector<history::Amounts>& rows, const std::vector<history::Event>& events) const;
    [[nodiscard]] std::vector<Diagnosis> look_into(std::vector<Case> cases) const;
    [[nodiscard]] Diagnosis write(const Case& is, const std::vector<history::Event>& events) const;

    const Evidence* evidence_;
    template <typename T>
    using ByBackend = std::map<attribute::BackendName, T>;
    std::map<poll::Server, history::Amounts> in_window_;
    ByBackend<history::Amounts> in_hour_;                         ///< before the window
    ByBackend<std::vector<const Alert*>> loud_;                   ///< alerts that are not inactive
    ByBackend<std::set<poll::Server>> servers_;                   ///< also those it was the last to list
    std::map<std::string, measure::CodeSet, std::less<>> codes_;  ///< by their expressions
};

}  // namespace upstat::judge
