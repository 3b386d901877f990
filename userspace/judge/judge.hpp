// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "judge/alert.hpp"
#include "measure/ratio.hpp"

namespace upstat::judge {

/// How long an ended firing is remembered, and told to Alertmanager again and again: Prometheus's resolvedRetention.
constexpr Millis resolved_retention = std::chrono::minutes(15);

/// Prometheus's `for` machine for every rule and backend.
class Judge {
  public:
    /// The names of the rules are distinct.
    explicit Judge(std::vector<Rule> rules);

    /// Goes on from saved alerts (of an earlier run, or of the judge that had the rules before a reload). Alerts of
    /// rules that are no more are passed over, and so are those that contradict themselves, as a damaged file may have
    /// them.
    void restore(const std::vector<Alert>& alerts);

    /// One evaluation now; `by_rule` has the Ratios of each rule by its name. A backend that is not among them is a
    /// missing sample. A rule that is not among them was not evaluated: its alerts stay as they were. After a failed
    /// poll do not call this at all.
    Alerts evaluate(const std::map<std::string, measure::Ratios>& by_rule, Moment now);

    /// What another judge has to be told to go on from here, by restore(): all alerts but those that are as they begin.
    [[nodiscard]] std::vector<Alert> ongoing() const;

  private:
    void evaluate_rule(const Rule& rule, const measure::Ratios& ratios, Alerts& result);

    std::vector<Rule> rules_;
    std::map<std::string, std::map<attribute::BackendName, Alert>> alerts_;  ///< by rule, then backend
};

}  // namespace upstat::judge
