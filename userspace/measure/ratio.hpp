// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>

#include "attribute/backend_name.hpp"
#include "base/time.hpp"

namespace upstat::measure {

/// One backend under one rule at one evaluation; rates are per second over the rule's window.
struct Ratio {
    std::optional<double>
        matching;               ///< rate of the responses whose code the rule names; absent where PromQL has no sample
    std::optional<double> all;  ///< rate of all responses; absent likewise

    /// matching / all as PromQL would give it: absent when either side is, NaN for 0/0.
    [[nodiscard]] std::optional<double> value() const {
        return matching && all ? std::optional(*matching / *all) : std::nullopt;
    }

    bool operator==(const Ratio&) const = default;
};

/// What measure gives, by backend.
struct Ratios {
    Time at;
    std::map<attribute::BackendName, Ratio> backends;
    bool filling = false;  ///< the window is not full yet: an alert that holds no more may hold by what was before
};

}  // namespace upstat::measure
