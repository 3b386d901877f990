// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "judge/alert.hpp"
#include "measure/codes.hpp"
#include "measure/ratio.hpp"
#include "measure/window.hpp"

namespace upstat::judge {

/// A rule with its codes compiled.
struct CompiledRule {
    Rule rule;
    measure::CodeSet codes;  ///< none where the rule's share is of no codes
};

/// An error of kind usage names a rule whose codes are no regular expression.
Result<std::vector<CompiledRule>> compile(const std::vector<Rule>& rules);

/// The rule's ratio of each backend at `at`. A backend without one such response has the series all the same, at 0:
/// /metrics shows every code at 0 from the start.
measure::Ratios evaluate(const CompiledRule& rule, const measure::Window& window, Time at);

/// Of several rules; at least one.
Millis longest_window(const std::vector<Rule>& rules);

}  // namespace upstat::judge
