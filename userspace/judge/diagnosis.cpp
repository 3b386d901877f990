// SPDX-License-Identifier: Apache-2.0
#include "judge/diagnosis.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <ranges>
#include <tuple>
#include <utility>

#include "history/read.hpp"
#include "judge/facts.hpp"
#include "judge/rule.hpp"

namespace upstat::judge {

namespace {

using history::Amounts;
using history::Event;

constexpr Millis hour = std::chrono::hours(1);
constexpr auto other_codes = "5..";  ///< are bad where no alert is loud: those of 4xx have a rule, and are often right

const Rule& rule_named(const std::vector<Rule>& rules, const std::string& name) {
    const auto found = std::ranges::find(rules, name, &Rule::name);
    return found == rules.end() ? rules.front() : *found;
}

bool is_worse(const Alert* one, const Alert* other) {
    return std::pair(one->state, one->percent.value_or(0)) > std::pair(other->state, other->percent.value_or(0));
}

std::set<int> classes_of(const measure::CodeSet& codes) {
    std::set<int> classes;
    for (std::uint16_t code = 100; code < 1000; ++code) {
        if (codes.matches(code)) {
            classes.insert(code / 100);
        }
    }
    return classes;
}

/// What each code and method has grown by.
poll::ResponseCounts grown_since(const ResponsesByServer& before, const poll::Server& server,
                                 const poll::ResponseCounts& now) {
    const auto found = before.find(server);
    return found == before.end() ? now : grown(found->second, now);
}

Amounts amounts_of(const poll::ResponseCounts& responses) {
    Amounts amounts{};
    for (const auto& [key, count] : responses) {
        amounts.at(static_cast<std::size_t>((key.code / 100) - 1)) += count;
    }
    return amounts;
}

/// When a stretch of bad columns began that goes on to the newest one. A stretch ends where enough responses in a row
/// were mostly well; columns without any tell nothing.
std::optional<Time> onset(const std::vector<history::SharedColumn>& columns, const std::vector<Amounts>& rows,
                          double level, auto&& bad_of, auto&& all_of) {
    constexpr std::uint64_t enough = 10;
    std::optional<Time> since;
    std::uint64_t bad = 0;
    std::uint64_t all = 0;
    for (std::size_t i = rows.size(); i-- != 0;) {
        bad += bad_of(rows[i]);
        all += all_of(rows[i]);
        if (bad != 0 && static_cast<double>(bad) >= level * static_cast<double>(all)) {
            since = columns[i]->begin;
            bad = all = 0;
        } else if (all >= enough) {
            break;
        }
    }
    return since;
}

/// Those that are about one backend or about none.
std::vector<Event> events_about(const history::View& view, const attribute::BackendName& backend) {
    std::vector<Event> events;
    std::ranges::copy_if(*view.events, std::back_inserter(events),
                         [&](const Event& event) { return event.backend.name.empty() || event.backend == backend; });
    return events;
}

void find_onset_of_responses(Case& is, const history::View& view, const std::vector<Amounts>& rows) {
    const auto all = sum_of(is.servers);
    const auto responses = history::responses_in(all);
    if (responses == 0) {
        return;
    }
    const double level = static_cast<double>(bad_responses(is, all)) / static_cast<double>(responses) / 2;
    is.since = onset(
        view.columns, rows, level, [&](const Amounts& row) { return bad_responses(is, row); },
        [](const Amounts& row) { return history::responses_in(row); });
}

bool is_about_failures(const Case& is) {
    return is.cause == Cause::connect_failures || is.cause == Cause::unanswered || is.cause == Cause::client_cancelled;
}

/// The servers whose past tells when failures began: some of the culprits, or of all where none is one.
std::vector<poll::Server> failing_servers(const Case& is) {
    constexpr std::size_t most = 3;
    std::vector<poll::Server> servers;
    const bool blamed = !culprits(is).empty();
    for (const auto& server : is.servers) {
        if (servers.size() < most && (server.culprit || !blamed)) {
            servers.push_back(server.server);
        }
    }
    return servers;
}

void find_onset_of_failures(Case& is, const history::View& view, const history::ServerRows& of_servers) {
    std::vector<Amounts> rows(view.columns.size());
    for (const auto& server : failing_servers(is)) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            history::add(rows[i], of_servers.at(server)[i]);
        }
    }
    const auto failed = [](const Amounts& row) {
        return history::sum_of(row, "connect_failures") + failed_requests(row) + given_up(row);
    };
    constexpr double some = 0.01;
    is.since = onset(view.columns, rows, some, failed, [&](const Amounts& row) {
        return failed(row) + history::responses_in(row) + history::connects_in(row);
    });
}

/// For how long a backend has given no response, as far as is remembered.
Millis silence(const history::View& view, const std::vector<Amounts>& rows) {
    for (std::size_t i = rows.size(); i-- != 0;) {
        if (history::responses_in(rows[i]) != 0) {
            return view.at.at - view.columns[i]->end;
        }
    }
    return {};
}

}  // namespace

std::string_view to_string(Cause cause) {
    constexpr std::array<std::string_view, 14> names{
        "well",         "no_traffic",    "one_server",       "some_servers",     "all_servers",
        "new_servers",  "unauthorized",  "rate_limited",     "connect_failures", "unanswered",
        "servers_down", "some_requests", "client_cancelled", "unreadable"};
    return names.at(static_cast<std::size_t>(cause));
}

std::string_view to_string(Severity severity) {
    constexpr std::array<std::string_view, 5> names{"well", "notice", "pending", "firing", "outage"};
    return names.at(static_cast<std::size_t>(severity));
}

Diagnoser::Diagnoser(const Evidence& evidence) : evidence_(&evidence) {
    const auto now = evidence.now.at;
    const auto window = evidence.rules.front().window;
    in_window_ = history::server_sums(evidence.history, {.from = now - window});
    in_hour_ = history::backend_sums(evidence.history, {.from = now - window - hour, .to = now - window});
    codes_.emplace(other_codes, measure::CodeSet::compile(other_codes).value());
    for (const auto& alert : evidence.alerts.alerts) {
        if (alert.state != State::inactive) {
            loud_[alert.backend].push_back(&alert);
        }
    }
    for (const auto& rule : evidence.rules) {
        if (auto codes = measure::CodeSet::compile(rule.codes)) {
            codes_.emplace(rule.codes, *std::move(codes));
        }
    }
    for (const auto& [server, names] : evidence.owners) {
        for (const auto& name : names) {
            servers_[{name, server.zone}].insert(server);
        }
    }
}

ServerCase Diagnoser::server_case(const poll::Server& server) const {
    ServerCase is{.server = server, .label = to_string(server)};
    if (const auto counts = in_window_.find(server); counts != in_window_.end()) {
        is.counts = counts->second;
    }
    if (const auto totals = evidence_->servers.find(server); totals != evidence_->servers.end()) {
        is.waiting = totals->second.outstanding();
        is.grown = grown_since(evidence_->before, server, totals->second.responses);
    }
    if (const auto owners = evidence_->owners.find(server); owners != evidence_->owners.end()) {
        is.backends.assign(owners->second.begin(), owners->second.end());
    }
    return is;
}

Case Diagnoser::open(const attribute::BackendName& backend) const {
    Case is{.backend = backend,
            .traefik = attribute::name_of(evidence_->traefiks, backend.zone),
            .now = evidence_->now,
            .window = evidence_->rules.front().window};
    if (const auto loud = loud_.find(backend); loud != loud_.end()) {
        is.alerts = loud->second;
        std::ranges::sort(is.alerts, is_worse);
        for (const auto* const alert : is.alerts) {  // of responses: those without one are looked at in any case
            const auto& rule = rule_named(evidence_->rules, alert->rule);
            is.rule = is.rule == nullptr && rule.share == Share::codes ? &rule : is.rule;
        }
    }
    is.bad =
        &codes_.find(is.rule == nullptr ? std::string_view(other_codes) : std::string_view(is.rule->codes))->second;
    is.bad_classes = classes_of(*is.bad);
    if (const auto outage = evidence_->outages.find(backend); outage != evidence_->outages.end()) {
        is.outage = outage->second;
    }
    if (const auto before = in_hour_.find(backend); before != in_hour_.end()) {
        is.before = before->second;
    }
    is.before_length =
        history::length_of(evidence_->history, {.from = is.now.at - is.window - hour, .to = is.now.at - is.window});
    add_servers(is);
    if (!is.alerts.empty()) {
        add_shared_servers(is);
    }
    return is;
}

/// The servers that it shares with others, with what came to them by its routes. Their other counts are nobody's in
/// particular.
void Diagnoser::add_shared_servers(Case& is) const {
    const auto found = evidence_->routed.find(is.backend);
    if (found == evidence_->routed.end()) {
        return;
    }
    for (const auto& [server, responses] : found->second) {
        if (const auto counts = amounts_of(responses); counts != Amounts{}) {
            auto one = server_case(server);
            one.counts = counts;
            one.grown = responses;
            one.waiting = 0;
            is.servers.push_back(std::move(one));
        }
    }
}

void Diagnoser::add_servers(Case& is) const {
    std::map<poll::Server, bool> listed;
    if (const auto found = evidence_->catalogue.backends.find(is.backend);
        found != evidence_->catalogue.backends.end()) {
        for (const auto& one : found->second.listed) {
            for (const auto& server : one.servers) {
                listed[server] = one.up;
            }
        }
    }
    auto all = servers_.contains(is.backend) ? servers_.at(is.backend) : std::set<poll::Server>();
    for (const auto& server : listed | std::views::keys) {
        all.insert(server);
    }
    for (const auto& server : all) {
        auto one = server_case(server);
        const auto found = listed.find(server);
        one.listed = found != listed.end();
        one.up = !one.listed || found->second;
        if (one.listed || one.counts != Amounts{}) {
            is.servers.push_back(std::move(one));
        }
    }
}

/// The servers that no backend lists and that fail: an authentication server, for one.
Case Diagnoser::open_unlisted() const {
    Case is{.backend = {}, .now = evidence_->now, .window = evidence_->rules.front().window};
    is.bad = &codes_.find(other_codes)->second;
    is.bad_classes = classes_of(*is.bad);
    for (const auto& [server, counts] : in_window_) {
        if (fails_much(counts) && !evidence_->owners.contains(server) &&
            !std::ranges::binary_search(evidence_->streams, server)) {
            is.servers.push_back(server_case(server));
            is.servers.back().culprit = true;
            if (const auto traefik = attribute::name_of(evidence_->traefiks, server.zone); !traefik.empty()) {
                is.servers.back().label += " of " + traefik;
            }
        }
    }
    if (!is.servers.empty()) {
        is.cause = Cause::connect_failures;
        is.severity = Severity::notice;
    }
    return is;
}

/// Where a sentence may be worth it: a look at the window alone.
bool Diagnoser::is_suspect(Case is) const {
    constexpr std::uint64_t enough = 20;
    const bool deserted = history::responses_in(sum_of(is.servers)) == 0 && history::responses_in(is.before) >= enough;
    find_cause(is, {});
    return is.cause != Cause::well || deserted;
}

void Diagnoser::find(Case& is, const std::vector<Amounts>& rows, const std::vector<Event>& events) const {
    const auto& view = evidence_->history;
    if (history::responses_in(sum_of(is.servers)) == 0) {
        is.silent = silence(view, rows);
        if (const auto unlisted = open_unlisted(); unlisted.cause != Cause::well) {
            is.failing_elsewhere = sentence(unlisted);
        }
    }
    find_onset_of_responses(is, view, rows);
    find_cause(is, events);
    if (is.cause == Cause::no_traffic) {
        is.since = is.now.at - is.silent;
    } else if (is.cause == Cause::servers_down || is.cause == Cause::unreadable) {
        is.since.reset();
    }
}

/// The past is read once for all of them.
std::vector<Diagnosis> Diagnoser::look_into(std::vector<Case> cases) const {
    const auto& view = evidence_->history;
    std::set<attribute::BackendName> backends;
    for (const auto& is : cases) {
        backends.insert(is.backend);
    }
    const auto rows = history::backend_rows(view, backends);
    std::set<poll::Server> servers;
    for (auto& is : cases) {
        if (!is.backend.name.empty()) {
            find(is, rows.at(is.backend), events_about(view, is.backend));
        }
        if (is_about_failures(is)) {
            std::ranges::move(failing_servers(is), std::inserter(servers, servers.end()));
        }
    }
    const auto of_servers = history::server_rows(view, servers);
    std::vector<Diagnosis> found;
    for (auto& is : cases) {
        if (is_about_failures(is)) {
            find_onset_of_failures(is, view, of_servers);
        }
        found.push_back(write(is, events_about(view, is.backend)));
    }
    return found;
}

Diagnosis Diagnoser::write(const Case& is, const std::vector<Event>& events) const {
    Diagnosis out{.backend = is.backend,
                  .severity = is.severity,
                  .cause = is.cause,
                  .sentence = sentence(is),
                  .since = is.cause == Cause::well ? std::nullopt : is.since,
                  .servers = {},
                  .facts = facts_of(is, events, evidence_->alerts),
                  .next = steps_of(is)};
    for (const auto* const server : culprits(is)) {
        out.servers.push_back(server->server);
    }
    return out;
}

Diagnosis Diagnoser::of(const attribute::BackendName& backend) const {
    return look_into({open(backend)}).front();
}

std::vector<Diagnosis> Diagnoser::of_all(const std::set<attribute::BackendName>& backends) const {
    std::vector<Case> cases;
    std::ranges::transform(backends, std::back_inserter(cases), [this](const auto& backend) { return open(backend); });
    return look_into(std::move(cases));
}

std::vector<Diagnosis> Diagnoser::problems(std::size_t most) const {
    std::vector<Case> suspects;
    for (const auto& name : evidence_->catalogue.backends | std::views::keys) {
        if (auto is = open(name); is_suspect(is)) {
            suspects.push_back(std::move(is));
        }
    }
    if (auto unlisted = open_unlisted(); unlisted.cause != Cause::well) {
        suspects.push_back(std::move(unlisted));
    }
    std::ranges::stable_sort(suspects, std::ranges::greater(), [](const Case& is) {
        return std::tuple(is.outage.empty() ? 0 : 1, is.alerts.size(), bad_responses(is, sum_of(is.servers)));
    });
    suspects.resize(std::min(suspects.size(), most));
    auto problems = look_into(std::move(suspects));
    std::erase_if(problems, [](const Diagnosis& one) { return one.cause == Cause::well; });
    std::ranges::stable_sort(problems, std::ranges::greater(), &Diagnosis::severity);
    return problems;
}

}  // namespace upstat::judge
