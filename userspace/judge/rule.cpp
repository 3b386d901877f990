// SPDX-License-Identifier: Apache-2.0
#include "judge/rule.hpp"

#include <algorithm>

namespace upstat::judge {

Result<std::vector<CompiledRule>> compile(const std::vector<Rule>& rules) {
    std::vector<CompiledRule> compiled;
    for (const auto& rule : rules) {
        if (rule.share != Share::codes) {
            compiled.push_back({.rule = rule, .codes = {}});
            continue;
        }
        auto codes = measure::CodeSet::compile(rule.codes);
        if (!codes) {
            return std::unexpected(codes.error());
        }
        compiled.push_back({.rule = rule, .codes = *codes});
    }
    return compiled;
}

measure::Ratios evaluate(const CompiledRule& rule, const measure::Window& window, Time at) {
    auto ratios = measure::measure(window, at, rule.codes, rule.rule.window);
    for (auto& [backend, ratio] : ratios.backends) {
        ratio.matching = ratio.matching.value_or(0);
    }
    return ratios;
}

Millis longest_window(const std::vector<Rule>& rules) {
    return std::ranges::max(rules, {}, &Rule::window).window;
}

}  // namespace upstat::judge
