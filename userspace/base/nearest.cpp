// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace upstat {

namespace {

/// How many slips lie between two words: a letter missing, too much, another one, or two that changed places.
std::size_t distance(std::string_view one, std::string_view two) {
    std::vector<std::size_t> before_last;
    std::vector<std::size_t> last;  // with nothing of `one`, each letter of `two` is a slip
    for (std::size_t j = 0; j <= two.size(); j++) {
        last.push_back(j);
    }
    for (std::size_t i = 0; i < one.size(); i++) {
        std::vector<std::size_t> row{i + 1};
        for (std::size_t j = 0; j < two.size(); j++) {
            auto least = std::min({last[j + 1] + 1, row[j] + 1, last[j] + (one[i] == two[j] ? 0 : 1)});
            if (i > 0 && j > 0 && one[i] == two[j - 1] && one[i - 1] == two[j]) {
                least = std::min(least, before_last[j - 1] + 1);
            }
            row.push_back(least);
        }
        before_last = std::exchange(last, std::move(row));
    }
    return last.back();
}

/// The last part alone ("interval" for poll.interval) is one slip.
std::size_t slips(std::string_view mistyped, std::string_view known) {
    const bool is_last_part =
        known.ends_with(mistyped) && known.substr(0, known.size() - mistyped.size()).ends_with('.');
    return is_last_part && !mistyped.empty() ? 1 : distance(mistyped, known);
}

}  // namespace

std::string_view nearest(std::string_view mistyped, std::span<const std::string_view> known) {
    constexpr std::size_t longest = 64;  // no name is near that
    if (known.empty() || mistyped.size() > longest) {
        return {};
    }
    const auto best = std::ranges::min(known, {}, [&](std::string_view name) { return slips(mistyped, name); });
    const auto bound = std::max<std::size_t>(2, mistyped.size() / 3);
    return slips(mistyped, best) <= bound ? best : std::string_view();
}

}  // namespace upstat
