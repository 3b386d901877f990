// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "poll/snapshot.hpp"

namespace upstat::judge {

/// Whether the reason for an unanswered request tells of the server: the others tell of clients that gave up and of
/// what upstat could not read.
inline bool tells_of_server(const std::string& reason) {
    static const std::set<std::string> others{"missed", "unparsed", "aborted", poll::upgraded_reason,
                                              poll::unknown_reason};
    return !others.contains(reason);
}

}  // namespace upstat::judge
