// SPDX-License-Identifier: Apache-2.0
#include "agent/state_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/json_text.hpp"

namespace upstat::agent {

using nlohmann::json;

// --- counts and servers ---

namespace {

struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

constexpr auto wall_suffix = "_wall";  ///< a moment's own time has the plain name

/// Any that a clock can show: so none is out of reach of the arithmetic.
template <typename T>
T time_from(const json& value) {
    constexpr std::int64_t latest = std::int64_t{1} << 53;
    const auto time = value.is_number_integer() ? value.get<std::int64_t>() : -1;
    return time >= 0 && time <= latest ? T(Millis(time)) : throw Wrong("a time is none");
}

std::uint64_t count_from(const json& value) {
    return value.is_number_unsigned() ? value.get<std::uint64_t>() : throw Wrong("a count is not a number");
}

// Counts are flat arrays of numbers, since a big host has a hundred thousand of them.

/// Each number with its comma.
void append(std::string& text, std::initializer_list<std::uint64_t> numbers) {
    constexpr std::size_t most_digits = 20;
    constexpr std::size_t most_numbers = 4;
    std::array<char, most_numbers*(most_digits + 1)> digits;
    auto* end = digits.data();
    for (const auto number : numbers) {
        end = std::to_chars(end, end + most_digits, number).ptr;
        *end++ = ',';
    }
    text.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
}

void append(std::string& text, const poll::ResponseKey& key, std::uint64_t count) {
    append(text, {key.code, std::to_underlying(key.method), count});
}

void append(std::string& text, const attribute::Series& series, std::uint64_t count) {
    append(text, {series.code, std::to_underlying(series.method), std::to_underlying(series.protocol), count});
}

/// In place of the last element's comma, if there is an element.
void close_list(std::string& text) {
    if (text.back() == ',') {
        text.back() = ']';
    } else {
        text += ']';
    }
}

void append_list(std::string& text, const auto& counts) {
    text += '[';
    for (const auto& [key, count] : counts) {
        append(text, key, count);
    }
    close_list(text);
}

poll::ResponseKey response_from(const json& array, std::size_t at) {
    const auto code = count_from(array.at(at));
    const auto method = count_from(array.at(at + 1));
    if (code > 999 || method > std::to_underlying(poll::Method::patch)) {
        throw Wrong("a series is none");
    }
    return {.code = static_cast<std::uint16_t>(code), .method = static_cast<poll::Method>(method)};
}

poll::ResponseCounts responses_from(const json& array) {
    poll::ResponseCounts responses;
    for (std::size_t at = 0; at < array.size(); at += 3) {
        responses[response_from(array, at)] = count_from(array.at(at + 2));
    }
    return responses;
}

attribute::SeriesCounts series_from(const json& array) {
    attribute::SeriesCounts counts;
    for (std::size_t at = 0; at < array.size(); at += 4) {
        const auto [code, method] = response_from(array, at);
        const auto protocol =
            count_from(array.at(at + 2)) == 0 ? attribute::Protocol::http : attribute::Protocol::websocket;
        counts[{.code = code, .method = method, .protocol = protocol}] = count_from(array.at(at + 3));
    }
    return counts;
}

poll::Reasons reasons_from(const json& object) {
    poll::Reasons counts;
    for (const auto& [reason, count] : object.items()) {
        counts[reason] = count_from(count);
    }
    return counts;
}

void append(std::string& text, const poll::ServerTotals& totals) {
    JsonObject object(text);
    append_list(object.member("answers"), totals.responses);
    for (const auto& count : poll::plain_counts) {
        object.add(count.name, totals.*count.member);
    }
    for (const auto& count : poll::reason_counts) {
        object.add(count.name, json_object(totals.*count.member));
    }
}

/// A count that an older upstat did not know is missing, and 0.
poll::ServerTotals totals_from(const json& object) {
    poll::ServerTotals totals{.responses = responses_from(object.at("answers"))};
    for (const auto& count : poll::plain_counts) {
        totals.*count.member = count_from(object.value(count.name, json(0U)));
    }
    for (const auto& count : poll::reason_counts) {
        totals.*count.member = reasons_from(object.value(count.name, json::object()));
    }
    return totals;
}

std::uint16_t zone_from(std::string_view text) {
    std::uint16_t zone = 0;
    const auto* const begin = text.data();
    const auto* const end = begin + text.size();
    const auto [rest, error] = std::from_chars(begin, end, zone);
    return rest == end && error == std::errc() ? zone : throw Wrong("a zone is none");
}

/// "10.0.0.1:80", and "3/10.0.0.1:80" in another zone than 0: a file of one Traefik reads as it did before there were
/// any.
std::string text_of(const poll::Server& server) {
    return server.zone == 0 ? to_string(server) : fmt::format("{}/{}", server.zone, to_string(server));
}

poll::Server server_from(std::string_view text) {
    const auto slash = text.find('/');
    auto server = poll::server_of_label(slash == std::string_view::npos ? text : text.substr(slash + 1));
    if (!server) {
        throw Wrong(fmt::format("'{}' is no server", text));
    }
    server->zone = slash == std::string_view::npos ? std::uint16_t{0} : zone_from(text.substr(0, slash));
    return *server;
}

/// A name as it is, and behind a zero byte and its zone where that is another than 0. Names may hold any byte.
constexpr char zone_mark = '\0';

std::string text_of(const attribute::BackendName& backend) {
    return backend.zone == 0 && !backend.name.starts_with(zone_mark)
               ? backend.name
               : fmt::format("{}{}/{}", zone_mark, backend.zone, backend.name);
}

attribute::BackendName backend_from(const std::string& text) {
    if (!text.starts_with(zone_mark)) {
        return text;
    }
    const auto slash = std::min(text.find('/'), text.size() - 1);
    return {text.substr(slash + 1), zone_from(std::string_view(text).substr(1, slash - 1))};
}

// --- the catalogue ---

json to_json(const std::vector<attribute::Listed>& all) {
    auto listed = json::array();
    for (const auto& one : all) {
        auto servers = json::array();
        for (const auto& server : one.servers) {
            servers.push_back(text_of(server));
        }
        listed.push_back({{"url", one.url}, {"up", one.up}, {"servers", std::move(servers)}});
    }
    return listed;
}

json to_json(const attribute::Backend& backend) {
    return {{"provider", backend.provider}, {"listed", to_json(backend.listed)}};
}

attribute::Listed listed_from(const json& object) {
    attribute::Listed listed{
        .url = object.at("url").get<std::string>(), .up = object.at("up").get<bool>(), .servers = {}};
    for (const auto& server : object.at("servers")) {
        listed.servers.insert(server_from(server.get<std::string>()));
    }
    return listed;
}

std::vector<attribute::Listed> all_listed_from(const json& array) {
    std::vector<attribute::Listed> all;
    std::ranges::transform(array, std::back_inserter(all), listed_from);
    return all;
}

/// Older states have no streams.
attribute::Catalogue catalogue_from(const json& ledger) {
    attribute::Catalogue catalogue;
    for (const auto& [name, described] : ledger.at("catalogue").items()) {
        catalogue.backends.emplace(backend_from(name),
                                   attribute::Backend{.provider = described.at("provider").get<std::string>(),
                                                      .listed = all_listed_from(described.at("listed"))});
    }
    catalogue.streams = all_listed_from(ledger.value("streams", json::array()));
    return catalogue;
}

// --- the ledger ---

/// A map by names, or by servers, as an object by their texts; `save` appends a value.
void append_object(std::string& text, const auto& values, auto&& save) {
    JsonObject object(text);
    for (const auto& [key, value] : values) {
        save(object.member(text_of(key)), value);
    }
}

template <typename Map>
Map from_servers(const json& object, auto parse) {
    std::map<poll::Server, typename Map::mapped_type> values;  // the object is in the order of its texts
    for (const auto& [server, value] : object.items()) {
        values.emplace(server_from(server), parse(value));
    }
    return {std::make_move_iterator(values.begin()), std::make_move_iterator(values.end())};
}

/// Server, number and responses, in turn.
void append(std::string& text, const poll::Routed& routed) {
    text += '[';
    for (const auto& [server, routes] : routed) {
        for (const auto& [number, responses] : routes) {
            text.append(json_text(json(text_of(server)))).append(",");
            append(text, {number});
            append_list(text, responses);
            text += ',';
        }
    }
    close_list(text);
}

poll::Routed routed_from(const json& array, std::size_t most) {
    poll::Routed routed;
    for (std::size_t at = 0; at < array.size(); at += 3) {
        const auto number = count_from(array.at(at + 1));
        if (number == 0 || number > most) {
            throw Wrong("a route is none");
        }
        routed[server_from(array.at(at).get<std::string>())][static_cast<std::uint16_t>(number)] =
            responses_from(array.at(at + 2));
    }
    return routed;
}

attribute::Unlisted unlisted_from(const json& saved) {
    return {.since = time_from<Time>(saved.at(0)), .activity = count_from(saved.at(1))};
}

attribute::LastTotals last_from(const json& saved) {
    return {.requests = count_from(saved.at(0)), .responses = responses_from(saved.at(1))};
}

}  // namespace

std::string to_text(const attribute::LedgerState& state) {
    const auto lists = [](std::string& to, const auto& counts) { append_list(to, counts); };
    const auto totals = [](std::string& to, const poll::ServerTotals& of) { append(to, of); };
    std::string text;
    {
        JsonObject ledger(text);
        append_object(ledger.member("backends"), state.backends, lists);
        append_object(ledger.member("catalogue"), state.catalogue->backends,
                      [](std::string& to, const attribute::Backend& backend) { to += json_text(to_json(backend)); });
        ledger.add("streams", to_json(state.catalogue->streams));
        append_object(ledger.member("owners"), state.owners,
                      [](std::string& to, const std::set<std::string>& names) { to += json_text(json(names)); });
        append_object(ledger.member("last"), state.last, [](std::string& to, const attribute::LastTotals& last) {
            append(to += '[', {last.requests});
            append_list(to, last.responses);
            to += ']';
        });
        append_object(ledger.member("unclaimed"), state.unclaimed, lists);
        append_object(ledger.member("unknown_since"), state.unknown_since,
                      [](std::string& to, Time at) { to += std::to_string(at.time_since_epoch().count()); });
        append_object(ledger.member("folded"), state.folded, totals);
        append(ledger.member("unmapped"), state.unmapped);
        if (!state.route_names.empty()) {
            auto names = json::array();
            std::ranges::transform(state.route_names, std::back_inserter(names),
                                   [](const attribute::BackendName& name) { return text_of(name); });
            ledger.add("routes", names);
            append(ledger.member("last_routed"), state.last_routed);
        }
        const auto unlisted = [](std::string& to, const attribute::Unlisted& known) {
            append(to += '[', {static_cast<std::uint64_t>(known.since.time_since_epoch().count()), known.activity});
            close_list(to);
        };
        append_object(ledger.member("unlisted_backends"), state.unlisted_backends, unlisted);
        append_object(ledger.member("unlisted_servers"), state.unlisted_servers, unlisted);
    }
    return text;
}

attribute::LedgerState ledger_from(const json& saved) {
    attribute::LedgerState state;
    for (const auto& [name, counts] : saved.at("backends").items()) {
        state.backends.emplace(backend_from(name), series_from(counts));
    }
    state.catalogue = std::make_shared<const attribute::Catalogue>(catalogue_from(saved));
    state.owners = from_servers<decltype(state.owners)>(
        saved.at("owners"), [](const json& names) { return names.get<std::set<std::string>>(); });
    state.last = from_servers<decltype(state.last)>(saved.at("last"), last_from);
    state.unclaimed = from_servers<decltype(state.unclaimed)>(saved.at("unclaimed"), series_from);
    state.unknown_since = from_servers<decltype(state.unknown_since)>(
        saved.at("unknown_since"), [](const json& at) { return time_from<Time>(at); });
    state.folded = from_servers<decltype(state.folded)>(saved.at("folded"), totals_from);
    state.unmapped = totals_from(saved.at("unmapped"));
    for (const auto& name : saved.value("routes", json::array())) {  // older states have none
        state.route_names.push_back(backend_from(name.get<std::string>()));
    }
    state.last_routed = routed_from(saved.value("last_routed", json::array()), state.route_names.size());
    const auto unlisted_backends = saved.value("unlisted_backends", json::object());  // older states have none
    for (const auto& [name, unlisted] : unlisted_backends.items()) {
        state.unlisted_backends.emplace(backend_from(name), unlisted_from(unlisted));
    }
    state.unlisted_servers =
        from_servers<decltype(state.unlisted_servers)>(saved.value("unlisted_servers", json::object()), unlisted_from);
    return state;
}

// --- what a poll changes ---

std::string to_members(const attribute::Growth& growth) {
    /// Bytes of a server's growth where many responses grew.
    constexpr std::size_t usual_growth = 128;
    std::string text = R"("at":)" + std::to_string(growth.at.time_since_epoch().count()) + R"(,"grown":[)";
    text.reserve(growth.grown.size() * usual_growth);
    for (const auto& grown : growth.grown) {
        text.append("\"").append(text_of(grown.server)).append("\",");
        append(text, {grown.requests});
        append_list(text, grown.responses);
        text += ',';
    }
    close_list(text);
    poll::Routed routed;
    for (const auto& grown : growth.grown) {
        if (!grown.routes.empty()) {
            routed[grown.server] = grown.routes;
        }
    }
    if (!routed.empty()) {
        append(text.append(R"(,"routed":)"), routed);
    }
    append_object(text.append(R"(,"strangers":)"), growth.unknown,
                  [](std::string& to, const poll::ServerTotals& totals) { append(to, totals); });
    return text;
}

attribute::Growth growth_from(const json& saved) {
    attribute::Growth growth{.at = time_from<Time>(saved.at("at")),
                             .grown = {},
                             .unknown = from_servers<poll::Servers>(saved.at("strangers"), totals_from)};
    auto routed = routed_from(saved.value("routed", json::array()), std::numeric_limits<std::uint16_t>::max());
    const auto& grown = saved.at("grown");
    for (std::size_t i = 0; i < grown.size(); i += 3) {
        growth.grown.push_back({.server = server_from(grown.at(i).get<std::string>()),
                                .requests = count_from(grown.at(i + 1)),
                                .responses = responses_from(grown.at(i + 2))});
        growth.grown.back().routes = std::move(routed[growth.grown.back().server]);
    }
    return growth;
}

// --- the window and the alerts ---

namespace {

json number(auto time) {
    return time.time_since_epoch().count();
}

void add(json& alert, const char* name, const std::optional<Moment>& moment) {
    alert[name] = moment ? number(moment->at) : json(nullptr);
    if (moment) {
        alert[std::string(name) + wall_suffix] = number(moment->wall);
    }
}

std::optional<Moment> moment_from(const json& alert, const char* name) {
    const auto& saved = alert.at(name);
    if (saved.is_null()) {
        return std::nullopt;
    }
    const auto wall = alert.find(std::string(name) + wall_suffix);
    return Moment{.at = time_from<Time>(saved), .wall = time_from<Wall>(wall == alert.end() ? saved : *wall)};
}

/// JSON has no NaN, which stands for "no such series in that poll": null does.
std::vector<double> history_totals_from(const json& saved) {
    std::vector<double> totals;
    for (const auto& total : saved) {
        totals.push_back(total.is_null() ? std::numeric_limits<double>::quiet_NaN() : total.get<double>());
    }
    return totals;
}

json to_json(const measure::BackendHistory& backend) {
    json series = json::array();
    for (const auto& [key, totals] : backend.series) {
        series.push_back({key.code, static_cast<int>(key.method), static_cast<int>(key.protocol), totals});
    }
    return {{"sampled", backend.sampled}, {"series", std::move(series)}};
}

}  // namespace

std::string to_text(const measure::History& history) {
    std::string text;
    {
        JsonObject saved(text);
        json polls = json::array();
        for (const auto poll : history.polls) {
            polls.push_back(number(poll));
        }
        saved.add("polls", polls);
        JsonObject backends(saved.member("backends"));
        for (const auto& [name, backend] : history.backends) {
            backends.add(text_of(name), to_json(backend));
        }
    }
    return text;
}

measure::History history_from(const json& saved) {
    measure::History history;
    for (const auto& poll : saved.at("polls")) {
        history.polls.push_back(time_from<Time>(poll));
    }
    for (const auto& [name, backend] : saved.at("backends").items()) {
        auto& into = history.backends[backend_from(name)];
        into.sampled = backend.at("sampled").get<std::vector<bool>>();
        for (const auto& series : backend.at("series")) {
            const attribute::Series key{.code = series.at(0).get<std::uint16_t>(),
                                        .method = static_cast<poll::Method>(series.at(1).get<std::uint8_t>()),
                                        .protocol = static_cast<attribute::Protocol>(series.at(2).get<std::uint8_t>())};
            into.series[key] = history_totals_from(series.at(3));
        }
    }
    return history;
}

json to_json(const std::vector<judge::Alert>& alerts) {
    json saved = json::array();
    for (const auto& alert : alerts) {
        json one = {
            {"rule", alert.rule}, {"backend", text_of(alert.backend)}, {"state", static_cast<int>(alert.state)}};
        add(one, "active_since", alert.active_since);
        add(one, "firing_since", alert.firing_since);
        add(one, "resolved_at", alert.resolved_at);
        saved.push_back(std::move(one));
    }
    return saved;
}

std::vector<judge::Alert> alerts_from(const json& saved) {
    std::vector<judge::Alert> alerts;
    for (const auto& alert : saved) {
        alerts.push_back({.rule = alert.at("rule").get<std::string>(),
                          .backend = backend_from(alert.at("backend").get<std::string>()),
                          .state = static_cast<judge::State>(alert.at("state").get<int>()),
                          .percent = std::nullopt,
                          .active_since = moment_from(alert, "active_since"),
                          .firing_since = moment_from(alert, "firing_since"),
                          .resolved_at = moment_from(alert, "resolved_at")});
    }
    return alerts;
}

// --- the zones ---

json to_json(const programs::ZoneNames& zones) {
    json saved = json::object();
    for (const auto& [zone, name] : zones) {
        saved[std::to_string(zone)] = name;
    }
    return saved;
}

programs::ZoneNames zones_from(const json& saved) {
    programs::ZoneNames zones;
    for (const auto& [zone, name] : saved.items()) {
        zones.emplace(zone_from(zone), name.get<std::string>());
    }
    return zones;
}

json to_json(const Tenants::All& tenants) {
    json saved = json::object();
    for (const auto& [zone, tenant] : tenants) {
        auto& one = saved[std::to_string(zone)] = {{"name", tenant.name}};
        if (tenant.ended) {
            one["ended"] = number(*tenant.ended);
        }
    }
    return saved;
}

Tenants::All tenants_from(const json& saved) {
    Tenants::All tenants;
    for (const auto& [zone, tenant] : saved.items()) {
        const auto ended = tenant.find("ended");
        tenants.emplace(
            zone_from(zone),
            Tenants::Tenant{.name = tenant.at("name").get<std::string>(),
                            .ended = ended == tenant.end() ? std::nullopt : std::optional(time_from<Time>(*ended))});
    }
    return tenants;
}

// --- the agent's own time ---

json to_json(const Timeline::Mark& mark) {
    return {{"boot", mark.boot},
            {"since_boot", number(mark.last.at - mark.ahead)},
            {"at", number(mark.last.at)},
            {"wall", number(mark.last.wall)}};
}

Timeline::Mark mark_from(const json& saved) {
    const auto at = time_from<Time>(saved.at("at"));
    return {.boot = saved.at("boot").get<std::string>(),
            .ahead = at - time_from<Time>(saved.at("since_boot")),
            .last = {.at = at, .wall = wall_from(saved, at)}};
}

Wall wall_from(const json& poll, Time at) {
    const auto wall = poll.find("wall");
    return wall == poll.end() ? Wall(at.time_since_epoch()) : time_from<Wall>(*wall);
}

}  // namespace upstat::agent
