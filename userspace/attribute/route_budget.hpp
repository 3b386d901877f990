// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "attribute/routes.hpp"

namespace upstat::attribute {

/// Comparisons that the routes of all groups may cost together: thousands of routers take less.
inline constexpr std::size_t most_comparisons = 4'000'000;

/// As routes_among, for one group of several. Takes what it costs from what is left; where that is not enough, nothing
/// is told.
std::vector<Route> routes_within(std::size_t& left, const std::vector<const Router*>& routers,
                                 const std::set<std::string>& backends);

}  // namespace upstat::attribute
