// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "attribute/catalogue.hpp"

namespace upstat::judge {

/// Who goes on with the alerts of a group (attribute/shared.hpp) that is no more, by its name.
using Successors = std::map<attribute::BackendName, attribute::BackendName>;

/// A group is called by its members: when one comes or goes, the same servers have another name. Whoever lists most of
/// them now succeeds the group, if it has a member of it and mostly consists of these servers.
Successors successors(const attribute::Catalogue& before, const attribute::Catalogue& after);

}  // namespace upstat::judge
