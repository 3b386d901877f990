// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "judge/case.hpp"
#include "judge/diagnosis.hpp"

namespace upstat::judge {

/// What else was seen, in the order in which a person should read it.
std::vector<Fact> facts_of(const Case& is, const std::vector<history::Event>& events, const Alerts& alerts);

/// What to do about it.
std::vector<Step> steps_of(const Case& is);

}  // namespace upstat::judge
