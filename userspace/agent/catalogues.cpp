// SPDX-License-Identifier: Apache-2.0
#include "agent/catalogues.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "attribute/static_map.hpp"
#include "traefik/api_address.hpp"
#include "traefik/rawdata.hpp"

namespace upstat::agent {

namespace {

constexpr Millis api_timeout = std::chrono::seconds(5);

/// The namespace to connect from: empty where the process shares ours.
std::string foreign_network(const std::string& path) {
    std::error_code error;
    const auto theirs = std::filesystem::read_symlink(path, error);
    const auto ours = std::filesystem::read_symlink("/proc/self/ns/net", error);
    return error || theirs == ours ? std::string() : path;
}

}  // namespace

Result<Catalogues> Catalogues::open(const config::Settings& settings) {
    Catalogues catalogues(settings);
    if (const auto& file = settings.traefik_api_password_file; !file.empty()) {
        std::ifstream stream(file);
        if (!std::getline(stream, catalogues.password_)) {
            return fail(Error::Kind::usage,
                        fmt::format("--traefik.api.password-file {} cannot be read or is empty", file));
        }
    }
    if (!settings.backends_file.empty()) {
        auto map = attribute::load_static_map(settings.backends_file);
        if (!map.mistakes.empty()) {
            return std::unexpected(map.mistakes.front());
        }
        catalogues.static_ = std::move(map.catalogue);
    }
    return catalogues;
}

void Catalogues::remember(attribute::SharedCatalogue saved) {
    if (settings_->backends_file.empty()) {
        last_ = std::move(saved);
    }
}

void Catalogues::update_sources(const std::vector<Watched>& traefiks) {
    std::map<int, Source> now;
    const auto keep = [&](int key, const std::string& url, const std::string& network) {
        auto& source = now[key];
        if (const auto known = sources_.find(key); known != sources_.end()) {
            source = std::move(known->second);
        }
        if (source.url != url) {
            spdlog::info("reading the backends from {}", url);
        }
        source.url = url;
        source.network_namespace = network;
    };
    for (int i = 0; const auto& url : settings_->traefik_api) {
        keep(--i, url, {});
    }
    for (const auto& [traefik, problem] : traefiks) {
        if (settings_->traefik_api.empty() && problem.empty()) {
            keep(traefik.pid, traefik::api_address("/", traefik).url, foreign_network(traefik.network_namespace));
        }
    }
    const auto same = [](const auto& one, const auto& other) { return one.first == other.first; };
    changed_ = changed_ || !std::ranges::equal(sources_, now, same);
    sources_ = std::move(now);
}

HttpRequest Catalogues::request(const Source& source, const std::string& path) const {
    return {.url = source.url + path,
            .username = settings_->traefik_api_username,
            .password = password_,
            .ca_file = settings_->traefik_api_ca_file,
            .network_namespace = source.network_namespace,
            .timeout = api_timeout};
}

void Catalogues::ask(HttpClient& http, const std::vector<Watched>& traefiks) {
    update_sources(traefiks);
    for (auto& [key, source] : sources_) {
        if (!source.ticket) {
            source.ticket = http.start(request(source, source.v1 ? "/api/providers" : "/api/rawdata"));
        }
        if (source.version.empty() && !source.version_ticket && source.problem.empty()) {
            source.version_ticket = http.start(request(source, "/api/version"));
        }
    }
}

void Catalogues::take_catalogue(Source& source, const HttpDone& done) {
    std::string problem;
    if (!done.result) {
        problem = done.result.error();
    } else if (done.result->status == 404) {
        source.v1 = !source.v1;  // the next request asks in the other version's way
        problem = fmt::format("{} has neither /api/rawdata nor, as Traefik v1 does, /api/providers: is the API on?",
                              source.url);
    } else if (done.result->status != 200) {
        problem = fmt::format("{} answers {}", source.url, done.result->status);
    } else if (source.known && done.result->body == source.body) {
        // Nothing new: most answers are that.
    } else if (auto catalogue = source.v1 ? traefik::parse_providers(done.result->body, source.url)
                                          : traefik::parse_rawdata(done.result->body, source.url);
               !catalogue) {
        problem = catalogue.error().message;
    } else {
        source.catalogue = std::move(*catalogue);
        source.body = done.result->body;
        source.known = true;
        changed_ = true;
    }
    if (problem != source.problem) {
        if (problem.empty()) {
            spdlog::info("Traefik's API at {} answers", source.url);
        } else {
            spdlog::warn("Traefik's API: {}; {} backends stay as they were", problem, source.catalogue.backends.size());
        }
    }
    source.problem = problem;
    results_.count(problem);
}

bool Catalogues::take(const HttpDone& done) {
    for (auto& [key, source] : sources_) {
        if (source.ticket == done.ticket) {
            source.ticket.reset();
            take_catalogue(source, done);
            return true;
        }
        if (source.version_ticket == done.ticket) {
            source.version_ticket.reset();
            if (done.result && done.result->status == 200) {
                source.version = traefik::parse_version(done.result->body, source.url).value_or("");
            }
            return true;
        }
    }
    return false;
}

bool Catalogues::awaited() const {
    return std::ranges::any_of(
        sources_, [](const auto& entry) { return entry.second.ticket.has_value() && entry.second.problem.empty(); });
}

bool Catalogues::all_known() const {
    return !sources_.empty() && std::ranges::all_of(sources_, [](const auto& entry) { return entry.second.known; });
}

attribute::Catalogue Catalogues::merge_all() const {
    auto all = static_;
    for (const auto& [key, source] : sources_) {
        all = attribute::merged(std::move(all), source.catalogue);
    }
    return all_known() ? all : attribute::merged(std::move(all), *last_);
}

attribute::SharedCatalogue Catalogues::catalogue(Time now) {
    std::optional<attribute::Catalogue> all;
    if (std::exchange(changed_, false)) {
        all = merge_all();
        names_ = attribute::names_of(*all);
    }
    const auto network = sources_.empty() ? std::string() : sources_.begin()->second.network_namespace;
    resolver_->ask(names_, network, now);
    if (auto addresses = resolver_->take().addresses; all || addresses != addresses_) {
        all = all ? std::move(all) : merge_all();
        attribute::fill(*all, addresses);
        addresses_ = std::move(addresses);
        current_ = std::make_shared<const attribute::Catalogue>(*std::move(all));
        last_ = all_known() ? current_ : last_;
    }
    return current_;
}

}  // namespace upstat::agent
