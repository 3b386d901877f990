// SPDX-License-Identifier: Apache-2.0
#include "publish/sockets_view.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/json_text.hpp"
#include "publish/told_apart.hpp"

namespace upstat::publish {

namespace {

using nlohmann::json;
using poll::Socket;

constexpr std::size_t most_shown = 1000;
constexpr std::array<std::string_view, 4> class_names{"2xx", "3xx", "4xx", "5xx"};

/// Which connections are asked for.
class Asked {
  public:
    Asked(const Report& report, const ToldApart& names, const Query& query)
        : report_(&report),
          query_(&query),
          backend_(names.asked_backend(query)),
          one_server_(names.asked_server(query)),
          server_(one_server_ ? one_server_ : poll::server_of_label(query.server)) {}

    [[nodiscard]] bool is_known() const {
        return (query_->backend.empty() || backend_) && (query_->server.empty() || server_);
    }
    [[nodiscard]] bool wants(const Socket& socket) const {
        return (query_->server.empty() || is_asked(socket.server)) &&
               (query_->backend.empty() || is_listed(socket.server));
    }

  private:
    /// A label that no history has may be a server of any Traefik.
    [[nodiscard]] bool is_asked(const poll::Server& server) const {
        return one_server_
                   ? server == *one_server_
                   : server.address == server_->address && server.port == server_->port && server_->name.empty();
    }
    [[nodiscard]] bool is_listed(const poll::Server& server) const {
        const auto owned = report_->owners->find(server);
        return server.zone == backend_->zone && owned != report_->owners->end() &&
               owned->second.contains(backend_->name);
    }

    const Report* report_;
    const Query* query_;
    std::optional<attribute::BackendName> backend_;
    std::optional<poll::Server> one_server_;
    std::optional<poll::Server> server_;
};

/// More 5xx, then more 4xx, then a longer wait.
bool is_worse(const Socket* one, const Socket* two) {
    const auto badness = [](const Socket& socket) {
        return std::tuple(socket.responses[3], socket.responses[2], socket.waits() ? socket.lasting : Millis(-1));
    };
    const auto first = badness(*one);
    const auto second = badness(*two);
    return first != second ? first > second
                           : std::tie(one->server, one->local_port) < std::tie(two->server, two->local_port);
}

double in_seconds(Millis time) {
    return static_cast<double>(time.count()) / 1000;
}

json socket_json(const Report& report, const ToldApart& names, const Socket& socket) {
    json out{{"server", names.name(socket.server)},
             {"backends", json::array()},
             {"local_port", socket.local_port},
             {"state", socket.state},
             {"seconds", in_seconds(socket.lasting)},
             {"age_seconds", in_seconds(socket.age)},
             {"joined", socket.joined},
             {"responses", json::object()}};
    if (const auto owned = report.owners->find(socket.server); owned != report.owners->end()) {
        for (const auto& name : owned->second) {
            out["backends"].push_back(names.name({name, socket.server.zone}));
        }
    }
    for (std::size_t i = 0; i < class_names.size(); ++i) {
        out["responses"][class_names.at(i)] = socket.responses.at(i);
    }
    return out;
}

json list_of(const Report& report, const ToldApart& names, const Asked& asked, const poll::Sockets& sockets) {
    std::vector<const Socket*> wanted;
    std::map<std::string_view, std::uint64_t> states;
    for (const auto& socket : sockets.all) {
        if (asked.wants(socket)) {
            wanted.push_back(&socket);
            states[socket.state]++;
        }
    }
    const auto shown = std::min(wanted.size(), most_shown);
    std::ranges::partial_sort(wanted, wanted.begin() + static_cast<std::ptrdiff_t>(shown), is_worse);
    json out{{"at", rfc3339(sockets.at)},
             {"problem", ""},
             {"hint", ""},
             {"total", wanted.size()},
             {"left_out", wanted.size() - shown},
             {"complete", sockets.complete},
             {"states", states},
             {"sockets", json::array()}};
    for (std::size_t i = 0; i < shown; ++i) {
        out["sockets"].push_back(socket_json(report, names, *wanted[i]));
    }
    return out;
}

json none_because(const Report& report, const Error& error) {
    return {{"at", rfc3339(report.at)},
            {"problem", error.message},
            {"hint", error.hint},
            {"total", 0},
            {"left_out", 0},
            {"complete", false},
            {"states", json::object()},
            {"sockets", json::array()}};
}

}  // namespace

std::optional<std::string> sockets_json(const Report& report, const Query& query) {
    const ToldApart names(report);
    const Asked asked(report, names, query);
    if (!asked.is_known()) {
        return std::nullopt;
    }
    if (report.sockets == nullptr) {
        return json_text(none_because(report, {.message = "not ready: " + report.not_ready, .hint = {}})) + "\n";
    }
    const auto& sockets = report.sockets->sockets();
    return json_text(sockets ? list_of(report, names, asked, *sockets) : none_because(report, sockets.error())) + "\n";
}

}  // namespace upstat::publish
