// SPDX-License-Identifier: Apache-2.0
#include "measure/window.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ranges>

namespace upstat::measure {

namespace {

constexpr double no_sample = std::numeric_limits<double>::quiet_NaN();

bool has_sample(double value) {
    return !std::isnan(value);
}

/// The totals of a series that shows up in the newest poll only.
std::vector<double> born_at_zero(const std::vector<bool>& sampled) {
    std::vector<double> values(sampled.size(), no_sample);
    for (std::size_t poll = 0; poll < sampled.size(); ++poll) {
        if (sampled[poll]) {
            values[poll] = 0;
        }
    }
    return values;
}

/// A window that has grown to its length stays so long: twice the room, as a vector takes it, would never be used.
void append_sample(std::vector<double>& values, double value) {
    if (values.size() == values.capacity()) {
        values.reserve(values.size() + (values.size() / 8) + 1);
    }
    values.push_back(value);
}

void append(BackendHistory& backend, const attribute::SeriesCounts* counts) {
    backend.sampled.push_back(counts != nullptr);
    for (auto& [series, values] : backend.series) {
        append_sample(values, no_sample);
    }
    if (counts == nullptr) {
        return;
    }
    for (const auto& [series, count] : *counts) {
        const auto [entry, is_new] = backend.series.try_emplace(series);
        if (is_new) {
            entry->second = born_at_zero(backend.sampled);
        }
        entry->second.back() = static_cast<double>(count);
    }
}

/// Of every vector.
void forget_first(History& history, std::ptrdiff_t polls) {
    const auto forget = [polls](auto& values) { values.erase(values.begin(), values.begin() + polls); };
    forget(history.polls);
    for (auto& [name, backend] : history.backends) {
        forget(backend.sampled);
        for (auto& [series, values] : backend.series) {
            forget(values);
        }
    }
}

bool is_total(double value) {
    return std::isnan(value) || (value >= 0 && std::isfinite(value));
}

/// One sentence on the first contradiction in a backend's saved samples; empty when there is none.
std::string contradiction(const BackendHistory& backend, std::size_t polls) {
    if (backend.sampled.size() != polls) {
        return "a backend has not as many marks as there are polls";
    }
    for (const auto& [series, values] : backend.series) {
        if (values.size() != polls) {
            return "a series has not as many totals as there are polls";
        }
        if (!std::ranges::all_of(values, is_total)) {
            return "a total is below zero or infinite";
        }
    }
    return {};
}

std::string contradiction(const History& history) {
    if (std::ranges::adjacent_find(history.polls, std::ranges::greater_equal{}) != history.polls.end()) {
        return "the times of the polls do not ascend";
    }
    for (const auto& [name, backend] : history.backends) {
        if (auto text = contradiction(backend, history.polls.size()); !text.empty()) {
            return text.append(" (").append(name.name).append(")");
        }
    }
    return {};
}

}  // namespace

Result<Window> Window::restore(Millis keep, History history) {
    if (const auto text = contradiction(history); !text.empty()) {
        return fail(Error::Kind::runtime, "the saved window is broken: " + text,
                    "it will be measured anew from the next polls; nothing else is lost");
    }
    Window window(keep);
    window.history_ = std::move(history);
    return window;
}

void Window::add(const attribute::Counts& counts) {
    const auto earlier = history_.polls.size();
    history_.polls.push_back(counts.at);
    for (const auto& name : counts.backends | std::views::keys) {
        history_.backends.try_emplace(name, BackendHistory{.sampled = std::vector<bool>(earlier), .series = {}});
    }
    for (auto& [name, backend] : history_.backends) {
        const auto found = counts.backends.find(name);
        append(backend, found == counts.backends.end() ? nullptr : &found->second);
    }
    forget_before(counts.at - keep_);
}

/// The newest poll at or before `at` stays: before 3.0 a window includes its start, and a rule may be evaluated late.
void Window::forget_before(Time at) {
    const auto inside = std::ranges::upper_bound(history_.polls, at) - history_.polls.begin();
    if (inside > 1) {
        forget_first(history_, inside - 1);
        forget_empty();
    }
}

void Window::forget_empty() {
    for (auto& [name, backend] : history_.backends) {
        // From the back: a series that lives has a sample there.
        std::erase_if(backend.series, [](const auto& entry) {
            return std::ranges::none_of(entry.second | std::views::reverse, has_sample);
        });
    }
    std::erase_if(history_.backends,
                  [](const auto& entry) { return std::ranges::count(entry.second.sampled, true) == 0; });
}

Ratios measure(const Window& window, Time at, const CodeSet& codes, Millis range, Dialect dialect) {
    const auto& history = window.history();
    Ratios ratios{.at = at, .backends = {}};
    std::vector<Sample> samples;
    for (const auto& [name, backend] : history.backends) {
        Sum matching(dialect);
        Sum all(dialect);
        for (const auto& [series, values] : backend.series) {
            samples.clear();
            for (std::size_t poll = 0; poll < values.size(); ++poll) {
                if (has_sample(values[poll])) {
                    samples.push_back({.at = history.polls[poll], .value = values[poll]});
                }
            }
            const auto per_second = rate(samples, at, range, dialect);
            if (!per_second) {
                continue;
            }
            all.add(*per_second);
            if (codes.matches(series.code)) {
                matching.add(*per_second);
            }
        }
        ratios.backends[name] = {.matching = matching.value(), .all = all.value()};
    }
    return ratios;
}

}  // namespace upstat::measure
