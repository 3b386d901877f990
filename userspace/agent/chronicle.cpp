// SPDX-License-Identifier: Apache-2.0
#include "agent/chronicle.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/version.hpp"
#include "judge/sentence.hpp"

namespace upstat::agent {

namespace {

history::Event event(Moment at, std::string kind, std::string what, std::string text,
                     attribute::BackendName backend = {}) {
    return {.at = at,
            .kind = std::move(kind),
            .what = std::move(what),
            .backend = std::move(backend),
            .text = std::move(text)};
}

}  // namespace

std::string Chronicle::restore(Time now, attribute::SharedCatalogue catalogue) {
    catalogue_ = std::move(catalogue);
    auto restored = file_.load(now);
    history_ = std::move(restored.history);
    saved_events_ = history_.noted();
    return std::move(restored.note);
}

void Chronicle::save(Time now, bool at_once) {
    const auto saved = file_.save(history_, now, at_once || history_.noted() != saved_events_);
    saved_events_ = history_.noted();
    const auto problem = saved ? std::string() : saved.error().text();
    if (problem != problem_ && !problem.empty()) {
        spdlog::error("{}: a restart would begin the history anew", problem);
    }
    problem_ = problem;
}

void Chronicle::add(Moment at, const attribute::LedgerState& ledger, const poll::Snapshot& snapshot,
                    const PollNews& news) {
    if (!traefiks_) {
        note_start(at);
    }
    history_.add(at, ledger.backends, snapshot.servers);
    if (catalogue_ != ledger.catalogue || !owners_known_) {
        if (!catalogue_->backends.empty()) {
            history_.note(history::changes(*catalogue_, *ledger.catalogue, at));
        }
        owners_ = std::make_shared<const attribute::Owners>(ledger.owners);
        owners_known_ = true;
        catalogue_ = ledger.catalogue;
    }
    note_traefiks(at, news.traefiks);
    note_alerts(at, news);
}

void Chronicle::note_start(Moment at) {
    const auto last = history_.view().at;
    history_.note(
        event(at, "agent", "started",
              last == Moment()
                  ? fmt::format("upstat {} begins its history", upstat::version())
                  : fmt::format("upstat {} goes on; its last poll was {} before", upstat::version(),
                                judge::duration_text(std::chrono::floor<std::chrono::seconds>(at.at - last.at)))));
}

void Chronicle::note_traefiks(Moment at, const std::vector<Watched>& watched) {
    std::set<int> now;
    for (const auto& one : watched) {
        now.insert(one.traefik.pid);
        if (traefiks_ && !traefiks_->contains(one.traefik.pid)) {
            history_.note(event(at, "traefik", "found",
                                fmt::format("a Traefik is found: pid {} in {}", one.traefik.pid, one.traefik.cgroup)));
        }
    }
    for (const auto pid : traefiks_.value_or(std::set<int>())) {
        if (!now.contains(pid)) {
            history_.note(event(at, "traefik", "ended", fmt::format("the Traefik with pid {} has ended", pid)));
        }
    }
    traefiks_ = std::move(now);
}

void Chronicle::note_alerts(Moment at, const PollNews& news) {
    for (const auto& transition : news.alerts.transitions) {
        const auto rule = std::ranges::find(news.rules, transition.now.rule, &judge::Rule::name);
        if (rule != news.rules.end()) {
            history_.note(event(at, "alert", std::string(to_string(transition.now.state)),
                                judge::sentence(transition, *rule), transition.now.backend));
        }
    }
}

void Chronicle::note_reload(Moment at, const std::string& problem) {
    history_.note(problem.empty()
                      ? event(at, "reload", "taken", "the settings were read again")
                      : event(at, "reload", "refused", "the settings were read again and refused: " + problem));
}

}  // namespace upstat::agent
