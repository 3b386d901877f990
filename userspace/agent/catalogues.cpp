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
/// A restart takes less. A pod that was replaced never comes back.
constexpr Millis gone_patience = std::chrono::minutes(5);

/// The namespace to connect from: empty where the process shares ours.
std::string foreign_network(const std::filesystem::path& root, const std::string& path) {
    std::error_code error;
    const auto theirs = std::filesystem::read_symlink(path, error);
    const auto ours = std::filesystem::read_symlink(root / "proc/self/ns/net", error);
    return error || theirs == ours ? std::string() : path;
}

/// Enough to tell whether a response is the same again, without keeping it.
std::pair<std::size_t, std::size_t> summary_of(const std::string& body) {
    return {body.size(), std::hash<std::string>{}(body)};
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
    running_.clear();
    for (const auto& [traefik, problem, zone] : traefiks) {
        if (problem.empty()) {
            running_.insert(zone);
        }
        if (settings_.traefik_api.empty() && problem.empty()) {
            auto& source = kept(traefik.pid);
            source.zone = zone;
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

void Catalogues::take_catalogue(Source& source, const HttpDone& done, Time now) {
    std::string problem;
    const auto body = done.result ? summary_of(done.result->body) : source.body;
    if (!done.result) {
        problem = done.result.error();
    } else if (done.result->status == 404) {
        source.v1 = !source.v1;  // the next request asks in the other version's way
        problem = fmt::format("{} has neither /api/rawdata nor, as Traefik v1 does, /api/providers: is the API on?",
                              source.url);
    } else if (done.result->status != 200) {
        problem = fmt::format("{} answers {}", source.url, done.result->status);
    } else if (source.known && body == source.body) {
        // Nothing new: most responses are that.
    } else if (auto catalogue = source.v1 ? traefik::parse_providers(done.result->body, source.url)
                                          : traefik::parse_rawdata(done.result->body, source.url);
               !catalogue) {
        problem = catalogue.error().message;
    } else {
        if (catalogue->left_out != 0) {
            spdlog::warn("{} lists {} names of more than 512 bytes: they are left out", source.url,
                         catalogue->left_out);
        }
        source.catalogue = std::move(catalogue->catalogue);
        source.body = body;
        source.known = true;
        changed_ = true;
    }
    auto line = source.outage.note(problem, now);
    if (line && line->failing) {
        line->text += fmt::format("; {} backends stay as they were", source.catalogue.backends.size());
    }
    log_line(line);
    source.problem = problem;
    results_.count(problem);
}

bool Catalogues::take(const HttpDone& done, Time now) {
    for (auto& [key, source] : sources_) {
        if (source.ticket == done.ticket) {
            source.ticket.reset();
            take_catalogue(source, done, now);
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

bool Catalogues::finds_apis() const {
    return settings_.traefik_api.empty() && settings_.backends_file.empty();
}

/// Whether all who speak for a zone have spoken.
bool Catalogues::all_known(std::uint16_t zone) const {
    bool any = false;
    for (const auto& [key, source] : sources_) {
        const bool is_about_it = source.zone.value_or(zone) == zone;
        if (is_about_it && !source.known) {
            return false;
        }
        any = any || is_about_it;
    }
    return any;
}

/// Where names are looked up: where the Traefik runs that they are about.
std::string Catalogues::network_of(std::uint16_t zone) const {
    const auto found =
        std::ranges::find_if(sources_, [zone](const auto& entry) { return entry.second.zone.value_or(zone) == zone; });
    return found == sources_.end() ? std::string() : found->second.network_namespace;
}

/// Which Traefiks the catalogue is about.
void Catalogues::note_zones(Time now) {
    const auto before = ran_.size();
    for (const auto zone : running_) {
        changed_ = ran_.insert_or_assign(zone, now).second || changed_;
    }
    for (const auto zone : attribute::zones_in(*last_)) {
        ran_.try_emplace(zone, now);
    }
    if (!running_.empty()) {
        std::erase_if(ran_, [now](const auto& entry) { return now - entry.second >= gone_patience; });
    } else if (ran_.empty()) {
        ran_.emplace(0, now);  // before the first Traefik a static map is about it
    }
    changed_ = changed_ || ran_.size() != before;
}

std::set<attribute::HostName> Catalogues::all_names() const {
    std::set<attribute::HostName> names;
    for (const auto& [key, source] : sources_) {
        names.merge(attribute::names_of(source.catalogue, source.network_namespace));
    }
    for (const auto& [zone, ran] : ran_) {
        names.merge(attribute::names_of(static_, network_of(zone)));
        if (!all_known(zone)) {
            names.merge(attribute::names_of(attribute::part_of(*last_, zone), network_of(zone)));
        }
    }
    return names;
}

attribute::Catalogue Catalogues::merge_zone(std::uint16_t zone, const attribute::Addresses& addresses) const {
    const auto filled = [&addresses](attribute::Catalogue catalogue, const std::string& network) {
        attribute::fill(catalogue, network, addresses);
        return catalogue;
    };
    auto all = filled(static_, network_of(zone));
    for (const auto& [key, source] : sources_) {
        if (source.zone.value_or(zone) == zone) {
            all = merged(std::move(all), filled(source.catalogue, source.network_namespace));
        }
    }
    return all_known(zone) ? all : merged(std::move(all), filled(attribute::part_of(*last_, zone), network_of(zone)));
}

attribute::Catalogue Catalogues::merge_all(const attribute::Addresses& addresses) const {
    attribute::Catalogue all;
    for (const auto& [zone, ran] : ran_) {
        auto part = attribute::moved_to(merge_zone(zone, addresses), zone);
        all = all == attribute::Catalogue{} ? std::move(part) : merged(std::move(all), part);
    }
    return all;
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
    note_zones(now);
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
        last_ = settings_.backends_file.empty() ? current_ : last_;
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
