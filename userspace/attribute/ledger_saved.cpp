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

// Flat arrays of numbers, since a big host has a hundred thousand of them: written as text, without a tree in between.

constexpr std::size_t most_digits = 20;
/// Numbers of a series, each with its comma.
constexpr std::size_t longest_series = 4 * (most_digits + 1);

/// A number and a comma, where there is room for them. Of the three numbers of an answer two are below 1000.
char* put(char* to, std::uint64_t number) {
    const auto digit = [](std::uint64_t value) { return static_cast<char>('0' + value); };
    if (number >= 1000) {
        to = std::to_chars(to, to + most_digits, number).ptr;
    } else {
        if (number >= 100) {
            *to++ = digit(number / 100);
        }
        if (number >= 10) {
            *to++ = digit(number / 10 % 10);
        }
        *to++ = digit(number % 10);
    }
    *to++ = ',';
    return to;
}

char* put(char* to, const Answer& answer) {
    return put(put(to, answer.code), std::to_underlying(answer.method));
}

char* put(char* to, const Series& series) {
    return put(put(put(to, series.code), std::to_underlying(series.method)), std::to_underlying(series.protocol));
}

/// Appends what `write` puts into `room` bytes; it returns their end.
void append(std::string& text, std::size_t room, auto&& write) {
    const auto size = text.size();
    text.resize_and_overwrite(size + room, [&](char* data, std::size_t /*room*/) {
        return static_cast<std::size_t>(write(data + size) - data);
    });
}

/// In place of the last element's comma, if there is an element.
char* close_list(char* end) {
    if (end[-1] == ',') {
        end--;
    }
    *end++ = ']';
    return end;
}

void append_flat(std::string& text, const auto& counts) {
    append(text, 2 + (counts.size() * longest_series), [&](char* to) {
        *to++ = '[';
        for (const auto& [key, count] : counts) {
            to = put(put(to, key), count);
        }
        return close_list(to);
    });
}

json flat(const auto& counts) {
    std::string text;
    append_flat(text, counts);
    return json::parse(text);
}

Answer answer_from(const json& array, std::size_t at) {
    const auto code = number(array.at(at));
    const auto method = number(array.at(at + 1));
    if (code > 999 || method > std::to_underlying(Method::patch)) {
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

/// A map by names, or by servers, as an object by their texts; `save` appends a value.
void append_object(std::string& text, const auto& values, auto&& save) {
    JsonObject object(text);
    for (const auto& [key, value] : values) {
        save(object.member(to_string(key)), value);
    }
}

template <typename Map>
Map from_servers(const json& object, auto parse) {
    std::map<Server, typename Map::mapped_type> values;  // the object is in the order of its texts
    for (const auto& [server, value] : object.items()) {
        values.emplace(server_from(server), parse(value));
    }
    return {std::make_move_iterator(values.begin()), std::make_move_iterator(values.end())};
}

}  // namespace

void Ledger::append_json(std::string& text) const {
    const auto counts = [](std::string& to, const SeriesCounts& series) { append_flat(to, series); };
    JsonObject ledger(text);
    append_object(ledger.member("backends"), backends_, counts);
    append_object(ledger.member("catalogue"), catalogue_->backends,
                  [](std::string& to, const Backend& backend) { to += json_text(saved(backend)); });
    append_object(ledger.member("owners"), owners_,
                  [](std::string& to, const std::set<std::string>& names) { to += json_text(json(names)); });
    append_object(ledger.member("last"), last_, [](std::string& to, const Last& last) {
        to.append("[").append(std::to_string(last.requests)).append(",");
        append_flat(to, last.answers);
        to += ']';
    });
    append_object(ledger.member("unclaimed"), unclaimed_, counts);
    append_object(ledger.member("unknown_since"), unknown_since_,
                  [](std::string& to, Time at) { to += std::to_string(at.time_since_epoch().count()); });
    append_object(ledger.member("folded"), folded_,
                  [](std::string& to, const ServerTotals& totals) { to += json_text(saved(totals)); });
    ledger.add("unmapped", saved(unmapped_));
}

Ledger Ledger::parsed(const json& saved) {
    Ledger ledger;
    for (const auto& [name, counts] : saved.at("backends").items()) {
        ledger.backends_.emplace(name, series_from(counts));
    }
    ledger.catalogue_ = std::make_shared<const Catalogue>(catalogue_from(saved.at("catalogue")));
    ledger.listed_ = servers_of(*ledger.catalogue_);
    ledger.owners_ = from_servers<decltype(ledger.owners_)>(
        saved.at("owners"), [](const json& names) { return names.get<std::set<std::string>>(); });
    ledger.last_ = from_servers<decltype(ledger.last_)>(saved.at("last"), [](const json& last) {
        return Last{.requests = number(last.at(0)), .answers = answers_from(last.at(1))};
    });
    ledger.unclaimed_ = from_servers<decltype(ledger.unclaimed_)>(saved.at("unclaimed"), series_from);
    ledger.unknown_since_ = from_servers<decltype(ledger.unknown_since_)>(
        saved.at("unknown_since"), [](const json& at) { return Time(Millis(at.get<Millis::rep>())); });
    ledger.folded_ = from_servers<decltype(ledger.folded_)>(saved.at("folded"), totals_from);
    ledger.unmapped_ = totals_from(saved.at("unmapped"));
    return ledger;
}

// --- what a poll changes ---

namespace {

char* put_grown(char* to, const Answers& now, const Answers& before) {
    Ascending known(before);
    for (const auto& [answer, count] : now) {
        if (const auto* const last = known.find(answer); last == nullptr || *last != count) {
            to = put(put(to, answer), count);
        }
    }
    return to;
}

/// Bytes of a server's growth where many answers grew.
constexpr std::size_t usual_growth = 128;

/// `"10.0.0.1:80",12,[200,1,10],`: requests and those answers that grew.
void append_growth(std::string& text, const Server& server, const ServerTotals& totals, const Answers& before) {
    text.append("\"").append(to_string(server)).append("\",");
    append(text, most_digits + 4 + (totals.answers.size() * longest_series), [&](char* to) {
        to = put(to, totals.requests);
        *to++ = '[';
        to = close_list(put_grown(to, totals.answers, before));
        *to++ = ',';
        return to;
    });
}

}  // namespace

std::optional<std::string> Ledger::record(const Snapshot& snapshot, const Catalogue& catalogue) const {
    if (&catalogue != catalogue_.get() && catalogue != *catalogue_) {
        return std::nullopt;
    }
    const Last none;
    auto strangers = json::object();  // in full, as they are folded in full
    std::string text = R"("at":)" + std::to_string(snapshot.at.time_since_epoch().count()) + R"(,"grown":[)";
    text.reserve(snapshot.servers.size() * usual_growth);
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
    append(text, 1, close_list);
    text.append(R"(,"strangers":)").append(strangers.dump());
    return text;
}

Counts Ledger::absorb_record(const json& record) {
    Snapshot snapshot{.at = Time(Millis(record.at("at").get<Millis::rep>())),
                      .servers = from_servers<Servers>(record.at("strangers"), totals_from)};
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
