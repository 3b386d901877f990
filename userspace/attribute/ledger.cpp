// SPDX-License-Identifier: Apache-2.0
#include "attribute/ledger.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace upstat {

namespace {

/// How long a server stays out of the `unmapped` series: the catalogue is often a poll behind a new server, and what is
/// once in `unmapped` can never leave it again.
constexpr Millis hold_back = std::chrono::minutes(1);

constexpr std::uint16_t switching_protocols = 101;

Series series_of(const Answer& answer) {
    return {.code = answer.code,
            .method = answer.method,
            .protocol = answer.code == switching_protocols ? Protocol::websocket : Protocol::http};
}

std::uint64_t minus(std::uint64_t from, std::uint64_t what) {
    return from > what ? from - what : 0;
}

template <typename Key>
std::map<Key, std::uint64_t> minus(std::map<Key, std::uint64_t> from, const std::map<Key, std::uint64_t>& what) {
    for (const auto& [key, count] : what) {
        if (const auto found = from.find(key); found != from.end()) {
            found->second = minus(found->second, count);
        }
    }
    return from;
}

template <typename Key>
void add(std::map<Key, std::uint64_t>& to, const std::map<Key, std::uint64_t>& what) {
    for (const auto& [key, count] : what) {
        to[key] += count;
    }
}

ServerTotals minus(const ServerTotals& from, const ServerTotals& what) {
    return {.requests = minus(from.requests, what.requests),
            .connects = minus(from.connects, what.connects),
            .answers = minus(from.answers, what.answers),
            .unanswered = minus(from.unanswered, what.unanswered),
            .unread = minus(from.unread, what.unread),
            .connect_failures = minus(from.connect_failures, what.connect_failures)};
}

void add(ServerTotals& to, const ServerTotals& what) {
    to.requests += what.requests;
    to.connects += what.connects;
    add(to.answers, what.answers);
    add(to.unanswered, what.unanswered);
    add(to.unread, what.unread);
    add(to.connect_failures, what.connect_failures);
}

/// Without the requests that still wait for an answer. They are folded when it comes: were they folded before it, and
/// the server listed in between, `unmapped` would show them outstanding for ever and the server fewer than none.
ServerTotals settled(ServerTotals totals) {
    totals.requests = std::min(totals.requests, totals.answered() + totals.unanswered_sum());
    return totals;
}

std::map<Server, std::set<std::string>> owners_in(const Catalogue& catalogue) {
    std::map<Server, std::set<std::string>> owners;
    for (const auto& [name, backend] : catalogue.backends) {
        for (const auto& listed : backend.listed) {
            for (const auto& server : listed.servers) {
                owners[server].insert(name);
            }
        }
    }
    return owners;
}

}  // namespace

Counts Ledger::absorb(const Snapshot& snapshot, const Catalogue& catalogue) {
    if (catalogue != catalogue_) {
        learn(catalogue);
    }
    for (const auto& [server, totals] : snapshot.servers) {
        const auto counts = increments(server, totals);
        if (const auto owners = owners_.find(server); owners != owners_.end()) {
            give(owners->second, counts);
        } else {
            add(unclaimed_[server], counts);
            fold(server, totals, snapshot.at);
        }
    }
    Counts result{.at = snapshot.at, .backends = {}};
    for (const auto& [name, backend] : catalogue_.backends) {
        result.backends.emplace(name, backends_[name]);
    }
    return result;
}

void Ledger::learn(const Catalogue& catalogue) {
    catalogue_ = catalogue;
    for (auto& [server, names] : owners_in(catalogue)) {
        // A new server is often used before the poll that first sees it listed: that traffic is its first owner's.
        if (const auto waiting = unclaimed_.extract(server)) {
            give(names, waiting.mapped());
        }
        unknown_since_.erase(server);
        owners_[server] = std::move(names);
    }
}

void Ledger::give(const std::set<std::string>& owners, const SeriesCounts& counts) {
    for (const auto& owner : owners) {
        add(backends_[owner], counts);
    }
}

SeriesCounts Ledger::increments(const Server& server, const ServerTotals& totals) {
    auto& last = last_[server];
    const auto went_back = [&](const auto& entry) {
        const auto before = last.answers.find(entry.first);
        return before != last.answers.end() && entry.second < before->second;
    };
    if (totals.requests < last.requests || std::ranges::any_of(totals.answers, went_back)) {
        last = {};
        folded_.erase(server);
    }
    SeriesCounts counts;
    for (const auto& [answer, count] : totals.answers) {
        auto& before = last.answers[answer];
        counts[series_of(answer)] += count - before;
        before = count;
    }
    last.requests = totals.requests;
    return counts;
}

void Ledger::fold(const Server& server, const ServerTotals& totals, Time at) {
    const auto since = unknown_since_.try_emplace(server, at).first->second;
    if (at - since < hold_back) {
        return;
    }
    const auto now = settled(totals);
    auto& before = folded_[server];
    add(unmapped_, minus(now, before));
    before = now;
}

ServerView Ledger::view(const Snapshot& snapshot) const {
    ServerView view{.servers = {}, .unmapped = unmapped_};
    for (const auto& [server, totals] : snapshot.servers) {
        if (owners_.contains(server)) {
            const auto part = folded_.find(server);
            view.servers.emplace(server, part == folded_.end() ? totals : minus(totals, part->second));
        }
    }
    for (const auto& [name, backend] : catalogue_.backends) {
        for (const auto& listed : backend.listed) {
            for (const auto& server : listed.servers) {
                view.servers.try_emplace(server);
            }
        }
    }
    return view;
}

void Ledger::maps_made_anew() {
    last_.clear();
    folded_.clear();
}

// --- saved and restored ---

namespace {

using nlohmann::json;

struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

std::uint64_t number(const json& value) {
    return value.is_number_unsigned() ? value.get<std::uint64_t>() : throw Wrong("a count is not a number");
}

// Flat arrays of numbers, since a big host has a hundred thousand of them and they are saved at each poll.

void put(json::array_t& to, const Answer& answer, std::uint64_t count) {
    to.emplace_back(answer.code);
    to.emplace_back(std::to_underlying(answer.method));
    to.emplace_back(count);
}

void put(json::array_t& to, const Series& series, std::uint64_t count) {
    to.emplace_back(series.code);
    to.emplace_back(std::to_underlying(series.method));
    to.emplace_back(std::to_underlying(series.protocol));
    to.emplace_back(count);
}

template <typename Key>
json flat(const std::map<Key, std::uint64_t>& counts) {
    constexpr std::size_t widest = 4;
    json::array_t array;
    array.reserve(counts.size() * widest);
    for (const auto& [key, count] : counts) {
        put(array, key, count);
    }
    return array;
}

Answer answer_from(const json& array, std::size_t at) {
    const auto code = number(array.at(at));
    const auto method = number(array.at(at + 1));
    if (code > 599 || method > std::to_underlying(Method::patch)) {
        throw Wrong("a series is none");
    }
    return {.code = static_cast<std::uint16_t>(code), .method = static_cast<Method>(method)};
}

std::map<Answer, std::uint64_t> answers_from(const json& array) {
    std::map<Answer, std::uint64_t> answers;
    for (std::size_t at = 0; at < array.size(); at += 3) {
        answers[answer_from(array, at)] = number(array.at(at + 2));
    }
    return answers;
}

SeriesCounts series_from(const json& array) {
    SeriesCounts counts;
    for (std::size_t at = 0; at < array.size(); at += 4) {
        const auto answer = answer_from(array, at);
        const auto protocol = number(array.at(at + 2)) == 0 ? Protocol::http : Protocol::websocket;
        counts[{.code = answer.code, .method = answer.method, .protocol = protocol}] = number(array.at(at + 3));
    }
    return counts;
}

std::map<std::string, std::uint64_t> reasons_from(const json& object) {
    std::map<std::string, std::uint64_t> counts;
    for (const auto& [reason, count] : object.items()) {
        counts[reason] = number(count);
    }
    return counts;
}

json saved(const ServerTotals& totals) {
    return {{"requests", totals.requests},     {"connects", totals.connects},
            {"answers", flat(totals.answers)}, {"unanswered", totals.unanswered},
            {"unread", totals.unread},         {"connect_failures", totals.connect_failures}};
}

ServerTotals totals_from(const json& object) {
    return {.requests = number(object.at("requests")),
            .connects = number(object.at("connects")),
            .answers = answers_from(object.at("answers")),
            .unanswered = reasons_from(object.at("unanswered")),
            .unread = reasons_from(object.at("unread")),
            .connect_failures = reasons_from(object.at("connect_failures"))};
}

Server server_from(const std::string& text) {
    const auto server = parse_server(text);
    return server ? *server : throw Wrong("'" + text + "' is no server");
}

json saved(const Catalogue& catalogue) {
    auto object = json::object();
    for (const auto& [name, backend] : catalogue.backends) {
        auto listed = json::array();
        for (const auto& one : backend.listed) {
            auto servers = json::array();
            for (const auto& server : one.servers) {
                servers.push_back(to_string(server));
            }
            listed.push_back({{"url", one.url}, {"up", one.up}, {"servers", std::move(servers)}});
        }
        object[name] = {{"provider", backend.provider}, {"listed", std::move(listed)}};
    }
    return object;
}

Catalogue catalogue_from(const json& object) {
    Catalogue catalogue;
    for (const auto& [name, described] : object.items()) {
        Backend backend{.provider = described.at("provider").get<std::string>(), .listed = {}};
        for (const auto& one : described.at("listed")) {
            Listed listed{.url = one.at("url").get<std::string>(), .up = one.at("up").get<bool>(), .servers = {}};
            for (const auto& server : one.at("servers")) {
                listed.servers.insert(server_from(server.get<std::string>()));
            }
            backend.listed.push_back(std::move(listed));
        }
        catalogue.backends.emplace(name, std::move(backend));
    }
    return catalogue;
}

/// A map by server as an object by its text.
template <typename Value, typename Save>
json by_server(const std::map<Server, Value>& values, Save save) {
    auto object = json::object();
    for (const auto& [server, value] : values) {
        object[to_string(server)] = save(value);
    }
    return object;
}

template <typename Value, typename Parse>
std::map<Server, Value> from_servers(const json& object, Parse parse) {
    std::map<Server, Value> values;
    for (const auto& [server, value] : object.items()) {
        values.emplace(server_from(server), parse(value));
    }
    return values;
}

}  // namespace

json Ledger::to_json() const {
    auto backends = json::object();
    for (const auto& [name, counts] : backends_) {
        backends[name] = flat(counts);
    }
    return {{"backends", std::move(backends)},
            {"catalogue", saved(catalogue_)},
            {"owners", by_server(owners_, [](const auto& names) { return json(names); })},
            {"last", by_server(last_,
                               [](const Last& last) {
                                   json::array_t pair;
                                   pair.reserve(2);
                                   pair.emplace_back(last.requests);
                                   pair.push_back(flat(last.answers));
                                   return json(std::move(pair));
                               })},
            {"unclaimed", by_server(unclaimed_, [](const SeriesCounts& counts) { return flat(counts); })},
            {"unknown_since", by_server(unknown_since_, [](Time at) { return json(at.time_since_epoch().count()); })},
            {"folded", by_server(folded_, [](const ServerTotals& totals) { return saved(totals); })},
            {"unmapped", saved(unmapped_)}};
}

Ledger Ledger::parsed(const json& saved) {
    Ledger ledger;
    for (const auto& [name, counts] : saved.at("backends").items()) {
        ledger.backends_.emplace(name, series_from(counts));
    }
    ledger.catalogue_ = catalogue_from(saved.at("catalogue"));
    ledger.owners_ = from_servers<std::set<std::string>>(
        saved.at("owners"), [](const json& names) { return names.get<std::set<std::string>>(); });
    ledger.last_ = from_servers<Last>(saved.at("last"), [](const json& last) {
        return Last{.requests = number(last.at(0)), .answers = answers_from(last.at(1))};
    });
    ledger.unclaimed_ = from_servers<SeriesCounts>(saved.at("unclaimed"), series_from);
    ledger.unknown_since_ = from_servers<Time>(saved.at("unknown_since"),
                                               [](const json& at) { return Time(Millis(at.get<Millis::rep>())); });
    ledger.folded_ = from_servers<ServerTotals>(saved.at("folded"), totals_from);
    ledger.unmapped_ = totals_from(saved.at("unmapped"));
    return ledger;
}

Result<Ledger> Ledger::from_json(const json& saved) {
    try {
        return parsed(saved);
    } catch (const std::exception& error) {
        return fail(Error::Kind::runtime, error.what());
    }
}

}  // namespace upstat
