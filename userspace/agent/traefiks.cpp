// SPDX-License-Identifier: Apache-2.0
#include "agent/traefiks.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <ranges>
#include <string_view>
#include <utility>

#include "traefik/name.hpp"
#include "traefik/proc.hpp"

namespace upstat::agent {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

namespace {

/// New cgroups that are looked into.
constexpr std::size_t most_candidates = 1000;
/// A container's cgroup is made well before its process becomes Traefik: as long as that may take.
constexpr auto candidacy = std::chrono::seconds(10);

/// Each keeps its programs loaded: a unit's cgroup is made anew at each restart, and its first request follows soon.
constexpr std::size_t most_gone = 16;
/// Traefiks that are told apart, unless the user names more.
constexpr std::size_t most_zones = 1024;
constexpr std::string_view no_room_hint = "upstat bounds how many new Traefiks it counts";

/// Whether a cgroup that is there lacks programs: it was made unseen, or an administrator detached them.
bool is_bare(const std::string& cgroup, const std::set<std::uint64_t>& attached) {
    struct stat info{};
    return stat(cgroup.c_str(), &info) == 0 && !attached.contains(info.st_ino);
}

bool is_refused(const traefik::Instance& traefik) {
    return traefik.refused.has_value();
}

}  // namespace

Result<Traefiks> Traefiks::open(Kernel& kernel, traefik::Executables& executables, const fs::path& root,
                                const traefik::FindOptions& options, Tenants tenants, const Timeline& timeline) {
    Traefiks traefiks(kernel, executables, root, options, std::move(tenants), timeline);
    const auto mount = traefik::cgroup2_mount(root);
    if (!mount) {
        return fail(Error::Kind::host, "no cgroup v2 is mounted on this host",
                    "boot with systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2 none /sys/fs/cgroup/unified");
    }
    if (auto watch = traefik::CgroupWatch::open(*mount); watch) {
        traefiks.cgroups_ = std::move(*watch);
    } else {
        spdlog::warn("{}", watch.error().text("a Traefik that restarts is found at the next poll only"));
    }
    if (!options.cgroup.empty()) {
        const auto cgroup = traefik::explicit_cgroup(root, options.cgroup);
        if (!cgroup) {
            return std::unexpected(cgroup.error());
        }
        if (std::error_code error; !fs::exists(*cgroup, error)) {
            spdlog::warn("--traefik.cgroup {} is not there yet: waiting for it", options.cgroup);
            if (const auto zone = traefiks.zone_of(*cgroup); !zone) {
                return std::unexpected(zone.error());
            }
        } else if (auto attached = traefiks.attach(*cgroup, {}); !attached) {
            return std::unexpected(attached.error());
        }
    }
    auto found = traefiks.find_first();
    if (!found) {
        return std::unexpected(found.error());
    }
    std::erase_if(*found, [](const traefik::Instance& traefik) { return !traefik.believed; });
    if (!found->empty() && std::ranges::all_of(*found, is_refused)) {
        return std::unexpected(*found->front().refused);
    }
    traefiks.look();
    if (found->empty() && options.cgroup.empty()) {
        spdlog::warn(
            "no Traefik runs on this host that would be counted: waiting for one; --traefik.pid or --traefik.cgroup "
            "name "
            "one");
    }
    return traefiks;
}

/// A Traefik that is there is known before anything is said of it; but an executable may lie where no response comes
/// from.
Result<std::vector<traefik::Instance>> Traefiks::find_first() {
    constexpr int patience = 20;
    constexpr int milliseconds = 100;
    auto found = finder_.find();
    for (int waits = 0; waits < patience && finder_.is_reading(); ++waits) {
        pollfd ready{.fd = finder_.fd(), .events = POLLIN, .revents = 0};
        ::poll(&ready, 1, milliseconds);
        finder_.take_read();
    }
    return found ? finder_.find() : std::move(found);
}

Result<std::vector<traefik::Instance>> Traefiks::find() {
    auto found = finder_.find();
    // --traefik.pid has ended: whoever lives where it lived is its successor
    if (found || !options_.pid) {
        return found;
    }
    const auto cgroups = std::views::keys(known_cgroups_);
    return finder_.successors({cgroups.begin(), cgroups.end()});
}

void Traefiks::look() {
    kernel_->drop_dead();
    std::erase_if(processes_, [](const traefik::ProcessWatch& watch) { return watch.ended(); });
    attach_again();
    auto found = find();
    if (!found) {
        spdlog::error("{}", found.error().text());
        return;
    }
    find_tenants(*found);
    std::vector<Watched> now;
    for (auto& traefik : *found) {
        const auto known = std::ranges::find_if(watched_, [&](const Watched& watched) {
            return watched.traefik.pid == traefik.pid && watched.traefik.start_time == traefik.start_time &&
                   watched.traefik.cgroup == traefik.cgroup;
        });
        if (known != watched_.end() && known->problem.empty() && !must_share(traefik)) {
            now.push_back(std::move(*known));
            continue;
        }
        // One that could not be counted is tried again: a neighbour in its cgroup may have been there for a moment
        // only.
        now.push_back({.traefik = std::move(traefik), .problem = {}, .zone = 0});
        if (!now.back().traefik.believed) {
            now.back().problem = now.back().traefik.refused->message + "; " + now.back().traefik.refused->hint;
            say_stranger(now.back().traefik);
            continue;
        }
        attach(now.back(), known != watched_.end() ? known->problem : std::string());
    }
    watched_ = std::move(now);
    watch_processes();
    find_counted();
    find_members();
    forget_gone();
    say_unwatched();
    say_company();
}

void Traefiks::attach_again() {
    const auto attached = kernel_->attached();
    for (const auto& [home, zone] : known_cgroups_) {
        if (!is_bare(home, attached)) {
            continue;
        }
        spdlog::warn("not all programs are on {}: attaching them", home);
        if (auto again = attach(home, {}); !again) {
            spdlog::error("{}", again.error().text());
        }
    }
}

/// Once for each kind, and not for ever: a stranger may start as many as he likes.
void Traefiks::say_stranger(const traefik::Instance& traefik) {
    constexpr std::size_t max_said = 64;
    if (said_strangers_.size() < max_said && said_strangers_.insert(traefik.refused->hint).second) {
        spdlog::warn("{}", traefik.refused->text());
    }
}

/// `problem_before` has been told already.
void Traefiks::attach(Watched& watched, const std::string& problem_before) {
    const auto& traefik = watched.traefik;
    auto error = traefik.refused;
    if (!error) {
        const bool is_shared = !traefik.shared.empty() || shared_.contains(traefik.cgroup);
        if (is_shared && zone_of(traefik.cgroup)) {  // one of its members before its programs are there
            shared_.insert(traefik.cgroup);
            members_.push_back(member_of(traefik));
        }
        if (auto attached = attach(traefik.cgroup, traefik::listening_ports(root_, traefik.pid)); !attached) {
            error = attached.error();
            error->message = fmt::format("Traefik (pid {}): {}", traefik.pid, error->message);
        }
    }
    if (error) {
        watched.problem = error->message;
        if (watched.problem != problem_before) {
            say_problem(*error);
        }
        return;
    }
    watched.zone = known_cgroups_.at(traefik.cgroup);
    spdlog::info("counting Traefik (pid {}) in {}{}", traefik.pid, traefik.cgroup,
                 traefik.shared.empty()
                     ? ""
                     : fmt::format(", which it shares with {}: only its own connections count", traefik.shared));
}

/// Of those for whom there is no room, who may be many, once.
void Traefiks::say_problem(const Error& error) {
    if (!error.hint.starts_with(no_room_hint) || said_.insert(error.hint).second) {
        spdlog::error("{}", error.text());
    }
}

/// Whether somebody has joined a Traefik that was alone. Where its connections cannot be told from theirs, all of its
/// cgroup counts as before.
bool Traefiks::must_share(const traefik::Instance& traefik) {
    if (traefik.shared.empty() || traefik.refused || shared_.contains(traefik.cgroup)) {
        return false;
    }
    members_.push_back(member_of(traefik));
    const auto problems = kernel_->set_members(members_, false);
    const auto problem = problems.find(traefik.pid);
    if (problem != problems.end() && said_.insert(traefik.cgroup).second) {
        spdlog::warn("Traefik (pid {}) shares its cgroup with {} now, whose requests count too: {}", traefik.pid,
                     traefik.shared, problem->second.text());
    }
    return problem == problems.end();
}

/// A cgroup in which others were seen stays shared: they may come again.
Result<void> Traefiks::attach(const std::string& cgroup, const std::set<std::uint16_t>& listening) {
    const auto zone = zone_of(cgroup);
    if (!zone) {
        return std::unexpected(zone.error());
    }
    return shared_.contains(cgroup) ? kernel_->attach_shared(cgroup, listening, *zone, members_)
                                    : kernel_->attach(cgroup, listening, *zone);
}

/// Before any new one gets a zone it is known who lives, and who is new beside it.
void Traefiks::find_tenants(const std::vector<traefik::Instance>& found) {
    std::set<std::string> living;
    for (const auto& traefik : found) {
        if (!traefik.refused) {
            living.insert(name_of(traefik.cgroup));
        }
    }
    tenants_.look(living, timeline_->now().at);
}

std::string Traefiks::name_of(const std::string& cgroup) const {
    const auto known = known_cgroups_.find(cgroup);
    return known == known_cgroups_.end() ? traefik::lasting_path(traefik::cgroup_path(root_, cgroup))
                                         : tenants_.all().at(known->second).name;
}

/// The number of what lives in a cgroup. It goes on with the name that it had. Of several at once that have one name,
/// as two containers of a pod have, each but the first gets a number behind it.
Result<std::uint16_t> Traefiks::zone_of(const std::string& cgroup) {
    if (const auto known = known_cgroups_.find(cgroup); known != known_cgroups_.end()) {
        return known->second;
    }
    const auto name = name_of(cgroup);
    for (int serial = 1;; ++serial) {
        const auto numbered = serial == 1 ? name : fmt::format("{}#{}", name, serial);
        const auto zone = zone_named(numbered);
        if (!zone) {
            return zone;
        }
        if (!is_taken(*zone) && !tenants_.is_of_another(*zone, numbered)) {
            // The cgroups of whoever lived there before are gone. Were one made again, it would be another's.
            std::erase_if(known_cgroups_, [&](const auto& entry) {
                return entry.second == *zone && tenants_.all().at(*zone).name != numbered;
            });
            tenants_.move_in(*zone, numbered);
            known_cgroups_.emplace(cgroup, *zone);
            return zone;
        }
    }
}

Result<std::uint16_t> Traefiks::zone_named(const std::string& name) {
    if (const auto own = tenants_.zone_of(name)) {
        return *own;
    }
    const auto inherited = tenants_.inherited(name, timeline_->now().at);
    if (!inherited || is_taken(*inherited)) {
        return new_zone(name);
    }
    spdlog::info("the Traefik {} takes the place of {}: its series go on", name, tenants_.all().at(*inherited).name);
    return *inherited;
}

/// Each new one's programs are loaded, which holds the loop up, and its number is never given back: whoever starts
/// Traefiks decides how many. Those that the user named have room anyhow.
Result<std::uint16_t> Traefiks::new_zone(const std::string& name) {
    constexpr std::size_t most_new = 16;
    constexpr auto interval = std::chrono::minutes(1);
    const auto now = timeline_->now().at;
    const auto names = std::views::values(kernel_->zones());
    if (std::ranges::find(names, name) != names.end() || options_.pid || !options_.cgroup.empty()) {
        return kernel_->zone_of(name);
    }
    std::erase_if(new_zones_, [&](Time at) { return at <= now - interval; });
    if (tenants_.all().size() >= most_zones) {
        return fail(Error::Kind::runtime, fmt::format("not counted: there were {} Traefiks already", most_zones),
                    fmt::format("{}: it counts none but those it has, unless --traefik.pid or --traefik.cgroup names "
                                "one",
                                no_room_hint));
    }
    if (new_zones_.size() >= most_new) {
        return fail(Error::Kind::runtime,
                    fmt::format("not counted yet: there were {} new Traefiks in a minute", most_new),
                    fmt::format("{}: the others follow, so many each minute", no_room_hint));
    }
    new_zones_.push_back(now);
    return kernel_->zone_of(name);
}

/// Of cgroups that are gone, those of the last that ended are known for when they are made again. Whoever lives on in
/// another one, as a pod in its next container, comes first to be forgotten.
void Traefiks::forget_gone() {
    std::vector<std::pair<Time, std::string>> gone;
    for (const auto& [cgroup, zone] : known_cgroups_) {
        if (std::error_code error; !fs::exists(cgroup, error)) {
            gone.emplace_back(tenants_.all().at(zone).ended.value_or(Time::min()), cgroup);
        }
    }
    std::ranges::sort(gone, std::greater());
    for (const auto& [ended, cgroup] : gone | std::views::drop(most_gone)) {
        known_cgroups_.erase(cgroup);
        shared_.erase(cgroup);
    }
    const auto zones = std::views::values(known_cgroups_);
    kernel_->keep_zones({zones.begin(), zones.end()});
}

bool Traefiks::is_taken(std::uint16_t zone) const {
    return std::ranges::any_of(known_cgroups_, [zone](const auto& entry) {
        std::error_code error;
        return entry.second == zone && fs::exists(entry.first, error);
    });
}

/// In a cgroup whose zone is known.
programs::Member Traefiks::member_of(const traefik::Instance& traefik) const {
    return {.pid = traefik.pid, .start_time = traefik.start_time, .zone = known_cgroups_.at(traefik.cgroup)};
}

/// One that has ended counts no more: its number may go to a neighbour. One whose executable is not read yet may have
/// been a member of an earlier agent's.
void Traefiks::find_members() {
    members_.clear();
    for (const auto& watched : watched_) {
        if (watched.problem.empty() && shared_.contains(watched.traefik.cgroup)) {
            members_.push_back(member_of(watched.traefik));
        }
    }
    member_problems_ = kernel_->set_members(members_, !finder_.is_reading());
    say_member_problems();
}

/// Each once: it is in `upstat status` as long as it lasts.
void Traefiks::say_member_problems() {
    constexpr std::size_t max_said = 64;
    for (const auto& [pid, problem] : member_problems_) {
        if (said_.size() < max_said && said_.insert(fmt::format("{} {}", pid, problem.message)).second) {
            spdlog::warn("Traefik (pid {}): connections that it had before are not counted: {}", pid, problem.text());
        }
    }
}

std::string Traefiks::partly(pid_t pid) const {
    const auto problem = member_problems_.find(pid);
    return problem == member_problems_.end()
               ? ""
               : "connections that it had before are not counted: " + problem->second.message;
}

/// Several Traefiks of one cgroup are one name, since nothing that lasts tells them apart.
std::string Traefiks::company(const Watched& watched) const {
    constexpr std::size_t most_named = 4;
    if (!watched.problem.empty()) {
        return "";
    }
    std::vector<std::string> pids;
    for (const auto& other : watched_) {
        if (other.problem.empty() && other.zone == watched.zone && other.traefik.pid != watched.traefik.pid) {
            pids.push_back(pids.size() < most_named ? std::to_string(other.traefik.pid) : "...");
        }
    }
    pids.resize(std::min(pids.size(), most_named + 1));
    auto text = pids.empty() ? ""
                             : fmt::format("the Traefik{} of its cgroup (pid {})", pids.size() == 1 ? "" : "s",
                                           fmt::join(pids, ", "));
    if (!watched.traefik.company.empty()) {
        text += fmt::format("{}all that lives in --traefik.cgroup: {}", text.empty() ? "" : ", and ",
                            watched.traefik.company);
    }
    return text;
}

/// Once for each cgroup, of its first Traefik.
void Traefiks::say_company() {
    for (const auto& watched : watched_) {
        const auto text = company(watched);
        if (text.empty() || !said_.insert("company in " + watched.traefik.cgroup).second) {
            continue;
        }
        spdlog::warn(
            "Traefik (pid {}) is counted together with {}: one name, and no routes are told apart; to have it "
            "apart, run it as a systemd unit or in a container{}",
            watched.traefik.pid, text, watched.traefik.company.empty() ? "" : ", or leave --traefik.cgroup out");
    }
}

/// Whoever makes its first socket in a shared cgroup may be a Traefik that has started just now.
bool Traefiks::take_newcomers() {
    bool found = false;
    const auto newcomers = kernel_->newcomers();
    has_newcomers_ = !newcomers.empty();
    for (const auto pid : newcomers) {
        const auto is_it = [pid](const Watched& watched) { return watched.traefik.pid == pid; };
        found = found || (std::ranges::none_of(watched_, is_it) && finder_.is_traefik(pid));
    }
    return found;
}

std::string Traefiks::all_refused() const {
    std::string problem;
    for (const auto& watched : watched_) {
        if (watched.problem.empty()) {
            return "";
        }
        problem = problem.empty() && watched.traefik.believed ? watched.problem : problem;
    }
    return problem;
}

void Traefiks::watch_processes() {
    for (const auto& watched : watched_) {
        const auto same = [&](const traefik::ProcessWatch& watch) { return watch.pid() == watched.traefik.pid; };
        // A descriptor each only for those that count: others could be as many as we may have.
        if (!watched.problem.empty() || std::ranges::any_of(processes_, same)) {
            continue;
        }
        if (auto watch = traefik::ProcessWatch::open(root_, watched.traefik.pid, watched.traefik.start_time); watch) {
            processes_.push_back(std::move(*watch));
        }
    }
}

void Traefiks::find_counted() {
    counted_.clear();
    for (const auto& [traefik, problem, zone] : watched_) {
        if (!problem.empty()) {
            continue;
        }
        auto pids = shared_.contains(traefik.cgroup) ? std::vector{traefik.pid} : traefik::processes_in(traefik.cgroup);
        std::erase_if(pids, [&](pid_t pid) { return pid == 0 || (pid != traefik.pid && !finder_.is_traefik(pid)); });
        for (const auto pid : pids) {
            if (const auto stat = traefik::stat_of(root_, pid)) {
                counted_.push_back({.pid = pid,
                                    .start_time = stat->start_time,
                                    .executable = traefik::proc_of(root_, pid) / "exe",
                                    .zone = zone});
            }
        }
    }
    std::ranges::sort(counted_);
    counted_.erase(std::ranges::unique(counted_).begin(), counted_.end());
}

std::vector<pollfd> Traefiks::fds() const {
    std::vector<pollfd> fds{{.fd = finder_.fd(), .events = POLLIN, .revents = 0}};
    if (cgroups_) {
        fds.push_back({.fd = cgroups_->fd(), .events = POLLIN, .revents = 0});
    }
    for (const auto& process : processes_) {
        fds.push_back({.fd = process.fd(), .events = POLLIN, .revents = 0});
    }
    if (kernel_->newcomers_fd() >= 0 &&
        !has_newcomers_) {  // else the next ones wait a moment: whoever starts processes decides how many
        fds.push_back({.fd = kernel_->newcomers_fd(), .events = POLLIN, .revents = 0});
    }
    return fds;
}

bool Traefiks::react(steady_clock::time_point now) {
    bool changed = finder_.take_read();
    changed = take_newcomers() || changed;
    bool stirred = false;
    for (const auto& process : processes_) {
        if (process.ended()) {
            spdlog::info("Traefik (pid {}) has ended", process.pid());
            await_successor(process.pid(), now);
            changed = true;
        }
    }
    for (const auto& event : cgroups_ ? cgroups_->take() : std::vector<traefik::CgroupEvent>{}) {
        stirred = true;
        if (event.kind == traefik::CgroupEvent::Kind::created) {
            on_cgroup_created(event.directory, now);
        } else {
            candidates_.erase(event.directory);
        }
    }
    for (auto candidate = candidates_.begin(); candidate != candidates_.end();) {
        const bool found = holds_new_traefik(candidate->first);
        changed = changed || found;
        candidate = found || now > candidate->second ? candidates_.erase(candidate) : std::next(candidate);
    }
    if (changed) {
        look();
    }
    return stirred;
}

/// The next one may come into the same cgroup, which tells nobody: it is to be found before its first request. In a
/// shared cgroup its first socket tells.
void Traefiks::await_successor(pid_t pid, steady_clock::time_point now) {
    const auto ended = std::ranges::find(watched_, pid, [](const Watched& watched) { return watched.traefik.pid; });
    if (ended != watched_.end() && !shared_.contains(ended->traefik.cgroup) && candidates_.size() < most_candidates) {
        candidates_[ended->traefik.cgroup] = now + candidacy;
    }
}

void Traefiks::on_cgroup_created(const std::string& cgroup, steady_clock::time_point now) {
    if (known_cgroups_.contains(cgroup)) {
        if (auto attached = attach(cgroup, {}); !attached) {
            spdlog::error("{}", attached.error().text());
        }
    }
    if (candidates_.size() <
        most_candidates) {  // whoever makes cgroups decides how many: the next poll finds the others
        candidates_[cgroup] = now + candidacy;
    }
}

bool Traefiks::holds_new_traefik(const std::string& cgroup) {
    return std::ranges::any_of(traefik::processes_in(cgroup), [this](pid_t pid) {
        const auto is_it = [pid](const Watched& watched) { return watched.traefik.pid == pid; };
        return pid != 0 && std::ranges::none_of(watched_, is_it) && finder_.is_traefik(pid);
    });
}

void Traefiks::say_unwatched() {
    if (const bool some = unwatched() != 0; some != std::exchange(said_unwatched_, some) && some) {
        spdlog::warn(
            "{} cgroups cannot be watched for want of inotify watches: a Traefik that starts in one is found at the "
            "next poll only, and what it sends until then is not counted. Raise the sysctl fs.inotify.max_user_watches",
            unwatched());
    }
}

}  // namespace upstat::agent
