// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "judge/alert.hpp"
#include "judge/succession.hpp"
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
    ///
    /// A group's successor goes on with its alerts: with the time that they have held for. It has few samples of its
    /// own yet, so for a window none of these ends, as after a restart. The group's own end at once.
    Alerts evaluate(const std::map<std::string, measure::Ratios>& by_rule, Moment now,
                    const Successors& successors = {});

    /// Goes on as the judge that had the rules before a reload, with what restore() does not tell: which alerts were
    /// handed over.
    void continue_from(Judge previous) { std::swap(inherited_, previous.inherited_); }

    /// What another judge has to be told to go on from here, by restore(): all alerts but those that are as they begin.
    [[nodiscard]] std::vector<Alert> ongoing() const;

  private:
    /// The states that alerts had which are handed over.
    using Former = std::map<attribute::BackendName, State>;
    Former hand_over(const Rule& rule, const Successors& successors, Moment now);
    void evaluate_rule(const Rule& rule, const measure::Ratios& ratios, const Former& former, Alerts& result);

    std::vector<Rule> rules_;
    std::map<std::string, std::map<attribute::BackendName, Alert>> alerts_;     ///< by rule, then backend
    std::map<std::pair<std::string, attribute::BackendName>, Time> inherited_;  ///< until when they do not end
};

}  // namespace upstat::judge
