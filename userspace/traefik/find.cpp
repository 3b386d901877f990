// SPDX-License-Identifier: Apache-2.0
#include "traefik/find.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "traefik/proc.hpp"

namespace upstat::traefik {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view deleted = " (deleted)";
constexpr std::size_t max_strangers = 16;       ///< that are told of
constexpr std::size_t max_housemates = 16;      ///< Traefiks of one shared cgroup
constexpr std::size_t most_threads_of_one = 4;  ///< owner

std::string last_part(const std::string& path) {
    return fs::path(path).filename().string();
}

/// The name of the file that a process runs, as far as it can be told.
std::string program_of(const fs::path& root, pid_t pid) {
    std::error_code error;
    auto exe = fs::read_symlink(proc_of(root, pid) / "exe", error).string();
    if (error == std::errc::permission_denied) {  // an unprivileged agent still sees names
        return stat_of(root, pid).value_or(ProcessStat{}).comm;
    }
    if (!exe.ends_with(deleted)) {
        return last_part(exe);
    }
    // an upgrade replaced the file, and a package manager may have renamed it first (traefik.dpkg-tmp)
    exe.resize(exe.size() - deleted.size());
    if (last_part(exe) == "traefik" || stat_of(root, pid).value_or(ProcessStat{}).comm == "traefik") {
        return "traefik";
    }
    const auto arguments = strings_of(proc_of(root, pid) / "cmdline");
    return arguments.empty() ? last_part(exe) : last_part(arguments.front());
}

bool ended(const ProcessStat& stat) {
    return stat.state == 'Z' || stat.state == 'X';
}

/// A container's own check, `traefik healthcheck`, comes and goes beside the real one and proxies nothing.
bool is_errand(const fs::path& root, pid_t pid) {
    const auto arguments = strings_of(proc_of(root, pid) / "cmdline");
    return arguments.size() > 1 && (arguments[1] == "healthcheck" || arguments[1] == "version");
}

bool is_cgroup2(const fs::path& directory) {
    std::error_code error;
    return fs::exists(directory / "cgroup.controllers", error) && fs::exists(directory / "cgroup.procs", error);
}

/// Not there, but below a cgroup.
bool may_come(fs::path directory) {
    std::error_code error;
    if (fs::exists(directory, error)) {
        return false;
    }
    while (directory.has_relative_path() && !fs::exists(directory, error)) {
        directory = directory.parent_path();
    }
    return is_cgroup2(directory);
}

std::string described(const fs::path& root, pid_t pid) {
    if (pid == 0) {
        return "a process of another PID namespace";
    }
    return fmt::format("{} (pid {})", stat_of(root, pid).value_or(ProcessStat{.comm = "?"}).comm, pid);
}

/// Who started a process, who started that one, and so on; parents change while they are read.
std::set<pid_t> with_ancestors(Cgroups& cgroups, pid_t pid) {
    std::set<pid_t> all;
    for (std::optional<pid_t> one = pid; one && *one > 1 && all.insert(*one).second;) {
        one = cgroups.parent(*one);
    }
    return all;
}

/// Tells descendants of a process from others, and walks each line of descent once.
class Descent {
  public:
    Descent(Cgroups& cgroups, pid_t from) : cgroups_(&cgroups), known_{{from, true}, {1, false}, {0, false}} {}

    bool includes(pid_t pid) {
        std::vector<pid_t> line;
        std::optional<pid_t> one = pid;
        while (one && known_.try_emplace(*one, false).second) {
            line.push_back(*one);
            one = cgroups_->parent(*one);
        }
        // one that has ended meanwhile is no neighbour any more
        const bool is_one = !one || known_.at(*one);
        for (const auto below : line) {
            known_[below] = is_one;
        }
        return is_one;
    }

  private:
    Cgroups* cgroups_;
    std::map<pid_t, bool> known_;
};

/// Traefik, who started it there (`sh -c traefik`, tini) and what it started are one service; anything else is not.
std::vector<pid_t> neighbours(const fs::path& root, const Instance& traefik, Cgroups& cgroups) {
    const auto ancestors = with_ancestors(cgroups, traefik.pid);
    const auto program = program_of(root, traefik.pid);
    Descent descent(cgroups, traefik.pid);
    auto others = cgroups.processes_below(traefik.cgroup);
    std::erase_if(others, [&](pid_t pid) {
        return pid != 0 && (ancestors.contains(pid) || descent.includes(pid) ||
                            (is_errand(root, pid) && program_of(root, pid) == program));
    });
    return others;
}

/// systemd's name for it. Its shell is Traefik's ancestor, as a container's is, but it will run other things.
bool is_login_session(const fs::path& cgroup) {
    const auto name = cgroup.filename().string();
    return name.starts_with("session-") && name.ends_with(".scope");
}

std::string in_words(const fs::path& root, const std::vector<pid_t>& others) {
    return others.empty() ? ""
                          : fmt::format("{} other process{}, such as {}", others.size(), others.size() == 1 ? "" : "es",
                                        described(root, others.front()));
}

/// In words; empty for a cgroup that is Traefik's own.
std::string sharers(const fs::path& root, const Instance& traefik, Cgroups& cgroups) {
    if (is_root_cgroup(traefik.cgroup)) {
        return "every process without a cgroup of its own";
    }
    const auto others = neighbours(root, traefik, cgroups);
    if (others.empty()) {
        return is_login_session(traefik.cgroup) ? "what else its login session runs" : "";
    }
    return in_words(root, others);
}

/// The kernel tells processes apart by the numbers that the first namespace gives them, and only its processes see
/// those.
bool sees_other_numbers(const fs::path& root) {
    constexpr auto first = "pid:[4026531836]";
    std::error_code error;
    const auto own = fs::read_symlink(root / "proc/self/ns/pid", error).string();
    return own.starts_with("pid:") && own != first;
}

/// Sets what becomes of the cgroup that a Traefik lives in.
void judge_cgroup(const fs::path& root, Instance& traefik, Cgroups& cgroups) {
    if (traefik.cgroup.empty()) {
        traefik.refused =
            Error{.kind = Error::Kind::host,
                  .message = fmt::format("no cgroup v2 directory holds Traefik (pid {})", traefik.pid),
                  .hint =
                      "mount cgroup v2 (`mount -t cgroup2 none /sys/fs/cgroup/unified`); in a container, share the "
                      "host's PID namespace and run privileged"};
        return;
    }
    traefik.shared = sharers(root, traefik, cgroups);
    if (!traefik.shared.empty() && sees_other_numbers(root)) {
        traefik.refused =
            Error{.kind = Error::Kind::host,
                  .message = fmt::format("Traefik (pid {}) shares the cgroup {} with {}, and upstat "
                                         "cannot tell their connections apart in a PID namespace of its own",
                                         traefik.pid, traefik.cgroup, traefik.shared),
                  .hint = "share the host's PID namespace (`--pid=host`, `hostPID: true`)"};
    }
}

Error too_many(const Instance& traefik) {
    return {.kind = Error::Kind::host,
            .message = fmt::format("Traefik (pid {}) is not counted: the cgroup {} has {} already", traefik.pid,
                                   traefik.cgroup, max_housemates),
            .hint = "give Traefiks cgroups of their own: run each as a systemd unit or in a container"};
}

/// The highest of a process's user ids, real, effective, saved and of file systems: a setuid program that a person
/// starts is that person's. Not the owner of /proc/PID, which is root for a process that cannot be dumped.
std::optional<uid_t> user_of(const fs::path& root, pid_t pid) {
    for (const auto& line : split(read_file(proc_of(root, pid) / "status").value_or(""), '\n')) {
        if (!line.starts_with("Uid:")) {
            continue;
        }
        uid_t highest = 0;
        for (const auto& one : split(line.substr(line.find('\t') + 1), '\t')) {
            auto user = static_cast<uid_t>(-1);
            std::from_chars(one.data(), one.data() + one.size(), user);
            highest = std::max(highest, user);
        }
        return highest;
    }
    return std::nullopt;
}

/// Whose threads an executable is read on: a cgroup's or, where a user makes cgroups as he likes, the user's.
std::string owner_of(const fs::path& root, pid_t pid, Cgroups& cgroups) {
    static constexpr std::string_view users = "/user.slice/user-";
    const auto place = cgroups.of(pid);
    if (!place) {
        return fmt::format("user {}", user_of(root, pid).value_or(0));
    }
    return place->name.starts_with(users) ? place->name.substr(0, place->name.find('/', users.size())) : place->name;
}

Error not_allowed(const fs::path& root, const Instance& traefik, const FindOptions& options) {
    const auto user = user_of(root, traefik.pid);
    const auto who = user ? std::to_string(*user) : "?";
    return {.kind = Error::Kind::host,
            .message = fmt::format("Traefik (pid {}) of user {} is not counted: --traefik.allow is {}", traefik.pid,
                                   who, options.allow_text),
            .hint = fmt::format("count it with --traefik.allow={}{}{}, or name it with --traefik.pid or "
                                "--traefik.cgroup",
                                options.allow_text, options.allow_text.empty() ? "" : ",", who)};
}

Error not_traefik(const Instance& traefik) {
    return {.kind = Error::Kind::host,
            .message = fmt::format("process {} is called traefik and not counted: by Go's build information its "
                                   "executable is none",
                                   traefik.pid),
            .hint = "if it is one, name it with --traefik.pid or --traefik.cgroup"};
}

}  // namespace

std::optional<std::string> cgroup2_mount(const fs::path& root) {
    const auto mounts = own_cgroup_mounts(root);
    // A container may have two: its own part and, mounted for it, the host's tree, which is the one to watch.
    const auto widest = std::ranges::find_if(mounts, leads_out);
    const auto chosen = widest == mounts.end() ? mounts.begin() : widest;
    return mounts.empty() ? std::nullopt : std::optional(tidy(below(root, chosen->point)));
}

Result<std::string> explicit_cgroup(const fs::path& root, const std::string& cgroup) {
    const auto directory = below(root, cgroup);
    constexpr auto example = "name a directory such as /sys/fs/cgroup/system.slice/traefik.service";
    if (cgroup.starts_with('/') && may_come(directory)) {
        return tidy(directory);
    }
    if (!cgroup.starts_with('/') || !is_cgroup2(directory)) {
        return fail(Error::Kind::usage, fmt::format("--traefik.cgroup {} is not a cgroup v2 directory", cgroup),
                    example);
    }
    if (is_root_cgroup(directory)) {
        return fail(
            Error::Kind::usage,
            fmt::format("--traefik.cgroup {} is the root cgroup, which every process of the host shares", cgroup),
            example);
    }
    return tidy(directory);
}

/// Whoever names a process or a cgroup answers for who it is.
bool Finder::is_allowed(pid_t pid, Cgroups& cgroups) const {
    if (is_named()) {
        return true;
    }
    const auto user = user_of(root_, pid);
    if (!user || allows_user(options_.allowed, *user)) {
        return user.has_value();
    }
    const auto place = cgroups.of(pid);
    return place && allows_cgroup(options_.allowed, place->name);
}

/// Has a file read that was not yet, or that has changed since: not all the time, whatever its owner does to it. One
/// that keeps those waiting that were asked for with it is asked for alone. Those that are asked for the first time
/// share a thread.
void Finder::want(Seen& seen, const FileMark& mark, pid_t pid, Cgroups& cgroups) {
    const bool is_stale = seen.content == Content::unreadable || seen.version != mark.version;
    const bool is_due = seen.asked == Asked::no
                            ? seen.content == Content::unread || (is_stale && look_ >= seen.asked_at + looks_apart)
                            : seen.asked == Asked::among_others && look_ >= seen.asked_at + patience;
    if (!is_due) {
        return;
    }
    const bool is_first = seen.asked == Asked::no;
    auto owner = owner_of(root_, pid, cgroups);
    const auto thread = is_first && shared_thread_ != 0 ? shared_thread_ : last_thread_ + 1;
    if (!has_room(owner, thread)) {
        return;
    }
    seen.asked = is_first ? Asked::among_others : Asked::alone;
    seen.asked_at = look_;
    seen.owner = std::move(owner);
    seen.thread = thread;
    last_thread_ = std::max(last_thread_, thread);
    shared_thread_ = is_first ? thread : shared_thread_;
    wanted_.push_back({.exe = proc_of(root_, pid) / "exe", .file = mark.file});
}

/// Whether an owner may have this thread too: more threads than a few hang with nobody's files but his.
bool Finder::has_room(const std::string& owner, std::uint64_t thread) const {
    std::set<std::uint64_t> threads{thread};
    for (const auto& [file, seen] : files_) {
        if (seen.asked != Asked::no && seen.owner == owner) {
            threads.insert(seen.thread);
        }
    }
    return threads.size() <= most_threads_of_one;
}

void Finder::ask() {
    std::map<std::uint64_t, std::vector<AskedExecutable>> threads;
    for (auto& one : std::exchange(wanted_, {})) {
        threads[files_[one.file].thread].push_back(std::move(one));
    }
    shared_thread_ = 0;
    for (const auto& [thread, asked] : threads) {
        if (!executables_->start(asked)) {
            for (const auto& one : asked) {
                files_[one.file].asked = Asked::no;  // at a later look
            }
        }
    }
}

bool Finder::take_read() {
    bool is_news = false;
    for (const auto& one : executables_->take()) {
        if (const auto asked = files_.find(one.asked); asked != files_.end()) {
            asked->second.asked = Asked::no;
            asked->second.content = one.read ? asked->second.content : Content::unreadable;
        }
        if (!one.read) {
            continue;
        }
        auto& seen = files_[one.read->file];  // it may run another file by now
        seen.content = one.is_traefik ? Content::traefik : Content::other;
        seen.version = one.read->version;
        seen.look = look_;
        is_news = is_news || one.is_traefik;
    }
    return is_news;
}

bool Finder::is_reading() const {
    return std::ranges::any_of(files_, [](const auto& entry) { return entry.second.asked != Asked::no; });
}

/// Its owner need not be asked again yet: it may be another process by now, or in another cgroup.
bool Finder::is_lately(const std::map<pid_t, std::uint64_t>& strangers, pid_t pid) const {
    const auto found = strangers.find(pid);
    return found != strangers.end() && look_ < found->second + looks_apart;
}

/// Nearly all processes are others, which one look at their file tells.
Finder::Kind Finder::kind_of(pid_t pid, Cgroups& cgroups) {
    const bool is_called_so = program_of(root_, pid) == "traefik";
    const auto mark = mark_of(AT_FDCWD, proc_of(root_, pid) / "exe", 0);
    if (!mark && !is_called_so) {
        return Kind::other;
    }
    auto& seen = files_[mark.value_or(FileMark{}).file];
    seen.look = look_;
    const bool is_candidate = is_called_so || seen.content == Content::traefik;
    const bool is_other = seen.content == Content::other && mark && seen.version == mark->version;
    if (!is_candidate && (is_other || is_lately(seen.strangers, pid))) {
        return Kind::other;
    }
    if (!is_allowed(pid, cgroups)) {
        seen.strangers.insert_or_assign(pid, look_);
        return is_candidate ? Kind::stranger : Kind::other;
    }
    if (mark) {
        want(seen, *mark, pid, cgroups);
    }
    switch (mark ? seen.content : Content::unreadable) {
        case Content::traefik:
            return Kind::traefik;
        case Content::unreadable:  // by an agent without privileges, which still sees names
            return is_called_so ? Kind::traefik : Kind::other;
        case Content::unread:
            return Kind::other;  // it will be known in a moment
        case Content::other:
            break;
    }
    return is_called_so ? Kind::impostor : Kind::other;
}

bool Finder::is_traefik(pid_t pid) {
    Cgroups cgroups(root_);
    const auto kind = kind_of(pid, cgroups);
    ask();
    return (is_named() ? kind != Kind::other : kind == Kind::traefik) && !is_errand(root_, pid);
}

std::optional<Instance> Finder::instance(pid_t pid, Cgroups& cgroups) const {
    const auto stat = stat_of(root_, pid);
    if (!stat || ended(*stat)) {
        return std::nullopt;
    }
    const auto place = cgroups.of(pid);
    return Instance{.pid = pid,
                    .start_time = stat->start_time,
                    .cgroup = place ? place->directory : "",
                    .refused = std::nullopt,
                    .network_namespace = (proc_of(root_, pid) / "ns/net").string()};
}

Result<std::vector<Instance>> Finder::find() {
    ++look_;
    auto found = options_.pid              ? find_process(*options_.pid)
                 : options_.cgroup.empty() ? Result<std::vector<Instance>>(find_all())
                                           : find_in_cgroup();
    ask();
    // Not what the last look saw: with --traefik.pid that was the look for its successors.
    std::erase_if(
        files_, [this](const auto& entry) { return entry.second.look + 1 < look_ && entry.second.asked == Asked::no; });
    for (auto& [file, seen] : files_) {
        std::erase_if(seen.strangers, [this](const auto& entry) { return entry.second + looks_apart <= look_; });
    }
    return found;
}

/// A number that was given to another process since is not the one that was named.
Result<std::vector<Instance>> Finder::find_process(pid_t pid) {
    Cgroups cgroups(root_);
    auto traefik = instance(pid, cgroups);
    if (!traefik || named_start_.value_or(traefik->start_time) != traefik->start_time) {
        return fail(Error::Kind::runtime, fmt::format("there is no process {} (--traefik.pid)", pid),
                    "leave --traefik.pid out and every Traefik is found");
    }
    named_start_ = traefik->start_time;
    if (options_.cgroup.empty()) {
        judge_cgroup(root_, *traefik, cgroups);
        return std::vector{*std::move(traefik)};
    }
    auto directory = explicit_cgroup(root_, options_.cgroup);
    if (!directory) {
        return std::unexpected(directory.error());
    }
    traefik->cgroup = *std::move(directory);
    std::vector found{*std::move(traefik)};
    tell_company(found);
    return found;
}

/// Whom --traefik.cgroup has counted beside the Traefiks that are found there. That is right for what upstat does not
/// take for Traefik and the user does, and else a mistake that is to be seen.
void Finder::tell_company(std::vector<Instance>& found) const {
    Cgroups cgroups(root_);
    std::set<pid_t> traefiks;
    for (const auto& one : found) {
        traefiks.insert(one.pid);
    }
    for (auto& one : found) {
        auto others = neighbours(root_, one, cgroups);
        std::erase_if(others, [&](pid_t pid) { return traefiks.contains(pid); });
        one.company = in_words(root_, others);
    }
}

/// By what the directory holds, not by its path: the same cgroup may be reached by several.
Result<std::vector<Instance>> Finder::find_in_cgroup() {
    const auto directory = explicit_cgroup(root_, options_.cgroup);
    if (!directory) {
        return std::unexpected(directory.error());
    }
    auto found = in_directories({*directory});
    tell_company(found);
    return found;
}

std::vector<Instance> Finder::in_directories(const std::set<std::string>& directories) {
    Cgroups cgroups(root_);
    std::vector<Instance> found;
    for (const auto& directory : directories) {
        const auto& pids = cgroups.processes_below(directory);
        for (const auto pid : std::set(pids.begin(), pids.end())) {
            auto traefik = pid == 0 || is_errand(root_, pid) ? std::nullopt : instance(pid, cgroups);
            // It is asked what it is behind its start: the id may have gone to another process meanwhile.
            if (traefik && kind_of(pid, cgroups) != Kind::other) {
                traefik->cgroup = directory;
                found.push_back(*std::move(traefik));
            }
        }
    }
    return found;
}

std::vector<Instance> Finder::successors(const std::set<std::string>& cgroups) {
    ++look_;
    auto found = in_directories(cgroups);
    ask();
    return found;
}

/// Sets what becomes of a Traefik's cgroup, which is judged once. False where one of those that were `found` there
/// stands for it.
bool Finder::judge_among(std::vector<Instance>& found, Instance& traefik, Cgroups& cgroups) const {
    if (traefik.cgroup.empty() || found.empty()) {
        judge_cgroup(root_, traefik, cgroups);
    } else if (found.front().shared.empty()) {
        return false;
    } else {
        traefik.shared = found.front().shared;
        traefik.refused = found.size() < max_housemates ? found.front().refused : too_many(traefik);
    }
    if (found.size() > max_housemates) {
        return false;
    }
    found.push_back(traefik);
    return true;
}

std::vector<Instance> Finder::find_all() {
    Cgroups cgroups(root_);
    std::vector<Instance> found;
    std::map<std::string, std::vector<Instance>> housemates;  ///< by cgroup
    std::size_t strangers = 0;
    for (const auto pid : all_processes(root_)) {
        if (kind_of(pid, cgroups) == Kind::other) {
            continue;
        }
        auto traefik = instance(pid, cgroups);
        // It is asked again behind its start: the id may have gone to another process meanwhile.
        const auto kind = traefik ? kind_of(pid, cgroups) : Kind::other;
        if (kind == Kind::other || is_errand(root_, pid)) {
            continue;
        }
        traefik->believed = kind == Kind::traefik;
        if (!traefik->believed) {
            traefik->refused = kind == Kind::stranger ? not_allowed(root_, *traefik, options_) : not_traefik(*traefik);
            strangers++;
        } else if (!judge_among(housemates[traefik->cgroup], *traefik, cgroups)) {
            continue;
        }
        if (traefik->believed || strangers <= max_strangers) {
            found.push_back(*std::move(traefik));
        }
    }
    return found;
}

std::set<std::uint16_t> listening_ports(const fs::path& root, pid_t pid) {
    const auto proc = proc_of(root, pid);
    std::set<std::uint16_t> ports;
    for (const auto* const table : {"net/tcp", "net/tcp6"}) {
        for (const auto& line : split(read_file(proc / table).value_or(""), '\n')) {
            const auto fields = split(line, ' ');  // "0: 0100007F:1F90 00000000:0000 0A ..."
            if (fields.size() < 4 || fields[3] != "0A") {
                continue;
            }
            const auto colon = fields[1].rfind(':') + 1;
            std::uint16_t port = 0;
            const auto* const end = fields[1].data() + fields[1].size();
            if (std::from_chars(fields[1].data() + colon, end, port, 16).ptr == end) {
                ports.insert(port);
            }
        }
    }
    return ports;
}

}  // namespace upstat::traefik
