// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/time.hpp"

namespace upstat::measure {

/// Whose arithmetic is followed; each is named by the first Prometheus that has it.
enum class Dialect : std::uint8_t {
    v2_42,  ///< to 2.50: the window has both its ends, the start is cut at the counter's zero first
    v2_51,  ///< to 2.53: the start is limited to half a sample interval first
    v2_54,  ///< to 2.55: sum() carries what rounding loses (Kahan, Neumaier)
    v3_0,   ///< the window has no longer its start: t > at - window
};

/// One sample of a counter.
struct Sample {
    Time at;
    double value = 0;

    bool operator==(const Sample&) const = default;
};

/// Prometheus's rate() of a counter at `at` over `window`, per second, to the last bit. `samples` ascend in time; those
/// outside the window are passed over. Nothing when fewer than two are inside.
std::optional<double> rate(std::span<const Sample> samples, Time at, Millis window, Dialect dialect = Dialect::v3_0);

/// PromQL's sum() of the values added, in the order in which they are added; absent when there are none.
class Sum {
  public:
    explicit Sum(Dialect dialect = Dialect::v3_0) : carry_(dialect >= Dialect::v2_54) {}

    void add(double value);
    [[nodiscard]] std::optional<double> value() const;

  private:
    bool carry_;
    std::optional<double> sum_;
    double lost_ = 0;
};

}  // namespace upstat::measure
