// SPDX-License-Identifier: Apache-2.0
#include "agent/catalogues.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "agent/log_line.hpp"
#include "attribute/static_map.hpp"
#include "traefik/api_address.hpp"
#include "traefik/rawdata.hpp"

namespace upstat::agent {

namespace {

constexpr Millis api_timeout = std::chrono::seconds(5);

/// The namespace to connect from: empty where the process shares ours.
std::string foreign_network(const std::filesystem::path& root, const std::string& path) {
    std::error_code error;
    const auto theirs = std::filesystem::read_symlink(path, error);
    const auto ours = std::filesystem::read_symlink(root / "proc/self/ns/net", error);
    return error || theirs == ours ? std::string() : path;
}

}  // namespace

Result<Catalogues> Catalogues::open(const config::Settings& settings, std::filesystem::path root) {
    Catalogues catalogues(settings, std::move(root));
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
    if (settings_.backends_file.empty()) {
        last_ = std::move(saved);
    }
}

void Catalogues::update_sources(const std::vector<Watched>& traefiks) {
    std::map<int, Source> now;
    const auto kept = [&](int key) -> Source& {
        auto& source = now[key];
        if (const auto known = sources_.find(key); known != sources_.end()) {
            source = std::move(known->second);
        }
        return source;
    };
    const auto point = [this](Source& source, const traefik::ApiAddress& address, const std::string& network) {
        if (address.url.empty() && source.problem != address.source) {
            spdlog::log(settings_.backends_file.empty() ? spdlog::level::warn : spdlog::level::info,
                        "Traefik's API is not asked: {}", address.source);
        } else if (!address.url.empty() && source.url != address.url) {
            spdlog::info("reading the backends from {} ({})", address.url, address.source);
            source.outage = Outage("Traefik's API", address.url);
            source.problem.clear();
        }
        source.url = address.url;
        source.problem = address.url.empty() ? address.source : source.problem;
        source.network_namespace = network;
    };
    for (int i = 0; const auto& url : settings_.traefik_api) {
        point(kept(--i), {.url = url, .source = "--traefik.api"}, {});
    }
    for (const auto& [traefik, problem] : traefiks) {
        if (settings_.traefik_api.empty() && problem.empty()) {
            auto& source = kept(traefik.pid);
            // Who lists the servers by hand may have no API: whoever listens there instead would be believed.
            point(source,
                  finds_apis() ? traefik::api_address(root_, traefik, source.configuration)
                               : traefik::ApiAddress{.url = {}, .source = "--backends.file lists the servers"},
                  foreign_network(root_, traefik.network_namespace));
        }
    }
    const auto same = [](const auto& one, const auto& other) { return one.first == other.first; };
    changed_ = changed_ || !std::ranges::equal(sources_, now, same);
    sources_ = std::move(now);
}

HttpRequest Catalogues::request(const Source& source, const std::string& path, std::size_t longest) const {
    return {.url = source.url + path,
            .username = settings_.traefik_api_username,
            .password = password_,
            .files = {.ca_file = settings_.traefik_api_ca_file},
            .network_namespace = source.network_namespace,
            .direct = true,  // the environment's proxy is there for receivers
            .timeout = api_timeout,
            .max_bytes = longest};
}

void Catalogues::ask(Http& http, const std::vector<Watched>& traefiks) {
    update_sources(traefiks);
    for (auto& [key, source] : sources_) {
        if (source.url.empty()) {
            continue;
        }
        if (!source.ticket) {
            source.ticket = http.start(
                request(source, source.v1 ? "/api/providers" : "/api/rawdata", traefik::max_catalogue_bytes));
        }
        if (source.version.empty() && !source.version_ticket && source.problem.empty()) {
            source.version_ticket = http.start(request(source, "/api/version", traefik::max_version_bytes));
        }
    }
}

/// Has a response read. Else says why there is nothing to read.
std::string Catalogues::read(Source& source, HttpDone& done, traefik::CatalogueReader& reader) {
    if (!done.result) {
        return done.result.error();
    }
    if (done.result->status == 404) {
        source.v1 = !source.v1;  // the next request asks in the other version's way
        return fmt::format("{} has neither /api/rawdata nor, as Traefik v1 does, /api/providers: is the API on?",
                           source.url);
    }
    if (done.result->status != 200) {
        return fmt::format("{} answers {}", source.url, done.result->status);
    }
    const bool started =
        reader.start({.ticket = done.ticket,
                      .kind = source.v1 ? traefik::Unread::Kind::providers : traefik::Unread::Kind::rawdata,
                      .url = source.url,
                      .body = std::move(done.result->body),
                      .known = source.body});
    return started ? "" : fmt::format("the response of {} has to wait: there is too much to read", source.url);
}

void Catalogues::take_catalogue(Source& source, traefik::Read read, Time now) {
    if (read.catalogue && !*read.catalogue) {
        return end(source, read.catalogue->error().message, now);
    }
    if (read.catalogue) {  // else it is the same as before: most responses are that
        auto& said = **read.catalogue;
        if (said.left_out != 0) {
            spdlog::warn("{} lists {} names of more than 512 bytes: they are left out", source.url, said.left_out);
        }
        source.catalogue = std::move(said.catalogue);
        source.body = read.mark;
        changed_ = true;
    }
    end(source, "", now);
}

/// A request has come to its end: empty, or what is wrong.
void Catalogues::end(Source& source, const std::string& problem, Time now) {
    source.ticket.reset();
    auto line = source.outage.note(problem, now);
    if (line && line->failing) {
        line->text += fmt::format("; {} backends stay as they were", source.catalogue.backends.size());
    }
    log_line(line);
    source.problem = problem;
    results_.count(problem);
}

bool Catalogues::take(HttpDone& done, traefik::CatalogueReader& reader, Time now) {
    for (auto& [key, source] : sources_) {
        if (source.ticket == done.ticket) {
            if (const auto problem = read(source, done, reader); !problem.empty()) {
                end(source, problem, now);
            }
            return true;
        }
        if (source.version_ticket == done.ticket) {
            const bool good = done.result && done.result->status == 200 &&
                              reader.start({.ticket = done.ticket,
                                            .kind = traefik::Unread::Kind::version,
                                            .url = source.url,
                                            .body = std::move(done.result->body),
                                            .known = {}});
            source.version_ticket = good ? source.version_ticket : std::nullopt;
            return true;
        }
    }
    return false;
}

void Catalogues::take(traefik::Read read, Time now) {
    for (auto& [key, source] : sources_) {
        if (source.ticket == read.ticket) {
            return take_catalogue(source, std::move(read), now);
        }
        if (source.version_ticket == read.ticket) {
            source.version_ticket.reset();
            source.version = std::move(read.version);
            return;
        }
    }
}

bool Catalogues::awaited() const {
    return std::ranges::any_of(
        sources_, [](const auto& entry) { return entry.second.ticket.has_value() && entry.second.problem.empty(); });
}

bool Catalogues::finds_apis() const {
    return settings_.traefik_api.empty() && settings_.backends_file.empty();
}

bool Catalogues::all_known() const {
    return !sources_.empty() &&
           std::ranges::all_of(sources_, [](const auto& entry) { return entry.second.body.has_value(); });
}

/// Where names of the static map are looked up: where the Traefik runs that it is about.
std::string Catalogues::first_network() const {
    return sources_.empty() ? std::string() : sources_.begin()->second.network_namespace;
}

std::set<attribute::HostName> Catalogues::all_names() const {
    auto names = attribute::names_of(static_, first_network());
    for (const auto& [key, source] : sources_) {
        names.merge(attribute::names_of(source.catalogue, source.network_namespace));
    }
    if (!all_known()) {
        names.merge(attribute::names_of(*last_, first_network()));
    }
    return names;
}

attribute::Catalogue Catalogues::merge_all(const attribute::Addresses& addresses) const {
    const auto filled = [&addresses](attribute::Catalogue catalogue, const std::string& network) {
        attribute::fill(catalogue, network, addresses);
        return catalogue;
    };
    auto all = filled(static_, first_network());
    for (const auto& [key, source] : sources_) {
        all = merged(std::move(all), filled(source.catalogue, source.network_namespace));
    }
    return all_known() ? all : merged(std::move(all), filled(*last_, first_network()));
}

/// A failure is said once when a name's look-up fails for another reason than before, and once when it works again.
void Catalogues::note_lookups(const attribute::Known& known) {
    for (const auto& [name, reason] : known.failures) {
        if (const auto before = failures_.find(name); before == failures_.end() || before->second != reason) {
            spdlog::warn("the server name {} cannot be looked up{}: {}; its responses are counted as unmapped",
                         name.host, name.network_namespace.empty() ? "" : " in " + name.network_namespace, reason);
        }
    }
    for (const auto& [name, reason] : failures_) {
        if (names_.contains(name) && !known.failures.contains(name)) {
            spdlog::info("the server name {} is found again", name.host);
        }
    }
    failures_ = known.failures;
    lookups_ = {.success = known.succeeded,
                .failure = known.failed,
                .last_error = failures_.empty() ? "" : failures_.begin()->second};
}

attribute::SharedCatalogue Catalogues::catalogue(Time now) {
    const bool changed = std::exchange(changed_, false);
    if (changed) {
        names_ = all_names();
    }
    resolver_->ask(names_, now);
    auto known = resolver_->known();
    note_lookups(known);
    if (changed || known.addresses != addresses_) {
        current_ = std::make_shared<const attribute::Catalogue>(merge_all(known.addresses));
        addresses_ = std::move(known.addresses);
        last_ = all_known() ? current_ : last_;
    }
    return current_;
}

std::map<std::string, std::string> Catalogues::unresolved() const {
    std::map<std::string, std::string> names;
    for (const auto& [name, reason] : failures_) {
        names.emplace(name.host, reason);
    }
    return names;
}

void Catalogues::succeed(Catalogues previous) {
    results_ = std::move(previous.results_);
    resolver_ = std::move(previous.resolver_);
    failures_ = std::move(previous.failures_);
    lookups_ = std::move(previous.lookups_);
    for (auto& [key, source] : previous.sources_) {
        const bool is_found = key >= 0;  // those of --traefik.api may be others now
        if (is_found && finds_apis() && previous.finds_apis()) {
            sources_.emplace(key, std::move(source));
        }
    }
}

}  // namespace upstat::agent
