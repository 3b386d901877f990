// SPDX-License-Identifier: Apache-2.0
#include "agent/catalogues.hpp"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <ranges>
#include <utility>

#include "agent/log_line.hpp"
#include "attribute/shared.hpp"
#include "attribute/static_map.hpp"
#include "base/http_files.hpp"
#include "base/printable.hpp"
#include "base/regular_file.hpp"
#include "base/url.hpp"
#include "traefik/api_address.hpp"
#include "traefik/proc.hpp"
#include "traefik/rawdata.hpp"

namespace upstat::agent {

namespace {

constexpr Millis api_timeout = std::chrono::seconds(5);
/// A restart takes less. A pod that was replaced never comes back.
constexpr Millis gone_patience = std::chrono::minutes(5);
/// A file system may not respond for so long before that is said.
constexpr Millis unread_patience = std::chrono::seconds(10);
/// Whoever owns a directory decides how often something happens in it. Short enough that the rest of what one change to
/// a file does is seen before Traefik has taken that in: later it would be a sign of another change.
constexpr Millis look_interval{20};

/// How long an API that was never read is waited for.
constexpr Millis nameless_after = std::chrono::seconds(30);  // before what no backend lists goes to `unmapped`
/// In a row, before an API's routers are those of before.
constexpr int most_failures = 3;
constexpr auto ways_to_names =
    "start Traefik with --api.insecure=true, or name its API with --traefik.api, or the backends with --backends.file";

bool is_nameless_backend(const std::pair<const attribute::BackendName, attribute::Backend>& entry) {
    return attribute::is_nameless(entry.second);
}

/// The namespace to connect from: empty where the process shares ours.
std::string foreign_network(const std::filesystem::path& root, const std::string& path) {
    std::error_code error;
    const auto theirs = std::filesystem::read_symlink(path, error);
    const auto ours = std::filesystem::read_symlink(root / "proc/self/ns/net", error);
    return error || theirs == ours ? std::string() : path;
}

/// The directories of those that are counted; our own where there is none.
std::set<std::string> all_processes_of(const std::filesystem::path& root, const std::vector<Watched>& traefiks) {
    std::set<std::string> processes;
    for (const auto& [traefik, problem, zone] : traefiks) {
        if (problem.empty()) {
            processes.insert(traefik::proc_of(root, traefik.pid).string());
        }
    }
    return processes.empty() ? std::set<std::string>{""} : processes;
}

/// A name of which nothing was heard yet is what it was: a Traefik that has restarted asks anew.
void keep_pending(attribute::Catalogue& catalogue, const attribute::Catalogue& before,
                  const std::set<std::string>& pending) {
    for (auto& [name, backend] : catalogue.backends) {
        const auto known = before.backends.find(name);
        for (auto& listed : backend.listed) {
            const auto endpoint = listed.servers.empty() ? attribute::endpoint_of(listed.url) : std::nullopt;
            if (known == before.backends.end() || !endpoint || !pending.contains(endpoint->host)) {
                continue;
            }
            const auto same = std::ranges::find(known->second.listed, listed.url, &attribute::Listed::url);
            listed.servers = same == known->second.listed.end() ? listed.servers : same->servers;
        }
    }
}

auto keys_of(const auto& map) {
    const auto keys = std::views::keys(map);
    return std::set(keys.begin(), keys.end());
}

bool is_same_file(const struct stat& one, const struct stat& other) {
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino && one.st_size == other.st_size &&
           one.st_ctim.tv_sec == other.st_ctim.tv_sec && one.st_ctim.tv_nsec == other.st_ctim.tv_nsec;
}

}  // namespace

Result<Catalogues> Catalogues::open(const config::Settings& settings, std::filesystem::path root) {
    Catalogues catalogues(settings, std::move(root));
    if (const auto& file = settings.traefik_api_password_file; !file.empty()) {
        auto password = read_password(file);
        if (!password) {
            return fail(Error::Kind::usage, "traefik.api.password-file: " + password.error().message,
                        password.error().hint);
        }
        catalogues.password_ = *std::move(password);
    }
    if (!settings.backends_file.empty()) {
        auto map = attribute::load_static_map(settings.backends_file);
        if (!map.mistakes.empty()) {
            return std::unexpected(map.mistakes.front());
        }
        catalogues.static_status_ = open_regular(settings.backends_file).status;
        catalogues.static_ = std::move(map.catalogue);
        catalogues.watch_files();
    }
    return catalogues;
}

void Catalogues::remember(const attribute::SharedCatalogue& saved) {
    if (settings_.backends_file.empty()) {
        last_ = std::make_shared<const attribute::Catalogue>(attribute::without_shared(*saved));
    }
}

/// Where a source is to be found from now on, and what the log says of that.
void Catalogues::point(Source& source, const traefik::ApiAddress& address, Time now) const {
    if (address.url.empty() && source.problem != address.source && source.lines.take(now)) {
        spdlog::log(settings_.backends_file.empty() ? spdlog::level::warn : spdlog::level::info,
                    "Traefik's API is not asked: {}", address.source);
    } else if (!address.url.empty() && source.url != address.url) {
        const auto shown = without_password(address.url);
        if (source.lines.take(now)) {
            spdlog::info("reading the backends from {} ({})", shown, address.source);
        }
        source.outage = Outage("Traefik's API", shown);
        source.problem.clear();
    }
    source.url = address.url;
    source.problem = address.url.empty() ? address.source : source.problem;
}

/// Takes in one Traefik that is counted: its configuration, and its API unless another was named.
void Catalogues::add_traefik(const Watched& watched, std::map<int, Source>& sources, Time now) {
    const auto& traefik = watched.traefik;
    const auto process = traefik::proc_of(root_, traefik.pid).string();
    running_[watched.zone].insert(process);
    const auto& configuration = configurations_[traefik.pid];
    const auto address = configuration.address.value_or(traefik::ApiAddress{
        .url = {},
        .source = fmt::format("the files of Traefik (pid {}) lie where no response comes from", traefik.pid)});
    if (!address.proxy.empty()) {
        proxies_.insert(
            fmt::format("Traefik (pid {}) has {} in its environment: what it sends to that proxy is counted for the "
                        "proxy's address, and for no backend",
                        traefik.pid, address.proxy));
    }
    for (const auto& url : address.asked) {
        configured_.asked.push_back(attribute::listed_at(url));
    }
    if (settings_.traefik_api.empty()) {
        auto& source = sources[traefik.pid] = std::move(sources_[traefik.pid]);
        if (source.start_time != traefik.start_time) {
            source = Source();  // its id was another's, who is not to be taken for it
            source.start_time = traefik.start_time;
        }
        source.unread = !configuration.address;
        source.since = source.unread ? source.since.value_or(now) : source.since;
        if (!finds_apis()) {  // who lists the servers by hand may have no API: whoever listens there would be believed
            point(source, {.url = {}, .source = "--backends.file lists the servers"}, now);
        } else if (!source.unread || now - *source.since >= unread_patience) {
            point(source, address, now);
        }
        source.network_namespace = foreign_network(root_, traefik.network_namespace);
        source.processes = {process};
        source.zone = watched.zone;
    }
}

/// Whoever starts Traefiks decides how many there are to be told of.
void Catalogues::say_proxies(const std::set<std::string>& before, Time now) {
    for (const auto& sentence : proxies_) {
        if (!before.contains(sentence) && lines_.take(now)) {
            spdlog::warn("{}", sentence);
        }
    }
}

void Catalogues::update_sources(Time now) {
    const auto before = keys_of(sources_);
    auto processes = all_processes_of(root_, traefiks_);
    std::map<int, Source> sources;
    for (int i = 0; const auto& url : settings_.traefik_api) {
        --i;  // not below: what stands on the right of an assignment comes first
        auto& source = sources[i] = std::move(sources_[i]);
        point(source, {.url = url.text, .source = "--traefik.api"}, now);
        source.processes = processes;
    }
    running_.clear();
    const auto proxies = std::exchange(proxies_, {});
    const auto configured = std::exchange(configured_, {});
    std::set<int> pids;
    for (const auto& watched : traefiks_) {
        if (watched.problem.empty()) {
            add_traefik(watched, sources, now);
            pids.insert(watched.traefik.pid);
        }
    }
    say_proxies(proxies, now);
    std::erase_if(configurations_, [&pids](const auto& entry) { return !pids.contains(entry.first); });
    changed_ = changed_ || before != keys_of(sources) || processes != processes_ || configured_ != configured;
    sources_ = std::move(sources);
    for (auto& [key, source] : sources_) {
        if (const auto unsaid = source.lines.unsaid()) {
            spdlog::warn("{} more lines of the API of {} are not said: it changes all the time", unsaid,
                         key < 0 ? without_password(source.url) : fmt::format("Traefik (pid {})", key));
        }
    }
    watch_files();
    if (processes != processes_) {
        processes_ = std::move(processes);
        for (auto& [key, source] : sources_) {
            source.backoff.succeeded();  // it may be there again
        }
    }
}

HttpRequest Catalogues::request(const Source& source, const std::string& path, std::size_t longest) const {
    return {.url = source.url + path,
            .username = settings_.traefik_api_username,
            .password = password_,
            .files = {.ca_file = settings_.traefik_api_ca_file},
            .host = settings_.traefik_api_host,
            .verify = !settings_.traefik_api_insecure_skip_verify,
            .network_namespace = source.network_namespace,
            .direct = true,  // the environment's proxy is there for receivers
            .timeout = api_timeout,
            .max_bytes = longest};
}

/// Whether what a source names may be asked and believed. An API that was found, not named, is Traefik's own or none.
std::string Catalogues::stranger_at(int key, Source& source) const {
    if (key >= 0 && traefik::stat_of(root_, key).value_or(ProcessStat{}).start_time != source.start_time) {
        return fmt::format("Traefik (pid {}) has ended: its API is not asked any more", key);
    }
    const auto address = key < 0 ? std::nullopt : attribute::endpoint_of(source.url);
    return address ? traefik::not_its_listener(root_, key, *address, source.own_sockets) : "";
}

void Catalogues::watch_files() {
    std::set<int> watches;
    for (const auto& [pid, configuration] : configurations_) {
        watches.insert(configuration.watch);
    }
    if (!settings_.backends_file.empty()) {
        const auto path = std::filesystem::absolute(settings_.backends_file).parent_path();
        watches.insert(DirectoryWatch::add(*directories_.handle(), {.top = {}, .path = path}));
    }
    directories_.keep(watches);
}

void Catalogues::look(Time now) {
    if (now >= quiet_until_ && directories_.take()) {
        quiet_until_ = now + look_interval;
        read_static();
        stir(now);
    }
}

void Catalogues::stir(Time now) {
    for (auto& [key, source] : sources_) {
        source.pace.stir(now);
    }
}

/// A mistake leaves the backends as they are.
void Catalogues::read_static() {
    const auto status = open_regular(settings_.backends_file).status;
    if (settings_.backends_file.empty() || is_same_file(status, static_status_)) {
        return;
    }
    static_status_ = status;
    auto map = attribute::load_static_map(settings_.backends_file);
    const auto problem = map.mistakes.empty() ? std::string() : map.mistakes.front().text();
    if (!problem.empty() && problem != static_problem_) {
        spdlog::error("{}; its backends stay as they were", problem);
    } else if (problem.empty() && map.catalogue != static_) {
        spdlog::info("{} has changed: it lists {} backends", settings_.backends_file, map.catalogue.backends.size());
        static_ = std::move(map.catalogue);
        changed_ = true;
    }
    static_problem_ = problem;
}

void Catalogues::ask_one(Http& http, int key, Source& source, Time now) {
    if (source.url.empty() || source.ticket || !source.backoff.ready(now)) {
        return;
    }
    source.pace.asked(now);
    source.since = source.since.value_or(now);
    if (const auto stranger = stranger_at(key, source); !stranger.empty()) {
        note(source, stranger, now);
        return;
    }
    source.ticket =
        http.start(request(source, source.v1 ? "/api/providers" : "/api/rawdata", traefik::max_catalogue_bytes));
    if (source.version.empty() && !source.version_ticket && source.problem.empty()) {
        source.version_ticket = http.start(request(source, "/api/version", traefik::max_version_bytes));
    }
}

/// One at a time, however long it takes.
void Catalogues::read_configuration(pid_t pid, Configuration& configuration,
                                    traefik::Configurations& configurations) const {
    if (configuration.under_way) {
        return;
    }
    configuration.directory = configuration.address.value_or(traefik::ApiAddress()).files;
    configuration.under_way = configurations.start({.root = root_,
                                                    .pid = pid,
                                                    .start_time = configuration.start_time,
                                                    .known = configuration.file,
                                                    .directory = configuration.directory,
                                                    .handle = directories_.handle()});
}

void Catalogues::take(std::vector<traefik::ReadConfiguration> read, traefik::Configurations& configurations, Time now) {
    for (auto& one : read) {
        const auto found = configurations_.find(one.pid);
        if (found == configurations_.end() || found->second.start_time != one.start_time) {
            continue;  // it has ended
        }
        auto& configuration = found->second;
        configuration.under_way = false;
        changed_ = changed_ || !configuration.address || configuration.address->flattens != one.address.flattens;
        configuration.file = std::move(one.file);
        configuration.address = std::move(one.address);
        configuration.watch = one.handle == directories_.handle() ? one.watch : -1;
        if (configuration.address->files != configuration.directory) {
            read_configuration(one.pid, configuration, configurations);  // to watch it
        }
    }
    if (!read.empty()) {
        update_sources(now);
    }
}

void Catalogues::ask(Http& http, traefik::Configurations& configurations, const Traefiks& traefiks, Time now) {
    traefiks_ = traefiks.watched();
    changed_ = changed_ || counted_ != traefiks.counted();
    counted_ = traefiks.counted();
    for (const auto& [traefik, problem, zone] : traefiks_) {
        if (!problem.empty()) {
            continue;
        }
        auto& configuration = configurations_[traefik.pid];
        if (configuration.start_time != traefik.start_time) {
            configuration = Configuration{.start_time = traefik.start_time};
        }
        read_configuration(traefik.pid, configuration, configurations);
    }
    update_sources(now);
    for (auto& [key, source] : sources_) {
        ask_one(http, key, source, now);
    }
}

void Catalogues::ask_due(Http& http, Time now) {
    for (auto& [key, source] : sources_) {
        if (source.pace.wait(now, settings_.poll_interval) == Millis(0)) {
            ask_one(http, key, source, now);
        }
    }
}

Millis Catalogues::due_in(Time now) const {
    auto due = settings_.poll_interval;
    if (now < quiet_until_) {
        due = std::min(due, quiet_until_ - now);
    }
    for (const auto& [key, source] : sources_) {
        if (!source.url.empty() && !source.ticket && source.backoff.ready(now)) {
            due = std::min(due, source.pace.wait(now, settings_.poll_interval));
        }
    }
    return due;
}

/// Has a response read. False where too much waits for that.
bool Catalogues::read(const Source& source, HttpDone& done, traefik::CatalogueReader& reader) {
    return reader.start({.ticket = done.ticket,
                         .kind = source.v1 ? traefik::Unread::Kind::providers : traefik::Unread::Kind::rawdata,
                         .url = without_password(source.url),
                         .body = std::move(done.result->body),
                         .known = source.body});
}

void Catalogues::take_response(int key, Source& source, HttpDone& done, traefik::CatalogueReader& reader, Time now) {
    if (const auto stranger = stranger_at(key, source); !stranger.empty()) {
        end(source, stranger, now);
    } else if (!done.result) {
        end(source, done.result.error(), now);
    } else if (done.result->status == 404) {
        source.v1 = !source.v1;  // the next request asks in the other version's way
        end(source,
            fmt::format("{} has neither /api/rawdata nor, as Traefik v1 does, /api/providers: is the API on?",
                        without_password(source.url)),
            now, source.v1);
    } else if (done.result->status != 200) {
        end(source, fmt::format("{} answers {}", without_password(source.url), done.result->status), now);
    } else if (!read(source, done, reader)) {
        end(source,
            fmt::format("the response of {} has to wait: there is too much to read", without_password(source.url)),
            now);
    }
}

void Catalogues::take_catalogue(Source& source, traefik::Read read, Time now) {
    if (read.catalogue && !*read.catalogue) {
        return end(source, read.catalogue->error().message, now);
    }
    if (read.catalogue) {  // else it is the same as before, as most responses are
        auto& said = **read.catalogue;
        if (said.left_out != 0 && source.lines.take(now)) {
            spdlog::warn("{} lists {} names of more than 512 bytes: they are left out", without_password(source.url),
                         said.left_out);
        }
        source.catalogue = std::move(said.catalogue);
        source.body = read.mark;
        source.pace.changed(now);
        changed_ = true;
    }
    end(source, "", now);
}

/// The next one may be asked.
void Catalogues::end(Source& source, const std::string& problem, Time now, bool flips) {
    source.ticket.reset();
    source.pace.answered(now);
    note(source, problem, now, flips);
}

/// `flips`: the other version's way is tried at once.
void Catalogues::note(Source& source, const std::string& problem, Time now, bool flips) {
    auto line = source.outage.note(problem, now);
    if (line && line->failing) {
        line->text += fmt::format("; {} backends stay as they were", source.catalogue.backends.size());
    }
    log_line(line);
    source.problem = problem;
    const bool was_silent = source.failures >= most_failures;
    source.failures = problem.empty() ? 0 : source.failures + 1;
    changed_ = changed_ || was_silent != (source.failures >= most_failures);
    results_.count(problem);
    if (problem.empty()) {
        source.backoff.succeeded();
    } else if (!flips) {
        source.backoff.failed(now, std::nullopt);
    }
}

bool Catalogues::take(HttpDone& done, traefik::CatalogueReader& reader, Time now) {
    for (auto& [key, source] : sources_) {
        if (source.ticket == done.ticket) {
            take_response(key, source, done, reader, now);
            return true;
        }
        if (source.version_ticket == done.ticket) {
            const bool good = done.result && done.result->status == 200 &&
                              reader.start({.ticket = done.ticket,
                                            .kind = traefik::Unread::Kind::version,
                                            .url = without_password(source.url),
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
    return std::ranges::any_of(sources_, [](const auto& entry) {
        const auto& source = entry.second;
        return (source.ticket || source.unread) && source.problem.empty();
    });
}

bool Catalogues::finds_apis() const {
    return settings_.traefik_api.empty() && settings_.backends_file.empty();
}

bool Catalogues::is_never_asked(const Source& source) {
    return source.url.empty() && !source.unread;
}

/// A Traefik that has no API to be asked is not waited for where another one has said something.
bool Catalogues::all_known() const {
    const auto is_read = [](const auto& entry) { return entry.second.body.has_value(); };
    return std::ranges::any_of(sources_, is_read) && std::ranges::all_of(sources_, [&](const auto& entry) {
               return is_read(entry) || is_never_asked(entry.second);
           });
}

bool Catalogues::is_about(const Source& source, std::uint16_t zone) {
    return source.zone.value_or(zone) == zone;
}

/// Whether all who speak for a zone have spoken.
bool Catalogues::all_known(std::uint16_t zone) const {
    bool any = false;
    for (const auto& [key, source] : sources_) {
        if (!is_about(source, zone)) {
            continue;
        }
        if (!source.body && !is_never_asked(source)) {
            return false;
        }
        any = any || source.body;
    }
    return any;
}

/// Whether whoever sends in a zone is one Traefik whose routers are known now, and whose rules mean what a request
/// shows. Priorities and entry points say nothing between the routers of two. An API that was named may be any one's.
bool Catalogues::knows_routers(std::uint16_t zone) const {
    std::vector<const Source*> sources;
    for (const auto& [key, source] : sources_) {
        if (is_about(source, zone)) {
            sources.push_back(&source);
        }
    }
    if (sources.size() != 1 || !all_known(zone) || sources.front()->failures >= most_failures) {
        return false;
    }
    std::vector<pid_t> pids;
    for (const auto& process : counted_) {
        if (process.zone == sources.front()->zone.value_or(process.zone)) {
            pids.push_back(process.pid);
        }
    }
    const auto found = pids.size() == 1 ? configurations_.find(pids.front()) : configurations_.end();
    return found != configurations_.end() && found->second.address && !found->second.address->flattens;
}

bool Catalogues::has_fast_proxy(pid_t pid) const {
    const auto found = configurations_.find(pid);
    return found != configurations_.end() && found->second.address && found->second.address->is_fast;
}

/// Whose the names are that a zone's catalogue holds. What one has listed that has ended stays as it was.
std::set<std::string> Catalogues::processes_of(std::uint16_t zone) const {
    const auto found = running_.find(zone);
    return found != running_.end() ? found->second : running_.empty() ? processes_ : std::set<std::string>{};
}

/// Which Traefiks the catalogue is about.
void Catalogues::note_zones(Time now) {
    const auto before = ran_.size();
    for (const auto& [zone, processes] : running_) {
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
        names.merge(attribute::names_of(source.catalogue, source.processes));
    }
    for (const auto& [zone, ran] : ran_) {
        names.merge(attribute::names_of(static_, processes_of(zone)));
        names.merge(attribute::names_of(configured_, processes_of(zone)));
        if (!all_known(zone)) {
            names.merge(attribute::names_of(attribute::part_of(*last_, zone), processes_of(zone)));
        }
    }
    return names;
}

attribute::Catalogue Catalogues::merge_zone(std::uint16_t zone, const attribute::Addresses& addresses) const {
    const auto processes = processes_of(zone);
    const auto filled = [&](attribute::Catalogue catalogue) {
        attribute::fill(catalogue, processes, addresses);
        return catalogue;
    };
    auto all = merged(filled(static_), filled(configured_));
    for (const auto& [key, source] : sources_) {
        if (is_about(source, zone)) {
            all = merged(std::move(all), filled(source.catalogue));
        }
    }
    if (!all_known(zone)) {
        auto before = filled(attribute::part_of(*last_, zone));
        if (!all.backends.empty()) {  // servers have names again
            std::erase_if(before.backends, is_nameless_backend);
        }
        all = merged(std::move(all), before);
    }
    return knows_routers(zone) ? all : without_routers(std::move(all));
}

attribute::Catalogue Catalogues::merge_all(const attribute::Known& known) const {
    attribute::Catalogue all;
    for (const auto& [zone, ran] : ran_) {
        auto part = attribute::moved_to(merge_zone(zone, known.addresses), zone);
        all = all == attribute::Catalogue{} ? std::move(part) : merged(std::move(all), part);
    }
    keep_pending(all, *current_, known.pending);
    for (const auto& [zone, servers] : nameless_) {
        for (const auto& server : servers) {
            const auto address = to_string(server);
            all.backends.try_emplace(
                attribute::BackendName(address, zone),
                attribute::Backend{.provider = attribute::nameless_provider,
                                   .listed = {{.url = "http://" + address, .up = true, .servers = {server}}}});
        }
    }
    return all;
}

/// A failure is said once when a name's look-up fails for another reason than before, and once when it works again.
/// Whoever lists names decides how many there are, so there is an end to it.
void Catalogues::note_lookups(const attribute::Known& known, Time now) {
    for (const auto& [name, reason] : known.failures) {
        const auto before = failures_.find(name);
        if ((before == failures_.end() || before->second != reason) && lines_.take(now)) {
            spdlog::warn("the server name {} cannot be looked up{}: {}; its responses are counted as unmapped",
                         printable(name.host), name.process.empty() ? "" : " as " + name.process + " would",
                         printable(reason));
        }
    }
    for (const auto& [name, reason] : failures_) {
        if (names_.contains(name) && !known.failures.contains(name) && lines_.take(now)) {
            spdlog::info("the server name {} is found again", printable(name.host));
        }
    }
    if (known.left_out != 0 && left_out_ == 0) {
        spdlog::warn("{} server names are not looked up: of one Traefik the first 1,000 are", known.left_out);
    }
    if (const auto unsaid = lines_.unsaid()) {
        spdlog::warn("{} more lines of server names and proxies are not said: `upstat status` has them", unsaid);
    }
    failures_ = known.failures;
    left_out_ = known.left_out;
    lookups_ = {.success = known.succeeded,
                .failure = known.failed,
                .last_error = failures_.empty() ? "" : failures_.begin()->second};
}

/// Whether no backend of a Traefik is known and none will be soon: nobody can be asked, or nobody has answered for half
/// a minute.
bool Catalogues::is_nameless(std::uint16_t zone, Time now) const {
    const auto is_named = [zone](const auto& entry) { return entry.first.zone == zone && !is_nameless_backend(entry); };
    if (!static_.backends.empty() || std::ranges::any_of(last_->backends, is_named)) {
        return false;
    }
    bool any = false;
    for (const auto& [key, source] : sources_) {
        const bool is_silent =
            !source.body && (is_never_asked(source) || (source.since && now - *source.since >= nameless_after));
        if (is_about(source, zone) && !is_silent) {
            return false;
        }
        any = any || is_about(source, zone);
    }
    return any;
}

void Catalogues::add_nameless(const poll::Servers& seen, Time now) {
    constexpr std::size_t most = 1000;  // of one Traefik
    std::map<std::uint16_t, std::set<poll::Server>> nameless;
    for (const auto& [zone, ran] : ran_) {
        if (is_nameless(zone, now)) {
            const auto known = nameless_.find(zone);
            nameless.emplace(zone, known == nameless_.end() ? std::set<poll::Server>() : known->second);
        }
    }
    changed_ = changed_ || keys_of(nameless) != keys_of(nameless_);
    nameless_.swap(nameless);
    if (nameless_.size() > nameless.size()) {
        spdlog::warn("{}", nameless_sentence());
    }
    for (const auto& [server, totals] : seen) {
        const auto zone = nameless_.find(server.zone);
        if (zone != nameless_.end() && totals.requests != 0 && zone->second.size() < most &&
            zone->second.insert(server).second) {
            changed_ = true;
        }
    }
}

/// Of which Traefik it is, where others' backends are known.
std::string Catalogues::nameless_sentence() const {
    std::vector<std::string> pids;
    for (const auto& [pid, source] : sources_) {
        if (source.zone && nameless_.contains(*source.zone)) {
            pids.push_back(std::to_string(pid));
        }
    }
    const bool all = nameless_.size() == ran_.size() || pids.empty();
    return fmt::format("no backend {}is known, so each server is shown and judged by its address: {}",
                       all ? "" : fmt::format("of the Traefik with pid {} ", fmt::join(pids, " and ")), ways_to_names);
}

std::string Catalogues::notice() const {
    std::vector<std::string> sentences(proxies_.begin(), proxies_.end());
    if (!nameless_.empty()) {
        sentences.insert(sentences.begin(), nameless_sentence());
    }
    return fmt::format("{}", fmt::join(sentences, "; "));
}

attribute::SharedCatalogue Catalogues::catalogue(Time now, const poll::Servers& seen) {
    note_zones(now);
    add_nameless(seen, now);
    const bool changed = std::exchange(changed_, false);
    if (changed) {
        names_ = all_names();
    }
    resolver_->ask(names_, now);
    const auto changes = resolver_->changes();
    const auto known = resolver_->known();
    note_lookups(known, now);
    if (changed || changes != looked_up_) {
        current_ = std::make_shared<const attribute::Catalogue>(merge_all(known));
        shown_ = std::make_shared<const attribute::Catalogue>(attribute::with_shared(*current_));
        looked_up_ = changes;
        last_ = settings_.backends_file.empty() ? current_ : last_;
    }
    return shown_;
}

std::map<std::string, std::string> Catalogues::unresolved() const {
    constexpr std::size_t most_shown = 100;
    std::map<std::string, std::string> names;
    for (const auto& [name, reason] : failures_ | std::views::take(most_shown)) {
        names.emplace(printable(name.host), printable(reason));
    }
    return names;
}

void Catalogues::succeed(Catalogues previous) {
    results_ = std::move(previous.results_);
    resolver_ = std::move(previous.resolver_);
    failures_ = std::move(previous.failures_);
    left_out_ = previous.left_out_;
    traefiks_ = std::move(previous.traefiks_);
    counted_ = std::move(previous.counted_);
    configurations_ = std::move(previous.configurations_);
    for (auto& [pid, configuration] : configurations_) {
        configuration.watch = -1;  // that one was of the previous descriptor
    }
    processes_ = std::move(previous.processes_);  // else the servers' names would be none's until the next poll
    lines_ = previous.lines_;
    current_ = std::move(previous.current_);
    lookups_ = std::move(previous.lookups_);
    for (auto& [key, source] : previous.sources_) {
        const bool is_found = key >= 0;  // those of --traefik.api may be others now
        if (is_found && finds_apis() && previous.finds_apis()) {
            sources_.emplace(key, std::move(source));
        }
    }
}

}  // namespace upstat::agent
