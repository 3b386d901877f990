// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "attribute/catalogue.hpp"
#include "attribute/counts.hpp"
#include "base/error.hpp"
#include "judge/judge.hpp"
#include "judge/rule.hpp"
#include "judge/worst.hpp"
#include "measure/ratio.hpp"
#include "measure/window.hpp"
#include "poll/snapshot.hpp"

namespace upstat::agent {

/// The rules, and all that they are judged by: the window of counts, a poll of one window ago, the alerts' states.
class Judgement {
  public:
    /// An error of kind usage where a rule's codes are no regular expression. At least one rule.
    static Result<Judgement> make(const std::vector<judge::Rule>& rules);

    /// Goes on from what was saved; an empty text, or why the window begins anew.
    std::string restore(measure::History history, const std::vector<attribute::Counts>& since);
    void restore(const std::vector<judge::Alert>& alerts) { judge_.restore(alerts); }

    /// The same polls and alerts, judged by these rules from now on. Changes nothing where it fails.
    Result<void> set_rules(const std::vector<judge::Rule>& rules);

    /// One evaluation of every rule. Each change of an alert's state is said in the log.
    void evaluate(const attribute::Counts& counts, const poll::Snapshot& snapshot,
                  const attribute::Catalogue& catalogue, Moment now);

    [[nodiscard]] const measure::Ratios& ratios(const std::string& rule) const { return ratios_.at(rule); }
    [[nodiscard]] const judge::Alerts& alerts() const { return alerts_; }
    [[nodiscard]] const measure::History& history() const { return window_.history(); }

    /// What a restart has to know of the alerts. All others are as they begin: inactive.
    [[nodiscard]] std::vector<judge::Alert> ongoing_alerts() const { return judge_.ongoing(); }

  private:
    Judgement(std::vector<judge::CompiledRule> compiled, const std::vector<judge::Rule>& rules);

    std::vector<judge::CompiledRule> rules_;
    measure::Window window_;
    judge::Past past_;
    judge::Judge judge_;
    std::map<std::string, measure::Ratios> ratios_;  ///< by rule
    judge::Alerts alerts_;
};

}  // namespace upstat::agent
