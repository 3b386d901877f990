// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace upstat::traefik {

/// One alternative of a router's rule, as far as a request's host and path tell it.
struct RuleMatch {
    std::optional<std::string> host{};  ///< in lower case, without a final dot; nothing: any
    std::string path{};                 ///< what the path begins with; with `whole`, all of it
    bool whole = false;
    bool exact = true;  ///< false: the rule wants more than this, or what it wants is not known

    bool operator==(const RuleMatch&) const = default;
};

enum class RuleSyntax : std::uint8_t { v2, v3 };

/// The alternatives of a rule: Host, HostRegexp as far as it is plain, Path, PathPrefix, &&, || and brackets. Every
/// request that the rule takes is taken by one of them; one that an exact alternative takes, the rule takes. Whatever
/// else stands in a rule (other matchers, !, nonsense, too much) makes alternatives that are not exact.
std::vector<RuleMatch> compile_rule(std::string_view rule, RuleSyntax syntax);

}  // namespace upstat::traefik
