// SPDX-License-Identifier: Apache-2.0
#include "publish/history_views.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ranges>

#include "base/json_text.hpp"
#include "history/read.hpp"
#include "publish/told_apart.hpp"

namespace upstat::publish {

namespace {

using history::Amounts;
using nlohmann::json;

constexpr std::size_t most_servers = 50;      ///< of one backend
constexpr std::size_t overview_columns = 60;  ///< of every backend

/// A moment of the agent's own time as the wall clock would have told it had it always gone as it does now.
Wall told(const Report& report, Time at) {
    return report.at + (at - report.history.at.at);
}

double unix_seconds(Wall time) {
    return static_cast<double>(time.time_since_epoch().count()) / 1000;
}

json columns_of(const Report& report, const std::vector<history::SharedColumn>& columns) {
    json out{{"begin", json::array()}, {"end", json::array()}};
    for (const auto& column : columns) {
        out["begin"].push_back(unix_seconds(told(report, column->begin)));
        out["end"].push_back(unix_seconds(told(report, column->end)));
    }
    return out;
}

/// By the names of the fields that have anything.
json series_of(const std::vector<Amounts>& rows) {
    json out = json::object();
    for (std::size_t field = 0; field < history::field_names().size(); ++field) {
        if (std::ranges::any_of(rows, [field](const Amounts& row) { return row.at(field) != 0; })) {
            auto& counts = out[history::field_names()[field]] = json::array();
            for (const auto& row : rows) {
                counts.push_back(row.at(field));
            }
        }
    }
    return out;
}

history::Span span_of(const Report& report, const Query& query) {
    return {.from = query.range ? report.history.at.at - Millis(*query.range) : Time::min()};
}

/// Those a backend lists now, or that it was the last to list.
std::vector<poll::Server> servers_of(const Report& report, const attribute::BackendName& backend) {
    std::vector<poll::Server> servers;
    for (const auto& [server, names] : *report.owners) {
        if (server.zone == backend.zone && names.contains(backend.name)) {
            servers.push_back(server);
        }
    }
    return servers;
}

std::uint64_t errors_in(const Amounts& amounts) {
    return history::class_of(amounts, 4) + history::class_of(amounts, 5) + history::sum_of(amounts, "unanswered") +
           history::sum_of(amounts, "connect_failures");
}

/// Those with most errors, then with most responses.
std::vector<poll::Server> worst_of(const Report& report, std::vector<poll::Server> servers, history::Span span) {
    if (servers.size() <= most_servers) {
        return servers;
    }
    const auto sums = history::server_sums(report.history, span);
    const auto badness = [&sums](const poll::Server& server) {
        const auto found = sums.find(server);
        return found == sums.end() ? std::pair<std::uint64_t, std::uint64_t>()
                                   : std::pair(errors_in(found->second), history::responses_in(found->second));
    };
    std::ranges::stable_sort(servers, std::ranges::greater(), badness);
    servers.resize(most_servers);
    return servers;
}

std::string text_of(const json& out) {
    return json_text(out) + "\n";
}

json head(const Report& report) {
    return {{"at", rfc3339(report.at)}};
}

std::optional<std::string> backend_history(const Report& report, const Query& query) {
    const ToldApart names(report);
    const auto backend = names.asked_backend(query);
    if (!backend) {
        return std::nullopt;
    }
    const auto span = span_of(report, query);
    const auto all = servers_of(report, *backend);
    const auto shown = worst_of(report, all, span);
    auto out = head(report);
    out["backend"] = names.name(*backend);
    out["traefik"] = traefik_name(report, backend->zone);
    out["columns"] = columns_of(report, history::columns_in(report.history, span));
    out["series"] = series_of(history::backend_rows(report.history, {*backend}, span).at(*backend));
    out["servers"] = json::object();
    out["servers_left_out"] = all.size() - shown.size();
    for (const auto& [server, rows] : history::server_rows(report.history, {shown.begin(), shown.end()}, span)) {
        out["servers"][names.name(server)] = series_of(rows);
    }
    return text_of(out);
}

std::optional<std::string> server_history(const Report& report, const Query& query) {
    const ToldApart names(report);
    const auto server = names.asked_server(query);
    if (!server) {
        return std::nullopt;
    }
    const auto span = span_of(report, query);
    auto out = head(report);
    out["server"] = names.name(*server);
    out["traefik"] = traefik_name(report, server->zone);
    out["columns"] = columns_of(report, history::columns_in(report.history, span));
    out["series"] = series_of(history::server_rows(report.history, {*server}, span).at(*server));
    return text_of(out);
}

std::string overview(const Report& report) {
    auto newest = report.history;
    const auto too_many = static_cast<std::ptrdiff_t>(newest.columns.size()) - std::ptrdiff_t{overview_columns};
    newest.columns.erase(newest.columns.begin(), newest.columns.begin() + std::max<std::ptrdiff_t>(too_many, 0));
    const auto backends = report.counts.backends | std::views::keys;
    const ToldApart names(report);
    auto out = head(report);
    out["columns"] = columns_of(report, newest.columns);
    out["backends"] = json::object();
    for (const auto& [backend, rows] : history::backend_rows(newest, {backends.begin(), backends.end()})) {
        out["backends"][names.name(backend)] = series_of(rows);
    }
    return text_of(out);
}

}  // namespace

std::optional<std::string> history_json(const Report& report, const Query& query) {
    if (!query.backend.empty()) {
        return backend_history(report, query);
    }
    return query.server.empty() ? overview(report) : server_history(report, query);
}

std::optional<std::string> events_json(const Report& report, const Query& query) {
    const ToldApart names(report);
    const auto backend = names.asked_backend(query);
    if (!query.backend.empty() && !backend) {
        return std::nullopt;
    }
    const auto from = span_of(report, query).from;
    auto out = head(report);
    out["events"] = json::array();
    for (const auto& event : *report.history.events | std::views::reverse) {
        const bool asked = query.backend.empty() || event.backend.name.empty() || event.backend == backend;
        if (asked && event.at.at > from) {
            const auto at = told(report, event.at.at);
            out["events"].push_back(
                {{"at", rfc3339(at)},
                 {"time", unix_seconds(at)},
                 {"kind", event.kind},
                 {"what", event.what},
                 {"backend", names.name(event.backend)},
                 {"traefik", event.backend.name.empty() ? "" : traefik_name(report, event.backend.zone)},
                 {"text", event.text},
                 {"servers", event.servers}});
        }
    }
    return text_of(out);
}

}  // namespace upstat::publish
