// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.hpp"

#include <fmt/format.h>
#include <malloc.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ranges>
#include <utility>

#include "base/file.hpp"
#include "base/printable.hpp"
#include "base/url.hpp"
#include "base/version.hpp"
#include "publish/process.hpp"
#include "traefik/name.hpp"

namespace upstat::agent {

namespace {

using std::chrono::steady_clock;

/// How long a poll waits for Traefik's API before it goes on with the catalogue at hand.
constexpr auto api_patience = std::chrono::seconds(1);

/// How long a young series is pushed at 0: what is pushed reaches its reader an interval and a poll later than what is
/// scraped.
Millis pushed_zero_for(const config::Settings& settings) {
    return settings.metrics_zero_for == Millis(0)
               ? Millis(0)
               : settings.metrics_zero_for + settings.push_interval + settings.poll_interval;
}

/// The longest wait, if nothing is due: /-/healthy takes a loop that is silent for 30 s for dead.
constexpr Millis longest_wait = std::chrono::seconds(10);
/// How often the catalogue may change between two polls. Who lists the backends decides how often it does.
constexpr auto change_interval = Millis(100);

/// How often the kernel walks over the connections at most, whoever asks.
constexpr auto walk_interval = std::chrono::seconds(1);

constexpr auto out_of_routes =
    "all 65,535 numbers of routes have been given since the kernel's maps were made: responses of backends that have "
    "none are counted for the group of backends that list the server; stop upstat, run `upstat detach` and start it "
    "with "
    "another --state.path, so that counters and numbers begin anew";

/// A name for the time from one boot of the host to the next; empty where it has none.
std::string boot_id(const std::filesystem::path& root) {
    const auto text = read_file(root / "proc/sys/kernel/random/boot_id").value_or("");
    return text.substr(0, text.find('\n'));
}

/// Of the kernel, without its newline; empty where it cannot be read.
std::string name_of_host(const std::filesystem::path& root) {
    const auto text = read_file(root / "proc/sys/kernel/hostname").value_or("");
    return text.substr(0, text.find('\n'));
}

/// What the file says that --web.config.file names. All its mistakes are said, and the first is the error.
Result<publish::WebConfig> web_config(const std::string& file) {
    auto read = publish::load_web_config(file);
    if (read.mistakes.empty()) {
        return std::move(read.config);
    }
    for (const auto& mistake : read.mistakes | std::views::drop(1)) {
        spdlog::error("{}", mistake.text());
    }
    return std::unexpected(read.mistakes.front());
}

/// The moment by which a poll goes that begins now.
Moment due(const std::optional<Moment>& last, Moment now, Millis interval) {
    const auto at = aligned(last ? std::optional(last->at) : std::nullopt, now.at, interval);
    return {.at = at, .wall = now.wall + (at - now.at)};
}

}  // namespace

Result<std::unique_ptr<Agent>> Agent::start(const config::Settings& settings, Parts parts) {
    auto judgement = Judgement::make(settings.all_rules());
    if (!judgement) {
        return std::unexpected(judgement.error());
    }
    auto catalogues = Catalogues::open(settings, parts.root);
    if (!catalogues) {
        return std::unexpected(catalogues.error());
    }
    std::unique_ptr<Agent> agent(new Agent(settings, std::move(parts), *std::move(catalogues), *std::move(judgement)));
    if (auto locked = agent->state_.lock(); !locked) {
        return std::unexpected(locked.error());
    }
    auto tenants = agent->restore();  // first of all: it tells the Traefiks' numbers
    malloc_trim(0);                   // what the file's whole text and tree took is several times what is kept
    auto allowed = traefik::parse_allow(settings.traefik_allow, agent->parts_.root);
    if (!allowed) {
        return std::unexpected(allowed.error());
    }
    auto traefiks =
        Traefiks::open(*agent->parts_.kernel, *agent->parts_.executables, agent->parts_.root,
                       {.pid = settings.traefik_pid == 0 ? std::nullopt : std::optional(settings.traefik_pid),
                        .cgroup = settings.traefik_cgroup,
                        .allowed = *std::move(allowed),
                        .allow_text = fmt::format("{}", fmt::join(settings.traefik_allow, ","))},
                       std::move(tenants), *agent->timeline_);
    if (!traefiks) {
        return std::unexpected(traefiks.error());
    }
    agent->traefiks_ = std::move(*traefiks);
    agent->renew_walk();  // the kernel's types are read once, which takes longer than a Traefik that starts may wait
    malloc_trim(0);       // what they and the state file's text and tree took is many times what is kept
    agent->lost_counters_ = agent->parts_.counted_before && agent->ledger_.state().backends.empty();
    if (auto opened = agent->open_outside(); !opened) {
        return std::unexpected(opened.error());
    }
    return agent;
}

Result<void> Agent::open_outside() {
    const auto bound = std::max<Millis>(std::chrono::seconds(30), settings_.poll_interval * 4);
    auto config = web_config(settings_.web_config_file);
    if (!config) {
        return std::unexpected(config.error());
    }
    auto web = publish::Web::start({.listen = settings_.web_listen_address,
                                    .now = parts_.clock.steady,
                                    .heartbeat_bound = bound,
                                    .config = *std::move(config)});
    if (!web) {
        return std::unexpected(web.error());
    }
    web_ = std::move(*web);
    for (const auto& address : web_->addresses()) {
        spdlog::info("metrics at {}{}/metrics", web_->scheme(), address);
    }
    auto receivers = Receivers::make(settings_, web_->scheme() + web_->addresses().front(), identity_, parts_.seed);
    if (!receivers) {
        return std::unexpected(receivers.error());
    }
    receivers_ = *std::move(receivers);
    return {};
}

Tenants Agent::restore() {
    auto restored = restore_state(settings_.state_path, parts_.kernel->epoch());
    if (auto adopted = parts_.kernel->adopt_zones(restored.saved.zones); !adopted) {
        restored = {.saved = {}, .notes = {adopted.error().text(), state_.set_aside()}};
    }
    timeline_.emplace(parts_.clock, boot_id(parts_.root), restored.saved.mark);
    identity_ = {.owner = parts_.kernel->epoch(),
                 .earlier = restored.saved.epoch,
                 .until = restored.saved.mark.value_or(Timeline::Mark()).last.wall};
    ledger_ = std::move(restored.saved.ledger);
    ledger_.skip_numbers(parts_.kernel->highest_route());
    saved_routes_ = ledger_.state().route_names.size();
    catalogues_.remember(ledger_.state().catalogue);
    probing_.look(*ledger_.state().catalogue, {}, timeline_->now().at);
    if (restored.saved.window) {
        if (auto note = judgement_.restore(*std::move(restored.saved.window), restored.saved.since); !note.empty()) {
            restored.notes.push_back(std::move(note));
        }
    }
    judgement_.restore(restored.saved.alerts);
    births_.restore(ledger_.state(), parts_.counted_before);
    if (auto note = chronicle_.restore(timeline_->now().at, ledger_.state().catalogue); !note.empty()) {
        restored.notes.push_back(std::move(note));
    }
    for (const auto& note : restored.notes) {
        spdlog::warn("{}", note);
    }
    const auto& mark = restored.saved.mark;
    return {std::move(restored.saved.tenants), parts_.kernel->zones(),
            mark ? std::optional(mark->last.at) : std::nullopt};
}

void Agent::poll() {
    const auto began = parts_.clock.steady();
    next_poll_ = std::max(next_poll_ + settings_.poll_interval, began);
    traefiks_->look();
    probing_.try_again();
    probe();
    heed_host_name();
    const auto now = due(last_poll_, timeline_->now(), settings_.poll_interval);
    auto snapshot = parts_.kernel->read(now.at);
    poll_duration_ = std::chrono::duration_cast<std::chrono::microseconds>(parts_.clock.steady() - began);
    if (!snapshot) {
        spdlog::error("{}", snapshot.error().text("nothing is judged until a poll succeeds"));
        polls_.count(snapshot.error().message);
        send(now);  // alerts stay as they were, and receivers are to know that
        return;
    }
    for (const auto& notice : fills_.look(*snapshot, told_names())) {
        spdlog::log(notice.error ? spdlog::level::err : spdlog::level::warn, "{}", notice.text);
    }
    polls_.count({});
    last_poll_ = now;
    // Asked after the maps were read: whatever was counted was sent to servers that Traefik knew by then.
    catalogues_.ask(*parts_.http, *parts_.configurations, *traefiks_, now.at);
    waiting_ = std::move(*snapshot);
    patience_ = began + std::min<steady_clock::duration>(api_patience, settings_.poll_interval);
}

/// Soon after a Traefik has come: before its first response.
void Agent::probe() {
    probing_.follow(*parts_.kernel, traefiks_->counted(), settings_.probe_tls, timeline_->now().at);
}

/// A group of the Pushgateway and alerts under a new name would be others than those that stand there already.
void Agent::heed_host_name() {
    auto name = name_of_host(parts_.root);
    if (name.empty() || name == host_name_) {
        return;
    }
    if (settings_.push_instance == host_name_) {
        spdlog::warn(
            "this host is called {} now: what is pushed and sent goes on under the name {}, push.instance, until "
            "upstat is restarted",
            printable(name), printable(host_name_));
    }
    host_name_ = std::move(name);
}

/// What was counted until now is the previous catalogue's; gives the one that is in force from now on.
attribute::SharedCatalogue Agent::close_books(const poll::Snapshot& snapshot) {
    auto catalogue = catalogues_.catalogue(snapshot.at, snapshot.servers);
    probing_.look(*catalogue, snapshot.servers, snapshot.at);
    probe();
    tell_looks(catalogue);
    const auto& before = ledger_.state().catalogue;
    if (absorbed_ && catalogue != before && *catalogue != *before) {
        ledger_.absorb(snapshot, before);
        is_ahead_ = true;
    }
    return catalogue;
}

/// Backends have changed between two polls: the maps are read at once, so that the next poll gives each what is its.
void Agent::change_catalogue() {
    const auto now = parts_.clock.steady();
    if (!absorbed_ || waiting_ || now < next_change_ || !catalogues_.changed()) {
        return;
    }
    next_change_ = now + change_interval;
    if (const auto snapshot = parts_.kernel->read(timeline_->now().at)) {  // an error is the next poll's to say
        ledger_.absorb(*snapshot, close_books(*snapshot));
        is_ahead_ = true;
    }
}

void Agent::absorb(poll::Snapshot snapshot) {
    auto catalogue = close_books(snapshot);
    const auto growth = is_ahead_ ? std::nullopt : ledger_.growth(snapshot, *catalogue);
    absorbed_ = true;
    counts_ = ledger_.absorb(snapshot, catalogue);
    if (lost_counters_ && !counts_.backends.empty()) {
        lost_counters_ = false;
        births_.restore(ledger_.state(), true);  // exported from 0, the whole total would look like one burst
    }
    if (auto zones = traefiks_->tenants().names(); zones != named_zones_) {
        traefik_names_ = traefik::short_names(zones);
        named_zones_ = std::move(zones);
    }
    const auto names = told_names();
    judgement_.evaluate(counts_, snapshot, ledger_, names, *last_poll_);
    chronicle_.add(*last_poll_, ledger_.state(), snapshot,
                   {.traefiks = traefiks_->watched(), .alerts = judgement_.alerts(), .rules = settings_.all_rules()});
    judgement_.explain(chronicle_.view(), *chronicle_.owners(), *ledger_.state().catalogue, names, snapshot);
    save(forget(snapshot) ? std::nullopt : growth);
    if (state_error_.empty()) {
        saved_routes_ = ledger_.state().route_names.size();
        tell_looks(catalogue);
    }
    chronicle_.save(last_poll_->at);
    publish(std::move(snapshot));
}

/// What nobody lists any more; true if there is something new to save.
bool Agent::forget(const poll::Snapshot& snapshot) {
    constexpr auto interval = std::chrono::hours(1);
    const auto& catalogue = ledger_.state().catalogue;
    if (settings_.forget_after == Millis(0) || (catalogue == looked_through_ && snapshot.at < next_look_)) {
        return false;
    }
    first_look_ = first_look_.value_or(snapshot.at);
    if (!catalogues_.all_known() && snapshot.at - *first_look_ < interval) {
        return false;  // an API that has not spoken yet may list what was listed before a restart
    }
    looked_through_ = catalogue;
    next_look_ = snapshot.at + interval;
    const bool changed = ledger_.forget(snapshot, settings_.forget_after);
    if (changed) {
        births_.keep(ledger_.state().backends);
        chronicle_.keep(ledger_.state().backends);
    }
    return changed;
}

/// The programs learn at which servers they must look for Traefik's own requests, and for routes.
void Agent::tell_looks(const attribute::SharedCatalogue& catalogue) {
    const std::tuple told(catalogue, catalogues_.all_known(), saved_routes_);
    if (told == std::exchange(told_looks_, told)) {
        return;
    }
    const auto set = parts_.kernel->set_servers(*catalogues_.listed(), route_tables(*catalogue, ledger_, saved_routes_),
                                                catalogues_.all_known());
    auto problem = set ? std::string() : set.error().text();
    if (!set) {
        told_looks_ = {};  // tried again at the next poll
    } else if (ledger_.is_out_of_numbers()) {
        problem = out_of_routes;
    }
    if (problem != looks_problem_ && !problem.empty()) {
        spdlog::error("{}", problem);
    }
    looks_problem_ = std::move(problem);
}

/// From now on nobody sees how Traefik's routers change: what is counted meanwhile is told by no router's name.
void Agent::forget_routes() {
    const auto set = parts_.kernel->set_servers(*catalogues_.listed(), {}, catalogues_.all_known());
    if (!set) {
        spdlog::error("{}", set.error().text());
    }
}

/// Before anything is published, so that no restart, not even after the power failed, shows less than was shown.
void Agent::save(const std::optional<attribute::Growth>& growth) {
    const auto alerts = judgement_.ongoing_alerts();
    const auto& zones = parts_.kernel->zones();
    const auto& tenants = traefiks_->tenants().all();
    auto saved = growth ? state_.append(*growth, alerts, last_poll_->wall, zones, tenants) : Result<bool>(false);
    if (saved && !*saved) {
        const auto all =
            state_.save(ledger_.state(), judgement_.history(), alerts, timeline_->mark(*last_poll_), zones, tenants);
        saved = all ? Result<bool>(true) : std::unexpected(all.error());
        malloc_trim(0);  // the whole text is rarely made, and longer than all that a poll needs
    }
    const auto error = saved ? std::string()
                             : saved.error().text(
                                   "a restart would go on from what was saved last, or begin the "
                                   "backends' counters anew");
    if (error != state_error_ && !error.empty()) {
        spdlog::error("{}", error);
    }
    state_error_ = error;
    is_ahead_ = is_ahead_ && !error.empty();
}

std::vector<publish::TraefikReport> Agent::traefik_reports() const {
    std::vector<publish::TraefikReport> reports;
    const auto names = told_names();
    for (const auto& watched : traefiks_->watched()) {
        const auto& [traefik, problem, zone] = watched;
        publish::TraefikReport report{.name = problem.empty() ? attribute::name_of(names, zone) : std::string(),
                                      .pid = traefik.pid,
                                      .cgroup = traefik.cgroup,
                                      .api = {},
                                      .version = {},
                                      .attached = problem.empty(),
                                      .shared = problem.empty() ? traefik.shared : "",
                                      .company = traefiks_->company(watched),
                                      .tls = probing_.state_of(traefik.pid, catalogues_.has_fast_proxy(traefik.pid)),
                                      .problem = problem.empty() ? traefiks_->partly(traefik.pid) : problem};
        const auto& sources = catalogues_.sources();
        auto source = sources.find(traefik.pid);
        source = source == sources.end() ? sources.find(-1) : source;
        if (source != sources.end()) {
            report.api = without_password(source->second.url);
            report.version = source->second.version;
            report.problem = report.problem.empty() ? source->second.problem : report.problem;
        }
        reports.push_back(std::move(report));
    }
    return reports;
}

/// Where only one Traefik was ever counted, nothing has to be told apart. It stays so when one of two has ended: series
/// and alerts that change their labels each time would be others each time.
attribute::TraefikNames Agent::told_names() const {
    return traefik_names_.size() > 1 ? traefik_names_ : attribute::TraefikNames{};
}

publish::Report Agent::report(poll::Snapshot snapshot) const {
    publish::Report report{.at = last_poll_->wall,
                           .not_ready = traefiks_->all_refused(),
                           .notice = catalogues_.notice().empty() ? looks_problem_ : catalogues_.notice(),
                           .build = {{"version", std::string(version())}, {"revision", std::string(revision())}},
                           .agent = settings_.push_instance,
                           .traefik_names = told_names(),
                           .names = settings_.metrics_names,
                           .traefiks = traefik_reports(),
                           .counts = counts_,
                           .servers = {},
                           .overflow = std::move(snapshot.overflow),
                           .probes = std::move(snapshot.probes),
                           .catalogue = ledger_.state().catalogue,
                           .client_errors = judgement_.client_errors(),
                           .outages = judgement_.outages(),
                           .before = judgement_.past().shared(),
                           .before_at = judgement_.past().since(),
                           .routed = judgement_.routed(),
                           .alerts = judgement_.alerts(),
                           .rules = settings_.all_rules(),
                           .history = chronicle_.view(),
                           .owners = chronicle_.owners(),
                           .sockets = socket_walk_,
                           .samples = samples_,
                           .kernel_errors = std::move(snapshot.kernel_errors),
                           .maps = std::move(snapshot.maps),
                           .programs = std::move(snapshot.programs),
                           .last_poll = last_poll_->wall,
                           .poll_duration = poll_duration_,
                           .polls = polls_,
                           .push = receivers_->push_results(),
                           .alertmanagers = receivers_->alertmanager_results(),
                           .traefik_api = catalogues_.results(),
                           .name_lookups = catalogues_.lookup_results(),
                           .unresolved = catalogues_.unresolved(),
                           .unresolved_names = catalogues_.unresolved_count(),
                           .unwatched_cgroups = traefiks_->unwatched(),
                           .config_reloaded = reloaded_,
                           .reading_threads = parts_.reading_threads,
                           .process = publish::read_process(parts_.root)};
    report.servers = ledger_.view(std::move(snapshot));
    for (const auto& [server, part] : ledger_.state().folded) {
        if (report.servers.servers.contains(server)) {
            report.folded.emplace(server, part.responses);
        }
    }
    return report;
}

/// Has a walk over the connections ready for whoever asks next: one a poll at most, and not more than one a second.
void Agent::renew_walk() {
    const auto now = parts_.clock.steady();
    if (now >= next_walk_ && (!socket_walk_ || socket_walk_->is_over())) {
        socket_walk_ = std::make_shared<const poll::SocketWalk>(parts_.kernel->walk_sockets(), parts_.clock.wall);
        next_walk_ = now + walk_interval;
    }
}

/// What the kernel keeps of requests, where that is wanted.
void Agent::take_samples() {
    if (settings_.samples == 0) {
        return;
    }
    auto samples = parts_.kernel->samples(judgement_.codes());
    samples_ = std::make_shared<const poll::Samples>(samples ? std::move(*samples)
                                                             : poll::Samples{.problem = samples.error().text()});
}

void Agent::publish(poll::Snapshot snapshot) {
    const auto now = timeline_->now().at;
    renew_walk();
    take_samples();
    auto shown = std::make_shared<const publish::Report>(report(std::move(snapshot)));
    // Neither goes back, whatever a reload says: who has seen a count must not see its 0 again.
    scraped_since_ = std::max(scraped_since_, now - settings_.metrics_zero_for);
    pushed_since_ = std::max(pushed_since_, now - pushed_zero_for(settings_));
    auto young = births_.take(shown, now, {.scraped = scraped_since_, .pushed = pushed_since_});
    page_ = std::make_shared<const publish::Page>(publish::Page{.report = std::move(shown),
                                                                .young = std::move(young),
                                                                .scraped_since = scraped_since_,
                                                                .pushed_since = pushed_since_});
    web_->publish(page_);
    tell_status(*page_->report);
    send(*last_poll_);
}

/// What `systemctl status` shows.
void Agent::tell_status(const publish::Report& report) {
    const auto firing = std::ranges::count(report.alerts.alerts, judge::State::firing, &judge::Alert::state);
    auto status = report.not_ready.empty()
                      ? fmt::format("Traefiks: {}, backends: {}, alerts that fire: {}", report.traefiks.size(),
                                    report.catalogue->backends.size(), firing)
                      : "not ready: " + report.not_ready;
    std::ranges::replace(status, '\n', ' ');  // which would begin another word of sd_notify's
    if (status != told_status_) {
        parts_.supervisor.tell("STATUS=" + status);
        told_status_ = std::move(status);
    }
}

/// By the moment of the poll: those are evenly spaced, so three polls of 5 s are a push interval of 15 s each time.
void Agent::send(Moment poll) {
    receivers_->send(*parts_.http, judgement_.alerts(), page_, poll);
}

/// Takes the signal that came; false when it ends the agent.
bool Agent::heed_signal() {
    signalfd_siginfo signal{};
    if (read(parts_.signals.get(), &signal, sizeof signal) != sizeof signal) {
        return true;  // it is gone again
    }
    if (signal.ssi_signo == SIGHUP) {
        parts_.supervisor.tell("RELOADING=1");
        reload();
        parts_.supervisor.tell("READY=1");
        return true;
    }
    return false;
}

/// All or nothing: one mistake, and everything stays as it was.
void Agent::reload() {
    const auto next = parts_.load();
    std::string problem;
    if (!next) {
        for (const auto& mistake : next.error()) {
            spdlog::error("{}", mistake.text());
        }
        problem = next.error().front().text();
    } else if (auto adopted = adopt(config::with_unreloadable(*next, started_with_)); !adopted) {
        problem = adopted.error().text();
        spdlog::error("{}", problem);
    }
    reloaded_ = problem.empty();
    chronicle_.note_reload(timeline_->now(), problem);
    if (!reloaded_) {
        spdlog::error("the settings are not reloaded: all goes on as before");
        return;
    }
    for (const auto& name : config::unreloadable_changes(started_with_, *next)) {
        spdlog::warn("{} cannot change while upstat runs: restart it to apply the new value", name);
    }
    spdlog::info("the settings are reloaded");
}

Result<void> Agent::adopt(const config::Settings& next) {
    auto receivers = Receivers::make(next, web_->scheme() + web_->addresses().front(), identity_, parts_.seed);
    if (!receivers) {
        return std::unexpected(receivers.error());
    }
    auto catalogues = Catalogues::open(next, parts_.root);
    if (!catalogues) {
        return std::unexpected(catalogues.error());
    }
    auto web = web_config(next.web_config_file);
    if (!web) {
        return std::unexpected(web.error());
    }
    if ((web->tls != nullptr) != web_->has_tls()) {
        return fail(Error::Kind::usage, "TLS of the web server cannot begin or end while upstat runs", "restart it");
    }
    if (auto judged = judgement_.set_rules(next.all_rules()); !judged) {
        return judged;
    }
    web_->configure(*std::move(web));
    receivers->succeed(*receivers_, *parts_.http, timeline_->now().at);
    receivers_ = *std::move(receivers);
    catalogues->remember(ledger_.state().catalogue);
    catalogues->succeed(std::move(catalogues_));
    catalogues_ = *std::move(catalogues);
    next_poll_ = std::min(next_poll_, parts_.clock.steady() + next.poll_interval);
    spdlog::default_logger()->set_level(spdlog::level::from_str(next.log_level));
    settings_ = next;
    return {};
}

/// Waits for whatever is next and takes what came; false when the agent is to end.
bool Agent::wait() {
    auto until = waiting_ ? std::min(patience_, next_poll_) : next_poll_;
    if (traefiks_->has_candidates()) {
        until = std::min(until, parts_.clock.steady() + traefiks_->candidates_interval());
    }
    const auto next_question = catalogues_.due_in(timeline_->now().at);
    until = std::min(until, parts_.clock.steady() + next_question);
    auto fds = traefiks_->fds();
    fds.push_back({.fd = parts_.catalogue_reader->fd(), .events = POLLIN, .revents = 0});
    fds.push_back({.fd = parts_.configurations->fd(), .events = POLLIN, .revents = 0});
    fds.push_back({.fd = probing_.fd(), .events = POLLIN, .revents = 0});
    fds.push_back({.fd = catalogues_.fd(timeline_->now().at), .events = POLLIN, .revents = 0});
    fds.push_back({.fd = parts_.signals.get(), .events = POLLIN, .revents = 0});
    const auto patience = parts_.supervisor.patience;
    const auto longest = patience == Millis(0) ? longest_wait : std::min(longest_wait, patience / 2);
    const auto due = std::chrono::ceil<Millis>(until - parts_.clock.steady());
    for (auto& done : parts_.http->wait(fds, std::clamp(due, Millis(0), longest))) {
        if (const auto now = timeline_->now().at; !catalogues_.take(done, *parts_.catalogue_reader, now)) {
            receivers_->take(done, now);
        }
    }
    for (auto& read : parts_.catalogue_reader->take()) {
        catalogues_.take(std::move(read), timeline_->now().at);
    }
    catalogues_.take(parts_.configurations->take(), *parts_.configurations, timeline_->now().at);
    if (fds.back().revents != 0 && !heed_signal()) {
        return false;
    }
    const auto now = timeline_->now().at;
    if (traefiks_->react(parts_.clock.steady())) {
        catalogues_.stir(now);
    }
    catalogues_.look(now);
    probe();
    return true;
}

bool Agent::turn() {
    web_->heartbeat(parts_.clock.steady());
    const auto now = parts_.clock.steady();
    if (parts_.supervisor.patience > Millis(0) && now >= next_sign_) {
        parts_.supervisor.tell("WATCHDOG=1");
        next_sign_ = now + parts_.supervisor.patience / 4;
    }
    if (parts_.clock.steady() >= next_poll_) {
        poll();
    }
    catalogues_.ask_due(*parts_.http, timeline_->now().at);
    change_catalogue();
    if (waiting_ && (!catalogues_.awaited() || parts_.clock.steady() >= patience_)) {
        absorb(*std::exchange(waiting_, std::nullopt));
    }
    return wait();
}

void Agent::run() {
    parts_.supervisor.tell("READY=1");  // Traefik may start: its cgroup is watched, or the programs are in it
    while (turn()) {
    }
    parts_.supervisor.tell("STOPPING=1");
    forget_routes();
    chronicle_.save(timeline_->now().at, true);
    spdlog::info("ending; the programs go on counting until `upstat detach`");
    receivers_->say_goodbye(*parts_.http, parts_.clock, timeline_->now().at);
}

}  // namespace upstat::agent
