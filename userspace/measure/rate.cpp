// SPDX-License-Identifier: Apache-2.0
#include "measure/rate.hpp"

#include <algorithm>
#include <cmath>

namespace upstat::measure {

namespace {

/// The samples that the dialect's window has.
std::span<const Sample> inside(std::span<const Sample> samples, Time at, Millis window, Dialect dialect) {
    const auto start = at - window;
    const auto first = dialect >= Dialect::v3_0 ? std::ranges::upper_bound(samples, start, {}, &Sample::at)
                                                : std::ranges::lower_bound(samples, start, {}, &Sample::at);
    const auto last = std::ranges::upper_bound(first, samples.end(), at, {}, &Sample::at);
    return {first, last};
}

/// How far the counter went up, resets mended.
double increase(std::span<const Sample> samples) {
    double raw = samples.back().value - samples.front().value;
    for (std::size_t i = 1; i < samples.size(); ++i) {
        if (samples[i].value < samples[i - 1].value) {
            raw += samples[i - 1].value;
        }
    }
    return raw;
}

double seconds(Millis time) {
    return static_cast<double>(time.count()) / 1000;
}

/// Go's Duration.Seconds(): whole seconds and the rest are turned into a float apart.
double range_seconds(Millis window) {
    const auto whole = std::chrono::floor<std::chrono::seconds>(window);
    const std::chrono::nanoseconds rest = window - whole;
    return static_cast<double>(whole.count()) + static_cast<double>(rest.count()) / 1e9;
}

}  // namespace

// Every operation below stands in the order of Prometheus's extrapolatedRate(): another order would round differently.
std::optional<double> rate(std::span<const Sample> samples, Time at, Millis window, Dialect dialect) {
    samples = inside(samples, at, window, dialect);
    if (samples.size() < 2) {
        return std::nullopt;
    }
    const auto& first = samples.front();
    const auto& last = samples.back();
    const double raw = increase(samples);
    const double sampled = seconds(last.at - first.at);
    const double average = sampled / static_cast<double>(samples.size() - 1);
    const double threshold = average * 1.1;
    double to_start = seconds(first.at - (at - window));
    double to_end = seconds(at - last.at);

    // A counter cannot have begun below zero: the line through its samples is not drawn on beyond that.
    const auto cut_at_zero = [&] {
        if (raw > 0 && first.value >= 0) {
            to_start = std::min(to_start, sampled * (first.value / raw));
        }
    };
    if (dialect < Dialect::v2_51) {
        cut_at_zero();
    }
    if (to_start >= threshold) {
        to_start = average / 2;
    }
    if (dialect >= Dialect::v2_51) {
        cut_at_zero();
    }
    if (to_end >= threshold) {
        to_end = average / 2;
    }
    double factor = (sampled + to_start + to_end) / sampled;
    factor /= range_seconds(window);
    return raw * factor;
}

void Sum::add(double value) {
    if (!sum_) {
        sum_ = value;
        return;
    }
    const double before = *sum_;
    const double after = before + value;
    sum_ = after;
    if (carry_) {
        lost_ += std::abs(before) >= std::abs(value) ? (before - after) + value : (value - after) + before;
    }
}

std::optional<double> Sum::value() const {
    return sum_ ? std::optional(*sum_ + lost_) : std::nullopt;
}

}  // namespace upstat::measure
