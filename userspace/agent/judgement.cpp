// SPDX-License-Identifier: Apache-2.0
#include "agent/judgement.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "judge/sentence.hpp"

namespace upstat::agent {

Judgement::Judgement(std::vector<judge::CompiledRule> compiled, const std::vector<judge::Rule>& rules)
    : rules_(std::move(compiled)),
      window_(judge::longest_window(rules)),
      past_(judge::longest_window(rules)),
      judge_(rules) {}

Result<Judgement> Judgement::make(const std::vector<judge::Rule>& rules) {
    auto compiled = judge::compile(rules);
    if (!compiled) {
        return std::unexpected(compiled.error());
    }
    return Judgement(std::move(*compiled), rules);
}

std::string Judgement::restore(measure::History history, const std::vector<attribute::Counts>& since) {
    auto window = measure::Window::restore(window_.keep(), std::move(history));
    if (!window) {
        return window.error().message + ": the window of the rates begins anew";
    }
    for (const auto& counts : since) {
        if (const auto& polls = window->history().polls; !polls.empty() && counts.at <= polls.back()) {
            return "the times of the saved polls do not ascend: the window of the rates begins anew";
        }
        window->add(counts);
    }
    window_ = std::move(*window);
    return {};
}

Result<void> Judgement::set_rules(const std::vector<judge::Rule>& rules) {
    auto next = make(rules);
    if (!next) {
        return std::unexpected(next.error());
    }
    next->restore(window_.history(), {});  // our own history is sound
    next->restore(ongoing_alerts());
    next->alerts_ = std::move(alerts_);  // what is sent until the next poll
    *this = *std::move(next);
    return {};
}

void Judgement::evaluate(const attribute::Counts& counts, const poll::Snapshot& snapshot,
                         const attribute::Catalogue& catalogue, Moment now) {
    window_.add(counts);
    past_.add(snapshot);
    ratios_.clear();
    for (const auto& rule : rules_) {
        ratios_[rule.rule.name] = judge::evaluate(rule, window_, snapshot.at);
    }
    alerts_ = judge_.evaluate(ratios_, now);
    for (const auto& transition : alerts_.transitions) {
        const auto rule = std::ranges::find_if(
            rules_, [&](const judge::CompiledRule& one) { return one.rule.name == transition.now.rule; });
        const auto where = judge::worst(past_.begin(), snapshot,
                                        attribute::servers_of(catalogue, transition.now.backend), rule->codes);
        spdlog::log(transition.now.state == judge::State::firing ? spdlog::level::warn : spdlog::level::info, "{}",
                    judge::sentence(transition, rule->rule, where));
    }
}

}  // namespace upstat::agent
