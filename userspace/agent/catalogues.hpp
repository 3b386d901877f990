// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/ask_pace.hpp"
#include "agent/traefiks.hpp"
#include "attribute/counts.hpp"
#include "attribute/resolve.hpp"
#include "base/backoff.hpp"
#include "base/directory_watch.hpp"
#include "base/http_client.hpp"
#include "base/line_budget.hpp"
#include "base/outage.hpp"
#include "base/results.hpp"
#include "config/settings.hpp"
#include "traefik/api_address.hpp"
#include "traefik/catalogue_reader.hpp"
#include "traefik/configurations.hpp"
#include "traefik/listener.hpp"

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
    void remember(const attribute::SharedCatalogue& saved);

    /// Takes the place of `previous`: what its Traefiks have said stays in force until they say more.
    void succeed(Catalogues previous);

    /// Takes in which Traefiks there are now, and asks each API that has no response under way; to be called each poll.
    void ask(Http& http, traefik::Configurations& configurations, const Traefiks& traefiks, Time now);

    /// Takes what Traefiks' configurations say.
    void take(std::vector<traefik::ReadConfiguration> read, traefik::Configurations& configurations, Time now);

    /// Asks those whose turn it is, between two polls.
    void ask_due(Http& http, Time now);

    /// How long until that is to be called again.
    [[nodiscard]] Millis due_in(Time now) const;

    /// Readable when `look` has something to see; negative where there is none, or it looked a moment ago.
    [[nodiscard]] int fd(Time now) const { return now < quiet_until_ ? -1 : directories_.fd(); }

    /// Takes what the file system tells: a static map that has changed is read again, and where a Traefik's provider
    /// has a file that has changed, its API will say so soon.
    void look(Time now);

    /// Backends may change just now.
    void stir(Time now);

    /// Whether there is news for `catalogue`.
    [[nodiscard]] bool changed() const { return changed_ || resolver_->changes() != looked_up_; }

    /// Takes the end of an exchange and has its response read; false when it is not one of these.
    bool take(HttpDone& done, traefik::CatalogueReader& reader, Time now);

    /// Takes a response that was read.
    void take(traefik::Read read, Time now);

    /// Whether a response is awaited that will likely come: of an API that answered the last time or was never asked.
    [[nodiscard]] bool awaited() const;

    /// Everything that is known now, with the addresses of host names filled in. Where no backend of any Traefik is
    /// known, each server that was seen is one, called by its address.
    attribute::SharedCatalogue catalogue(Time now, const poll::Servers& seen);

    /// The same, before servers that several backends list got one of their own.
    [[nodiscard]] const attribute::SharedCatalogue& listed() const { return current_; }

    /// What is to be said although all goes on: no backend is known, or a Traefik sends to a proxy; empty: nothing.
    [[nodiscard]] std::string notice() const;

    /// Whether each API that is asked has given its catalogue: none of what is known is from before a restart.
    [[nodiscard]] bool all_known() const;

    /// Whether a Traefik's configuration, as far as it is known, has fastProxy.
    [[nodiscard]] bool has_fast_proxy(pid_t pid) const;

    /// What is known of one Traefik's API: its URL and version, and what is wrong with it.
    struct Source {
        std::string url;                      ///< empty: it is not asked, `problem` says why
        std::uint64_t start_time = 0;         ///< of the process whose it is
        bool unread = false;                  ///< its process's configuration: it is not known yet whether it is asked
        std::string network_namespace;        ///< empty: our own
        std::optional<std::uint16_t> zone;    ///< of the process that is asked; nothing: every Traefik's
        std::set<std::string> processes;      ///< its servers' names are theirs to look up
        traefik::OwnSockets own_sockets;      ///< on which it listens
        bool v1 = false;                      ///< speaks /api/providers
        std::optional<std::uint64_t> ticket;  ///< until the response is there and was read
        std::optional<std::uint64_t> version_ticket;
        std::string version;
        std::string problem;                 ///< of the last response; empty when it was good
        int failures = 0;                    ///< since then
        Outage outage{"Traefik's API", {}};  ///< what the log says of that
        LineBudget lines;    ///< of what else the log says of it: its owner decides how often it changes
        Backoff backoff{1};  ///< whoever answers instead of Traefik is not asked all the time
        AskPace pace;
        std::optional<Time> since;              ///< when it was first asked
        std::optional<traefik::BodyMark> body;  ///< of what its catalogue was read from; nothing: it gave none yet
        attribute::Catalogue catalogue;
    };
    [[nodiscard]] const std::map<int, Source>& sources() const { return sources_; }
    [[nodiscard]] const Results& results() const { return results_; }

    /// Look-ups of servers' host names.
    [[nodiscard]] const Results& lookup_results() const { return lookups_; }
    /// Host names whose last look-up failed, and why; of many the first.
    [[nodiscard]] std::map<std::string, std::string> unresolved() const;
    /// How many there are, with those that are too many to be looked up.
    [[nodiscard]] std::size_t unresolved_count() const { return failures_.size() + left_out_; }

  private:
    /// Of one Traefik.
    struct Configuration {
        std::uint64_t start_time = 0;
        traefik::ConfigurationFile file{};
        std::optional<traefik::ApiAddress> address{};  ///< nothing: it was not read yet
        std::string directory{};                       ///< that was to be watched
        bool under_way = false;
        int watch = -1;
    };

    Catalogues(config::Settings settings, std::filesystem::path root)
        : settings_(std::move(settings)), root_(std::move(root)) {}

    void update_sources(Time now);
    void read_configuration(pid_t pid, Configuration& configuration, traefik::Configurations& configurations) const;
    void point(Source& source, const traefik::ApiAddress& address, Time now) const;
    void add_traefik(const Watched& watched, std::map<int, Source>& sources, Time now);
    void say_proxies(const std::set<std::string>& before, Time now);
    void watch_files();
    void read_static();
    void ask_one(Http& http, int key, Source& source, Time now);
    [[nodiscard]] HttpRequest request(const Source& source, const std::string& path, std::size_t longest) const;
    [[nodiscard]] std::string stranger_at(int key, Source& source) const;
    void take_response(int key, Source& source, HttpDone& done, traefik::CatalogueReader& reader, Time now);
    void take_catalogue(Source& source, traefik::Read read, Time now);
    static bool read(const Source& source, HttpDone& done, traefik::CatalogueReader& reader);
    void end(Source& source, const std::string& problem, Time now, bool flips = false);
    void note(Source& source, const std::string& problem, Time now, bool flips = false);

    /// Whether the APIs that Traefiks' configurations tell of are asked.
    [[nodiscard]] bool finds_apis() const;
    void note_zones(Time now);
    static bool is_about(const Source& source, std::uint16_t zone);
    [[nodiscard]] bool all_known(std::uint16_t zone) const;
    [[nodiscard]] bool knows_routers(std::uint16_t zone) const;
    [[nodiscard]] std::set<std::string> processes_of(std::uint16_t zone) const;
    [[nodiscard]] static bool is_never_asked(const Source& source);
    [[nodiscard]] std::set<attribute::HostName> all_names() const;
    [[nodiscard]] attribute::Catalogue merge_all(const attribute::Known& known) const;
    [[nodiscard]] attribute::Catalogue merge_zone(std::uint16_t zone, const attribute::Addresses& addresses) const;
    [[nodiscard]] bool is_nameless(std::uint16_t zone, Time now) const;
    [[nodiscard]] std::string nameless_sentence() const;
    void add_nameless(const poll::Servers& seen, Time now);
    void note_lookups(const attribute::Known& known, Time now);

    config::Settings settings_;
    std::filesystem::path root_;
    std::string password_;
    attribute::Catalogue static_;
    attribute::Catalogue configured_;  ///< whom the Traefiks ask by themselves, as their own settings say
    struct stat static_status_{};      ///< of the file that it was read from
    std::string static_problem_;       ///< why it was not read again
    DirectoryWatch directories_;
    attribute::SharedCatalogue last_ = std::make_shared<const attribute::Catalogue>();  ///< what was in force before
    std::map<int, Source> sources_;                             ///< by Traefik's pid; of --traefik.api: by -1, -2, ...
    std::vector<Watched> traefiks_;                             ///< at the last poll
    std::vector<programs::Probed> counted_;                     ///< every process of theirs, likewise
    std::map<pid_t, Configuration> configurations_;             ///< of those that are counted
    Time quiet_until_ = Time::min();                            ///< whatever happens to the directories
    std::set<std::string> proxies_;                             ///< sentences about those that send to one
    std::map<std::uint16_t, std::set<poll::Server>> nameless_;  ///< servers that are backends for want of any
    std::set<std::string> processes_;                           ///< of all Traefiks that are counted
    std::map<std::uint16_t, std::set<std::string>> running_;    ///< the same by zone
    std::map<std::uint16_t, Time> ran_;  ///< when each zone had one for the last time; those in force
    bool changed_ = true;                ///< a catalogue, since they were merged
    attribute::SharedCatalogue shown_;   ///< current_, with a backend of its own for servers that several list
    attribute::SharedCatalogue current_ = std::make_shared<const attribute::Catalogue>();
    std::set<attribute::HostName> names_;  ///< the host names in it
    std::uint64_t looked_up_ = 0;          ///< the resolver's changes that are in it
    std::unique_ptr<attribute::Resolver> resolver_ = std::make_unique<attribute::Resolver>();
    std::map<attribute::HostName, std::string> failures_;  ///< look-ups that failed
    std::size_t left_out_ = 0;                             ///< names that are too many
    LineBudget lines_;                                     ///< of what the log says of names
    Results lookups_;
    Results results_;
};

}  // namespace upstat::agent
