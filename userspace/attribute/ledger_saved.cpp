// SPDX-License-Identifier: Apache-2.0
// How a ledger is saved and restored.
#include <charconv>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "attribute/ledger.hpp"
#include "base/json_text.hpp"

namespace upstat {

namespace {

using nlohmann::json;

struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

std::uint64_t number(const json& value) {
    return value.is_number_unsigned() ? value.get<std::uint64_t>() : throw Wrong("a count is not a number");
}

// Flat arrays of numbers, since a big host has a hundred thousand of them.

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

json flat(const auto& counts) {
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

Answers answers_from(const json& array) {
    Answers answers;
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

Reasons reasons_from(const json& object) {
    Reasons counts;
    for (const auto& [reason, count] : object.items()) {
        counts[reason] = number(count);
    }
    return counts;
}

json saved(const ServerTotals& totals) {
    return {{"requests", totals.requests},          {"connects", totals.connects},
            {"answers", flat(totals.answers)},      {"unanswered", json_object(totals.unanswered)},
            {"unread", json_object(totals.unread)}, {"connect_failures", json_object(totals.connect_failures)}};
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

json saved(const Backend& backend) {
    auto listed = json::array();
    for (const auto& one : backend.listed) {
        auto servers = json::array();
        for (const auto& server : one.servers) {
            servers.push_back(to_string(server));
        }
        listed.push_back({{"url", one.url}, {"up", one.up}, {"servers", std::move(servers)}});
    }
    return {{"provider", backend.provider}, {"listed", std::move(listed)}};
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

std::vector<Server> servers_of(const Catalogue& catalogue) {
    std::set<Server> servers;
    for (const auto& [name, backend] : catalogue.backends) {
        for (const auto& one : backend.listed) {
            servers.insert(one.servers.begin(), one.servers.end());
        }
    }
    return {servers.begin(), servers.end()};
}

std::string_view to_string(std::string_view name) {
    return name;
}

/// A map by names, or by servers, as an object by their texts.
void append_object(std::string& text, const auto& values, auto&& save) {
    JsonObject object(text);
    for (const auto& [key, value] : values) {
        object.add(to_string(key), save(value));
    }
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

void Ledger::append_json(std::string& text) const {
    const auto counts = [](const SeriesCounts& series) { return flat(series); };
    JsonObject ledger(text);
    append_object(ledger.member("backends"), backends_, counts);
    append_object(ledger.member("catalogue"), catalogue_->backends,
                  [](const Backend& backend) { return saved(backend); });
    append_object(ledger.member("owners"), owners_, [](const auto& names) { return json(names); });
    append_object(ledger.member("last"), last_, [](const Last& last) {
        json::array_t pair;
        pair.reserve(2);
        pair.emplace_back(last.requests);
        pair.push_back(flat(last.answers));
        return json(std::move(pair));
    });
    append_object(ledger.member("unclaimed"), unclaimed_, counts);
    append_object(ledger.member("unknown_since"), unknown_since_,
                  [](Time at) { return json(at.time_since_epoch().count()); });
    append_object(ledger.member("folded"), folded_, [](const ServerTotals& totals) { return saved(totals); });
    ledger.add("unmapped", saved(unmapped_));
}

Ledger Ledger::parsed(const json& saved) {
    Ledger ledger;
    for (const auto& [name, counts] : saved.at("backends").items()) {
        ledger.backends_.emplace(name, series_from(counts));
    }
    ledger.catalogue_ = std::make_shared<const Catalogue>(catalogue_from(saved.at("catalogue")));
    ledger.listed_ = servers_of(*ledger.catalogue_);
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

// --- what a poll changes ---

namespace {

/// In place of the last element's comma, if there is an element.
void close_list(std::string& to) {
    if (to.back() == ',') {
        to.pop_back();
    }
    to += ']';
}

constexpr std::size_t most_digits = 20;
/// `200,1,12345,`
constexpr std::size_t longest_answer = 3 * (most_digits + 1);

/// A number and a comma, where there is room for them.
char* put(char* to, std::uint64_t number) {
    to = std::to_chars(to, to + most_digits, number).ptr;
    *to++ = ',';
    return to;
}

char* put_grown(char* to, const Answers& now, const Answers& before) {
    Ascending known(before);
    for (const auto& [answer, count] : now) {
        if (const auto* const last = known.find(answer); last == nullptr || *last != count) {
            to = put(put(put(to, answer.code), std::to_underlying(answer.method)), count);
        }
    }
    return to;
}

/// `"10.0.0.1:80",12,[200,1,10],`: requests and those answers that grew.
void append_growth(std::string& text, const Server& server, const ServerTotals& totals, const Answers& before) {
    text.append("\"").append(to_string(server)).append("\",");
    const auto size = text.size();
    const auto room = most_digits + 2 + (totals.answers.size() * longest_answer);
    text.resize_and_overwrite(size + room, [&](char* data, std::size_t /*room*/) {
        auto* end = put(data + size, totals.requests);
        *end++ = '[';
        return static_cast<std::size_t>(put_grown(end, totals.answers, before) - data);
    });
    close_list(text);
    text += ',';
}

}  // namespace

std::optional<std::string> Ledger::record(const Snapshot& snapshot, const Catalogue& catalogue) const {
    if (&catalogue != catalogue_.get() && catalogue != *catalogue_) {
        return std::nullopt;
    }
    const Last none;
    auto strangers = json::object();  // in full, as they are folded in full
    std::string text = R"("at":)" + std::to_string(snapshot.at.time_since_epoch().count()) + R"(,"grown":[)";
    Ascending known(last_);
    Ascending owners(owners_);
    for (const auto& [server, totals] : snapshot.servers) {
        const auto* const found = known.find(server);
        const auto& last = found == nullptr ? none : *found;
        if (last.went_back(totals)) {
            return std::nullopt;
        }
        const bool same = found != nullptr && last.is(totals);
        if (owners.find(server) != nullptr) {
            if (!same) {
                append_growth(text, server, totals, last.answers);
            }
        } else if (!same || !changes_nothing(server, totals)) {
            strangers[to_string(server)] = saved(totals);
        }
    }
    close_list(text);
    return text + R"(,"strangers":)" + strangers.dump();
}

Counts Ledger::absorb_record(const json& record) {
    Snapshot snapshot{.at = Time(Millis(record.at("at").get<Millis::rep>())),
                      .servers = from_servers<ServerTotals>(record.at("strangers"), totals_from)};
    const auto& grown = record.at("grown");
    for (std::size_t i = 0; i < grown.size(); i += 3) {
        auto& totals = snapshot.servers[server_from(grown.at(i).get<std::string>())];
        totals.requests = number(grown.at(i + 1));
        totals.answers = answers_from(grown.at(i + 2));
    }
    return absorb(snapshot, catalogue_);
}

Result<Ledger> Ledger::from_json(const json& saved) {
    try {
        return parsed(saved);
    } catch (const std::exception& error) {
        return fail(Error::Kind::runtime, error.what());
    }
}

}  // namespace upstat
