// SPDX-License-Identifier: Apache-2.0
#include "agent/judgement.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <ranges>
#include <set>
#include <utility>

#include "base/printable.hpp"
#include "judge/diagnosis.hpp"
#include "judge/sentence.hpp"

namespace upstat::agent {

Judgement::Judgement(std::vector<judge::CompiledRule> compiled, judge::CompiledRule client_errors,
                     const std::vector<judge::Rule>& rules)
    : rules_(std::move(compiled)),
      client_error_rule_(std::move(client_errors)),
      window_(judge::longest_window(rules)),
      past_(judge::longest_window(rules)),
      silences_(rules.front().window),
      unserved_(judge::longest_window(rules)),
      judge_(rules) {}

Result<Judgement> Judgement::make(const std::vector<judge::Rule>& rules) {
    auto client_errors = rules.front();
    client_errors.codes = "4..";
    auto all = rules;
    all.push_back(client_errors);
    auto compiled = judge::compile(all);
    if (!compiled) {
        return std::unexpected(compiled.error());
    }
    auto last = std::move(compiled->back());
    compiled->pop_back();
    return Judgement(std::move(*compiled), std::move(last), rules);
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
    next->judge_.continue_from(std::move(judge_));
    next->alerts_ = std::move(alerts_);  // what is sent until the next poll
    next->judged_ = std::move(judged_);
    next->past_.continue_from(std::move(past_));
    next->silences_.continue_from(std::move(silences_));
    next->unserved_.continue_from(std::move(unserved_));
    *this = *std::move(next);
    return {};
}

/// The successors of groups that are no more since the last evaluation.
judge::Successors Judgement::follow(const attribute::SharedCatalogue& catalogue) {
    const auto before = std::exchange(judged_, catalogue);
    if (!before || before == catalogue) {
        return {};
    }
    auto successors = judge::successors(*before, *catalogue);
    for (const auto& [group, successor] : successors) {
        window_.forget(group);
        if (std::ranges::any_of(alerts_.alerts, [&](const judge::Alert& alert) {
                return alert.backend == group && alert.state != judge::State::inactive;
            })) {
            spdlog::info("the servers of {} are those of {} now: its alerts go on under that name",
                         printable(group.name), printable(successor.name));
        }
    }
    return successors;
}

void Judgement::evaluate(const attribute::Counts& counts, const poll::Snapshot& snapshot,
                         const attribute::Ledger& ledger, const attribute::TraefikNames& traefiks, Moment now) {
    const auto& catalogue = *ledger.state().catalogue;
    const auto successors = follow(ledger.state().catalogue);
    window_.add(counts);
    past_.add(snapshot);
    routed_ = std::make_shared<const judge::Routed>(
        judge::routed_since(past_.routed(), snapshot.routed, ledger.state().route_names));
    silences_.look(snapshot);
    unserved_.look(snapshot);
    outages_ = silences_.outages(catalogue);
    ratios_.clear();
    for (const auto& rule : rules_) {
        ratios_[rule.rule.name] = ratios_of(rule, catalogue, snapshot.at);
    }
    if (!judges_client_errors()) {
        client_errors_ = judge::evaluate(client_error_rule_, window_, snapshot.at);
    }
    alerts_ = judge_.evaluate(ratios_, now, successors);
    for (auto& alert : alerts_.alerts) {
        if (alert.state != judge::State::inactive || alert.resolved_at) {
            look_into(alert, snapshot, ledger, traefiks);
        }
    }
    for (auto& transition : alerts_.transitions) {
        look_into(transition.now, snapshot, ledger, traefiks);
        spdlog::log(transition.now.state == judge::State::firing ? spdlog::level::warn : spdlog::level::info, "{}",
                    judge::sentence(transition, rule_of(transition.now).rule));
    }
}

measure::Ratios Judgement::ratios_of(const judge::CompiledRule& rule, const attribute::Catalogue& catalogue,
                                     Time at) const {
    auto ratios = judge::evaluate(rule, window_, at);
    return rule.rule.share == judge::Share::codes ? ratios : unserved_.ratios(rule.rule, catalogue, ratios);
}

/// Says what is behind it.
void Judgement::look_into(judge::Alert& alert, const poll::Snapshot& snapshot, const attribute::Ledger& ledger,
                          const attribute::TraefikNames& traefiks) const {
    alert.worst = worst_of(alert, snapshot, ledger);
    const auto outage = outages_.find(alert.backend);
    alert.outage = outage == outages_.end() ? std::string() : outage->second;
    alert.traefik = attribute::name_of(traefiks, alert.backend.zone);
}

/// Among the servers that it alone lists, and those that it shares where routes tell what is its.
std::optional<judge::Worst> Judgement::worst_of(const judge::Alert& alert, const poll::Snapshot& snapshot,
                                                const attribute::Ledger& ledger) const {
    const auto& rule = rule_of(alert);
    const auto& catalogue = *ledger.state().catalogue;
    if (rule.rule.share != judge::Share::codes) {
        return unserved_.worst(rule.rule, catalogue, alert.backend);
    }
    const auto own = judge::worst(past_.begin(), snapshot, attribute::servers_of(catalogue, alert.backend), rule.codes);
    const auto routed = routed_->find(alert.backend);
    const auto shared = routed == routed_->end() ? std::nullopt : judge::worst(routed->second, rule.codes);
    return shared && shared->count > (own ? own->count : 0) ? shared : own;
}

void Judgement::explain(const history::View& history, const attribute::Owners& owners,
                        const attribute::Catalogue& catalogue, const attribute::TraefikNames& traefiks,
                        const poll::Snapshot& snapshot) {
    constexpr std::size_t most = 100;
    std::set<attribute::BackendName> loud;
    for (const auto& alert : alerts_.alerts) {
        if (alert.state != judge::State::inactive && loud.size() < most) {
            loud.insert(alert.backend);
        }
    }
    if (loud.empty()) {
        return;
    }
    const auto all = rules_ | std::views::transform(&judge::CompiledRule::rule);
    const std::vector<judge::Rule> rules(all.begin(), all.end());
    const auto streams = attribute::streams_in(catalogue);
    const judge::Evidence evidence{.now = alerts_.at,
                                   .history = history,
                                   .catalogue = catalogue,
                                   .owners = owners,
                                   .servers = snapshot.servers,
                                   .streams = streams,
                                   .before = past_.begin(),
                                   .routed = *routed_,
                                   .alerts = alerts_,
                                   .outages = outages_,
                                   .rules = rules,
                                   .traefiks = traefiks};
    std::map<attribute::BackendName, std::string> sentences;
    for (auto& diagnosis : judge::Diagnoser(evidence).of_all(loud)) {
        sentences.emplace(diagnosis.backend, std::move(diagnosis.sentence));
    }
    for (auto& alert : alerts_.alerts) {
        if (const auto said = sentences.find(alert.backend);
            said != sentences.end() && alert.state != judge::State::inactive) {
            alert.explanation = said->second;
        }
    }
}

poll::Codes Judgement::codes() const {
    poll::Codes all;
    for (const auto& rule : rules_) {
        for (std::uint16_t code = 100; rule.rule.share == judge::Share::codes && code < all.size(); ++code) {
            all[code] = all[code] || rule.codes.matches(code);
        }
    }
    return all;
}

bool Judgement::judges_client_errors() const {
    return rules_.front().rule.codes == client_error_rule_.rule.codes;
}

const measure::Ratios& Judgement::client_errors() const {
    return judges_client_errors() ? ratios_.at(rules_.front().rule.name) : client_errors_;
}

const judge::CompiledRule& Judgement::rule_of(const judge::Alert& alert) const {
    return *std::ranges::find(rules_, alert.rule, [](const judge::CompiledRule& one) { return one.rule.name; });
}

}  // namespace upstat::agent
