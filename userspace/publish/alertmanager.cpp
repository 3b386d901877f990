// SPDX-License-Identifier: Apache-2.0
#include "publish/alertmanager.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ranges>
#include <set>

#include "base/json_text.hpp"
#include "base/url.hpp"
#include "judge/judge.hpp"
#include "judge/sentence.hpp"
#include "publish/text.hpp"

namespace upstat::publish {

namespace {

using nlohmann::json;

/// Of the built-in rule; what others have, if any, is theirs.
constexpr std::string_view runbook =
    "https://github.com/srerun/prometheus-alerts/blob/main/content/runbooks/embedded-exporter-v1/"
    "TraefikHighHttp4xxErrorRateBackend.md";

/// "4.." reads as 4xx; other expressions stand as they are.
std::string class_of(const std::string& codes) {
    const auto simple = [](char byte) { return byte == '.' || (byte >= '0' && byte <= '9'); };
    if (codes.empty() || !std::ranges::all_of(codes, simple)) {
        return codes;
    }
    auto text = codes;
    std::ranges::replace(text, '.', 'x');
    return text;
}

std::string percent(double value) {
    return fmt::format("{:.2f}", value);
}

std::string value_of(const judge::Alert& alert) {
    return alert.percent && std::isfinite(*alert.percent) ? percent(*alert.percent) + "%"
           : alert.outage.empty()                         ? "unknown (no traffic)"
                                                          : "unknown (" + alert.outage + ")";
}

/// `own` over `all`; what is empty there is left out.
json over(json all, const judge::Labels& own) {
    for (const auto& [name, value] : own) {
        all[name] = value;
        if (value.empty()) {
            all.erase(name);
        }
    }
    return all;
}

/// They tell alerts apart: no value that changes may be among them.
json labels(const judge::Rule& rule, const judge::Alert& alert, const std::string& instance) {
    json all = {{"alertname", alert.rule}, {"severity", rule.severity}, {"instance", instance}};
    if (say_backend(rule.names)) {
        all["backend"] = alert.backend.name;
    }
    if (say_service(rule.names)) {
        all["service"] = alert.backend.name;
    }
    if (!alert.traefik.empty()) {
        all["traefik"] = alert.traefik;
    }
    return over(std::move(all), rule.labels);
}

/// What is high, in the words of the stock rule.
std::string rate_text(const judge::Rule& rule) {
    switch (rule.share) {
        case judge::Share::codes:
            return "HTTP " + class_of(rule.codes) + " error rate";
        case judge::Share::connect_failures:
            return "connect failure rate";
        case judge::Share::unanswered:
            return "rate of requests without a response";
    }
    return {};
}

json annotations(const judge::Rule& rule, const judge::Alert& alert, const std::string& instance) {
    const auto what = rule.share == judge::Share::codes ? class_of(rule.codes) + " error rate" : rate_text(rule);
    const auto whose = noun(rule.names);
    json all = {{"summary", fmt::format("Traefik high {} {} {} (instance {}){}{}", rate_text(rule), whose,
                                        alert.backend.name, instance, alert.outage.empty() ? "" : ": ", alert.outage)},
                {"description",
                 fmt::format("Traefik {} {} is above {}%\n  VALUE = {}\n  {} = {}\n  WINDOW = {}{}{}", whose, what,
                             rule.threshold_percent, value_of(alert), say_backend(rule.names) ? "BACKEND" : "SERVICE",
                             alert.backend.name, judge::duration_text(rule.window),
                             alert.explanation.empty() ? "" : "\n  CAUSE = ", alert.explanation)},
                {"sentence", judge::sentence(alert, rule)}};
    if (alert.rule == judge::Rule{}.name) {
        all["runbook"] = runbook;
    }
    return over(std::move(all), rule.annotations);
}

/// The page that says what is known of an alert.
std::string page_of(const std::string& pages, const judge::Alert& alert) {
    const auto whose = alert.traefik.empty() ? std::string() : "&traefik=" + percent_encoded(alert.traefik);
    return fmt::format("{}{}?alert={}&backend={}{}", pages, pages.ends_with('/') ? "" : "/",
                       percent_encoded(alert.rule), percent_encoded(alert.backend.name), whose);
}

/// An Alertmanager refuses an alert that ends before it starts, which it does where the wall clock was set back since.
/// One that fires keeps its start then, one that has ended its end.
std::pair<Wall, Wall> span(Wall starts, Wall ends, bool firing) {
    return firing ? std::pair(starts, std::max(starts, ends)) : std::pair(std::min(starts, ends), ends);
}

const judge::Rule& rule_of(const std::vector<judge::Rule>& rules, const std::string& name) {
    static const judge::Rule unknown{};
    const auto found = std::ranges::find(rules, name, &judge::Rule::name);
    return found == rules.end() ? unknown : *found;
}

/// The alert as it was called before: to an Alertmanager that is another one, which would fire on beside it.
judge::Alert ended_as(judge::Alert alert, const std::string& traefik, Moment now) {
    alert.traefik = traefik;
    if (alert.state == judge::State::firing) {
        alert.resolved_at = now;
    }
    alert.state = judge::State::inactive;
    return alert;
}

}  // namespace

Result<Notifier> Notifier::make(NotifierOptions options) {
    Notifier notifier(std::move(options));
    auto seed = notifier.options_.seed;
    for (const auto& url : notifier.options_.urls) {
        auto full = receiver_url(url, "/api/v2/alerts");
        if (!full) {
            return std::unexpected(full.error());
        }
        notifier.receivers_.push_back({.url = *full,
                                       .tries = Tries("Alertmanager", url, seed++),
                                       .busy = false,
                                       .ticket = {},
                                       .sent = {},
                                       .told = {}});
    }
    return notifier;
}

/// What an Alertmanager should know of this alert; nothing while it is quiet.
std::optional<Notifier::Told> Notifier::news(const judge::Alert& alert, Time now) const {
    Told told;
    told.attempted = now;
    told.traefik = alert.traefik;
    if (alert.state == judge::State::firing) {
        told.state = judge::State::firing;
        told.since = alert.firing_since;
        return told;
    }
    if (alert.resolved_at && now - alert.resolved_at->at < judge::resolved_retention) {
        told.since = alert.resolved_at;
        return told;
    }
    return std::nullopt;
}

/// Whether the alert goes to this receiver now; then it is noted as told.
bool Notifier::choose(Receiver& receiver, const judge::Alert& alert, Time now) const {
    const Key key(alert.rule, alert.backend);
    auto wanted = news(alert, now);
    if (!wanted) {
        receiver.told.erase(key);
        return false;
    }
    auto& told = receiver.told[key];
    if (told.state != wanted->state || told.since != wanted->since || told.traefik != wanted->traefik) {
        wanted->stale = std::move(told.stale);
        if (told.since && (told.state == judge::State::firing || !told.delivered)) {
            wanted->stale.insert(told.traefik);
        }
        wanted->stale.erase(wanted->traefik);
        told = *std::move(wanted);
        return true;
    }
    const bool again = !told.delivered || now - told.attempted >= options_.resend;
    if (again) {
        told.attempted = now;
    }
    return again;
}

std::string Notifier::body(const std::vector<judge::Alert>& alerts, Wall now) const {
    auto out = json::array();
    for (const auto& alert : alerts) {
        const auto& rule = rule_of(options_.rules, alert.rule);
        const bool firing = alert.state == judge::State::firing;
        const auto fired = fired_.find({alert.rule, alert.backend});
        const auto ends = firing ? now + 4 * std::max(options_.evaluation, options_.resend) : alert.resolved_at->wall;
        const auto [from, until] = span(fired == fired_.end() ? ends : fired->second.wall, ends, firing);
        auto said = alert;  // one that is pending anew is told as resolved until it fires
        said.state = firing ? judge::State::firing : judge::State::inactive;
        json one = {{"labels", labels(rule, alert, options_.instance)},
                    {"annotations", annotations(rule, said, options_.instance)},
                    {"startsAt", rfc3339(from)},
                    {"endsAt", rfc3339(until)}};
        if (!options_.generator_url.empty()) {
            one["generatorURL"] = page_of(options_.generator_url, alert);
        }
        out.push_back(std::move(one));
    }
    return json_text(out);
}

/// Keeps when each alert fired, because a resolved one does not tell any more; forgets the alerts that are gone.
void Notifier::remember(const judge::Alerts& alerts) {
    std::set<Key> present;
    for (const auto& alert : alerts.alerts) {
        const Key key(alert.rule, alert.backend);
        present.insert(key);
        if (alert.firing_since) {
            fired_.insert_or_assign(key, *alert.firing_since);
        } else if (!alert.resolved_at) {
            fired_.erase(key);
        }
    }
    const auto gone = [&present](const auto& entry) { return !present.contains(entry.first); };
    std::erase_if(fired_, gone);
    for (auto& receiver : receivers_) {
        std::erase_if(receiver.told, gone);
    }
}

std::vector<Notification> Notifier::due(const judge::Alerts& alerts, Moment now) {
    remember(alerts);
    std::vector<Notification> out;
    for (std::size_t i = 0; i < receivers_.size(); ++i) {
        auto& receiver = receivers_[i];
        if (receiver.busy || !receiver.tries.ready(now.at)) {
            continue;
        }
        std::vector<judge::Alert> chosen;
        receiver.sent.clear();
        for (const auto& alert : alerts.alerts) {
            if (choose(receiver, alert, now.at)) {
                const auto& sent = receiver.sent.emplace_back(alert.rule, alert.backend);
                for (const auto& traefik : receiver.told.at(sent).stale) {
                    chosen.push_back(ended_as(alert, traefik, now));
                }
                chosen.push_back(alert);
            }
        }
        if (chosen.empty()) {
            continue;
        }
        receiver.busy = true;
        Notification notification;
        notification.receiver = i;
        notification.request.method = "POST";
        notification.request.url = receiver.url;
        notification.request.headers = {"Content-Type: application/json"};
        notification.request.body = body(chosen, now.wall);
        notification.request.timeout = options_.timeout;
        notification.request.files = options_.files;
        notification.request.redirects = true;
        out.push_back(std::move(notification));
    }
    return out;
}

void Notifier::started(std::size_t receiver, std::uint64_t ticket) {
    receivers_.at(receiver).ticket = ticket;
}

std::optional<Tried> Notifier::done(const HttpDone& done, Time now) {
    const auto receiver = std::ranges::find(receivers_, std::optional(done.ticket), &Receiver::ticket);
    if (receiver == receivers_.end()) {
        return std::nullopt;
    }
    receiver->ticket.reset();
    receiver->busy = false;
    auto tried = receiver->tries.take(done.result, now);
    for (const auto& key : receiver->sent) {
        if (const auto told = receiver->told.find(key); told != receiver->told.end()) {
            told->second.delivered = tried.problem.empty();
            if (told->second.delivered) {
                told->second.stale.clear();
            }
        }
    }
    return tried;
}

std::map<std::string, Results> Notifier::results() const {
    std::map<std::string, Results> all;
    for (const auto& receiver : receivers_) {
        all[receiver.tries.url()] += receiver.tries.results();
    }
    return all;
}

void Notifier::succeed(const Notifier& previous) {
    for (auto& receiver : receivers_) {
        const auto same = std::ranges::find_if(
            previous.receivers_, [&receiver](const Receiver& one) { return one.tries.url() == receiver.tries.url(); });
        if (same != previous.receivers_.end()) {
            receiver.tries = same->tries;
        }
    }
}

}  // namespace upstat::publish
