// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "attribute/backend_name.hpp"
#include "poll/snapshot.hpp"

namespace upstat::agent {

/// One line for the log.
struct Notice {
    bool error = false;  ///< else a warning
    std::string text;
};

/// Tells what is about to be, or is, counted less exactly because the kernel has no room for it: once a map gets full,
/// and when a place of failure begins to count; not at each poll.
class FillWatch {
  public:
    /// `names`: of the Traefiks, where there are several.
    std::vector<Notice> look(const poll::Snapshot& snapshot, const attribute::TraefikNames& names = {});

  private:
    std::vector<Notice> look_at_maps(const poll::Snapshot& snapshot, bool spilled);
    [[nodiscard]] std::uint64_t grown(const poll::Snapshot& snapshot, std::string_view place) const;

    std::optional<std::map<std::string, std::uint64_t>> places_;  ///< of the last snapshot
    std::set<std::string> warned_;                                ///< maps
    std::set<std::string> full_;                                  ///< maps that were reported to be full
    std::map<std::string, Time> reported_;                        ///< places, and when
};

}  // namespace upstat::agent
