// SPDX-License-Identifier: Apache-2.0
#include "publish/samples_view.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/json_text.hpp"
#include "base/printable.hpp"
#include "publish/told_apart.hpp"

namespace upstat::publish {

namespace {

using nlohmann::json;
using poll::Sample;

constexpr std::size_t most_samples = 1000;
constexpr std::size_t most_paths = 20;
constexpr std::size_t paths_in_text = 5;

/// "/cart", "/a/very/long...": as it may be shown.
std::string path_text(const Sample& sample) {
    return printable(sample.path) + (sample.cut ? "..." : "");
}

/// The newest first; those of one backend, or all.
std::vector<const Sample*> samples_of(const Report& report, const std::optional<attribute::BackendName>& backend) {
    std::vector<const Sample*> found;
    for (const auto& sample : report.samples->all) {
        const auto owned = report.owners->find(sample.server);
        if (!backend || (sample.server.zone == backend->zone && owned != report.owners->end() &&
                         owned->second.contains(backend->name))) {
            found.push_back(&sample);
        }
    }
    return found;
}

using Frequent = std::vector<std::pair<std::string, std::uint64_t>>;

/// Paths by how many samples have them, the most frequent first, and so many at most.
Frequent frequent_in(const std::vector<const Sample*>& samples, std::size_t most) {
    std::map<std::string, std::uint64_t> counts;
    for (const auto* const sample : samples) {
        ++counts[path_text(*sample)];
    }
    Frequent order(counts.begin(), counts.end());
    std::ranges::stable_sort(order, std::ranges::greater(), &Frequent::value_type::second);
    order.resize(std::min(order.size(), most));
    return order;
}

json sample_json(const Report& report, const ToldApart& names, const Sample& sample) {
    return {{"at", rfc3339(report.at - sample.age)}, {"server", names.name(sample.server)}, {"code", sample.code},
            {"method", to_string(sample.method)},    {"path", printable(sample.path)},      {"cut", sample.cut}};
}

}  // namespace

std::optional<std::string> samples_json(const Report& report, const Query& query) {
    const ToldApart names(report);
    const auto backend = names.asked_backend(query);
    if (!query.backend.empty() && !backend) {
        return std::nullopt;
    }
    json out{{"at", rfc3339(report.at)}, {"on", report.samples != nullptr}, {"problem", ""}, {"lost", 0}, {"total", 0},
             {"paths", json::array()},   {"samples", json::array()}};
    if (report.samples != nullptr) {
        const auto samples = samples_of(report, backend);
        out["problem"] = report.samples->problem;
        out["lost"] = report.samples->lost;
        out["total"] = samples.size();
        for (const auto& [path, count] : frequent_in(samples, most_paths)) {
            out["paths"].push_back({{"path", path}, {"count", count}});
        }
        for (std::size_t i = 0; i < std::min(samples.size(), most_samples); ++i) {
            out["samples"].push_back(sample_json(report, names, *samples[i]));
        }
    }
    return json_text(out) + "\n";
}

std::string paths_text(const Report& report, const attribute::BackendName& backend) {
    if (report.samples == nullptr) {
        return {};
    }
    const auto samples = samples_of(report, backend);
    std::vector<std::string> parts;
    for (const auto& [path, count] : frequent_in(samples, paths_in_text)) {
        parts.push_back(fmt::format("{} of {}", count, path));
    }
    return samples.empty()
               ? std::string()
               : fmt::format("of the last {} bad requests that were kept: {}", samples.size(), fmt::join(parts, ", "));
}

}  // namespace upstat::publish
