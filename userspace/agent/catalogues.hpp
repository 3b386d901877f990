// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/traefiks.hpp"
#include "attribute/counts.hpp"
#include "attribute/resolve.hpp"
#include "base/http_client.hpp"
#include "base/outage.hpp"
#include "base/results.hpp"
#include "config/settings.hpp"
#include "traefik/api_address.hpp"

namespace upstat::agent {

/// The last good catalogue of every Traefik's API and of the static map, and the requests that renew them. An API that
/// is down or answers nonsense leaves its catalogue as it was; while a Traefik has not answered yet, what was known
/// before it came stays in force.
///
/// A backend is one Traefik's: what a Traefik's API lists is of its zone. The static map and the APIs that the user
/// named are about every Traefik of the host. What one that has ended listed stays in force for `gone_patience`, since
/// it may be about to start again, and as long as no other runs.
class Catalogues {
  public:
    /// Reads the password file and the static map; each mistake is an Error of kind usage.
    static Result<Catalogues> open(const config::Settings& settings, std::filesystem::path root);

    /// What was in force before a restart of the agent. Not used beside a static map, which says it all by itself.
    void remember(attribute::SharedCatalogue saved);

    /// Takes the place of `previous`: what its Traefiks have said stays in force until they say more.
    void succeed(Catalogues previous);

    /// Asks every API again that has no response under way.
    void ask(Http& http, const std::vector<Watched>& traefiks);

    /// Takes the end of an exchange; false when it is not one of these.
    bool take(const HttpDone& done, Time now);

    /// Whether a response is awaited that will likely come: of an API that answered the last time or was never asked.
    [[nodiscard]] bool awaited() const;

    /// Everything that is known now, with the addresses of host names filled in.
    attribute::SharedCatalogue catalogue(Time now);

    /// What is known of one Traefik's API: its URL and version, and what is wrong with it.
    struct Source {
        std::string url;                           ///< empty: it is not asked, `problem` says why
        std::string network_namespace;             ///< empty: our own
        std::optional<std::uint16_t> zone;         ///< of the process that is asked; nothing: every Traefik's
        traefik::ConfigurationFile configuration;  ///< of the process that is asked
        bool v1 = false;                           ///< speaks /api/providers
        std::optional<std::uint64_t> ticket;
        std::optional<std::uint64_t> version_ticket;
        std::string version;
        std::string problem;                       ///< of the last response; empty when it was good
        Outage outage{"Traefik's API", {}};        ///< what the log says of that
        bool known = false;                        ///< it has given a catalogue
        std::pair<std::size_t, std::size_t> body;  ///< size and hash of what it was read from
        attribute::Catalogue catalogue;
    };
    [[nodiscard]] const std::map<int, Source>& sources() const { return sources_; }
    [[nodiscard]] const Results& results() const { return results_; }

    /// Look-ups of servers' host names.
    [[nodiscard]] const Results& lookup_results() const { return lookups_; }
    /// Host names whose last look-up failed, and why.
    [[nodiscard]] std::map<std::string, std::string> unresolved() const;

  private:
    Catalogues(config::Settings settings, std::filesystem::path root)
        : settings_(std::move(settings)), root_(std::move(root)) {}

    void update_sources(const std::vector<Watched>& traefiks);
    [[nodiscard]] HttpRequest request(const Source& source, const std::string& path, std::size_t longest) const;
    void take_catalogue(Source& source, const HttpDone& done, Time now);

    /// Whether the APIs that Traefiks' configurations tell of are asked.
    [[nodiscard]] bool finds_apis() const;
    void note_zones(Time now);
    [[nodiscard]] bool all_known(std::uint16_t zone) const;
    [[nodiscard]] std::string network_of(std::uint16_t zone) const;
    [[nodiscard]] std::set<attribute::HostName> all_names() const;
    [[nodiscard]] attribute::Catalogue merge_all(const attribute::Addresses& addresses) const;
    [[nodiscard]] attribute::Catalogue merge_zone(std::uint16_t zone, const attribute::Addresses& addresses) const;
    void note_lookups(const attribute::Known& known);

    config::Settings settings_;
    std::filesystem::path root_;
    std::string password_;
    attribute::Catalogue static_;
    attribute::SharedCatalogue last_ = std::make_shared<const attribute::Catalogue>();  ///< what was in force before
    std::map<int, Source> sources_;      ///< by Traefik's pid; of --traefik.api: by -1, -2, ...
    std::set<std::uint16_t> running_;    ///< the zones whose Traefik runs
    std::map<std::uint16_t, Time> ran_;  ///< when it did last; of those in force
    bool changed_ = true;                ///< a catalogue, since they were merged
    attribute::SharedCatalogue current_;
    std::set<attribute::HostName> names_;  ///< the host names in it
    attribute::Addresses addresses_;       ///< of these, as they are in it
    std::unique_ptr<attribute::Resolver> resolver_ = std::make_unique<attribute::Resolver>();
    std::map<attribute::HostName, std::string> failures_;  ///< look-ups that were said to fail
    Results lookups_;
    Results results_;
};

}  // namespace upstat::agent
