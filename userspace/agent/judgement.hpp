// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "attribute/catalogue.hpp"
#include "attribute/counts.hpp"
#include "attribute/ledger.hpp"
#include "base/error.hpp"
#include "history/history.hpp"
#include "judge/judge.hpp"
#include "judge/outage.hpp"
#include "judge/rule.hpp"
#include "judge/unserved.hpp"
#include "judge/worst.hpp"
#include "measure/ratio.hpp"
#include "measure/window.hpp"
#include "poll/snapshot.hpp"

namespace upstat::agent {

/// The rules, and all that they are judged by: the window of counts, a poll of one window ago, the alerts' states.
class Judgement {
  public:
    /// An error of kind usage where a rule's codes are no regular expression. At least one rule; the first one is the
    /// built-in one.
    static Result<Judgement> make(const std::vector<judge::Rule>& rules);

    /// Goes on from what was saved; an empty text, or why the window begins anew.
    std::string restore(measure::History history, const std::vector<attribute::Counts>& since);
    void restore(const std::vector<judge::Alert>& alerts) { judge_.restore(alerts); }

    /// The same polls and alerts, judged by these rules from now on. Changes nothing where it fails.
    Result<void> set_rules(const std::vector<judge::Rule>& rules);

    /// One evaluation of every rule. Each change of an alert's state is said in the log.
    void evaluate(const attribute::Counts& counts, const poll::Snapshot& snapshot,
                  const attribute::Catalogue& catalogue, const attribute::TraefikNames& traefiks, Moment now);

    /// Says of the alerts that are not inactive what is wrong; of the first hundred backends, where there are more.
    void explain(const history::View& history, const attribute::Owners& owners, const attribute::Catalogue& catalogue,
                 const attribute::TraefikNames& traefiks, const poll::Snapshot& snapshot);

    /// The codes that any rule counts as errors.
    [[nodiscard]] poll::Codes codes() const;

    /// Of 4xx, over the built-in rule's window, whatever codes that rule is about.
    [[nodiscard]] const measure::Ratios& client_errors() const;
    [[nodiscard]] const judge::Alerts& alerts() const { return alerts_; }
    [[nodiscard]] const judge::Outages& outages() const { return outages_; }
    /// The polls of about a window: what has been counted since tells which server a rule is about.
    [[nodiscard]] const judge::Past& past() const { return past_; }
    [[nodiscard]] const measure::History& history() const { return window_.history(); }

    /// What a restart has to know of the alerts. All others are as they begin: inactive.
    [[nodiscard]] std::vector<judge::Alert> ongoing_alerts() const { return judge_.ongoing(); }

  private:
    Judgement(std::vector<judge::CompiledRule> compiled, judge::CompiledRule client_errors,
              const std::vector<judge::Rule>& rules);
    void look_into(judge::Alert& alert, const poll::Snapshot& snapshot, const attribute::Catalogue& catalogue,
                   const attribute::TraefikNames& traefiks) const;
    [[nodiscard]] measure::Ratios ratios_of(const judge::CompiledRule& rule, const attribute::Catalogue& catalogue,
                                            Time at) const;
    [[nodiscard]] bool judges_client_errors() const;
    [[nodiscard]] const judge::CompiledRule& rule_of(const judge::Alert& alert) const;

    std::vector<judge::CompiledRule> rules_;
    judge::CompiledRule client_error_rule_;
    measure::Window window_;
    judge::Past past_;
    judge::Silences silences_;
    judge::Unserved unserved_;
    judge::Outages outages_;
    judge::Judge judge_;
    std::map<std::string, measure::Ratios> ratios_;  ///< by rule
    measure::Ratios client_errors_;                  ///< where the built-in rule has others
    judge::Alerts alerts_;
};

}  // namespace upstat::agent
