// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "history/history.hpp"

namespace upstat::history {

// The history as a sequence of CBOR items (RFC 8742): a head, the subjects, the columns, the events, and the totals at
// the end of the newest column; behind those, what came later, which may be appended at any time.

/// All of it. `epoch` names the kernel's maps that the totals are of.
std::string saved_whole(const History& history, const std::string& epoch);

/// Up to where a text has it.
struct Mark {
    std::size_t subjects = 0;
    Time columns = Time::min();  ///< the newest column's end
    std::uint64_t events = 0;    ///< noted so far
};
Mark mark_of(const History& history);

/// What has come since; nothing where that can no longer be told, and all has to be saved.
std::optional<std::string> saved_since(const History& history, const Mark& mark);

struct Restored {
    History history;
    std::string note;  ///< one sentence about what is lost; empty when all goes on
};

/// Takes whatever a file may hold: what is broken ends it, and what stands before that goes on. Nothing in it is later
/// than `now`, or all of it begins anew. Where the maps are of another epoch, servers count from 0.
Restored restored_from(std::string_view text, const std::string& epoch, Time now);

}  // namespace upstat::history
