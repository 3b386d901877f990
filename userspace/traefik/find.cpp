// SPDX-License-Identifier: Apache-2.0
#include "traefik/find.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "traefik/proc.hpp"

namespace upstat::traefik {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view deleted = " (deleted)";
constexpr auto way_out =
    "run Traefik as a systemd unit of its own (`systemd-run --unit=traefik traefik ...`), or give it a cgroup by hand "
    "(`mkdir CGROUP2/traefik && echo PID > CGROUP2/traefik/cgroup.procs`, before it opens connections), or name a "
    "cgroup with --traefik.cgroup";

fs::path below(const fs::path& root, const fs::path& absolute) {
    return root / absolute.relative_path();
}

std::string last_part(const std::string& path) {
    return fs::path(path).filename().string();
}

/// The name of the file that a process runs, as far as it can be told.
std::string program_of(const fs::path& root, pid_t pid) {
    std::error_code error;
    auto exe = fs::read_symlink(proc_of(root, pid) / "exe", error).string();
    if (error == std::errc::permission_denied) {
        // an unprivileged agent still sees names, so it can say whom it may not watch
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

/// Nearly all processes are others, which one look tells.
std::vector<pid_t> candidates(const fs::path& root) {
    auto pids = all_processes(root);
    std::erase_if(pids, [&](pid_t pid) { return !is_traefik(root, pid); });
    return pids;
}

struct Mount {
    std::string of;     ///< the cgroup that is mounted, "/" for the whole tree
    std::string point;  ///< where
};

/// mountinfo writes a space as \040.
std::string unescaped(const std::string& text) {
    std::string plain;
    for (std::size_t at = 0; at < text.size(); ++at) {
        unsigned value = 0;
        if (text[at] == '\\' && at + 3 < text.size() &&
            std::from_chars(&text[at + 1], &text[at + 4], value, 8).ptr == &text[at + 4]) {
            plain += static_cast<char>(value);
            at += 3;
        } else {
            plain += text[at];
        }
    }
    return plain;
}

std::vector<Mount> cgroup2_mounts(const fs::path& mountinfo) {
    std::vector<Mount> mounts;
    for (const auto& line : split(read_file(mountinfo).value_or(""), '\n')) {
        const auto dash = line.find(" - ");
        const auto fields = split(line, ' ');
        if (dash != std::string::npos && line.substr(dash + 3).starts_with("cgroup2 ") && fields.size() > 4) {
            mounts.push_back({.of = unescaped(fields[3]), .point = unescaped(fields[4])});
        }
    }
    return mounts;
}

/// The `0::` line: a path below the reader's cgroup namespace, which can lead out of it ("/../../x").
std::optional<std::string> cgroup_path(const fs::path& root, pid_t pid) {
    for (const auto& line : split(read_file(proc_of(root, pid) / "cgroup").value_or(""), '\n')) {
        if (line.starts_with("0::")) {
            return line.substr(3);
        }
    }
    return std::nullopt;
}

bool holds(const fs::path& cgroup, pid_t pid) {
    const auto pids = processes_in(cgroup);
    return std::ranges::find(pids, pid) != pids.end();
}

/// The path without what leads out of the namespace.
std::string without_parents(std::string path) {
    while (path.starts_with("/..")) {
        path.erase(0, 3);
    }
    return path;
}

/// Everything below a directory; a directory that vanishes meanwhile is skipped.
std::vector<fs::path> tree(const fs::path& top) {
    std::vector<fs::path> found{top};
    for (std::size_t at = 0; at < found.size(); ++at) {
        std::error_code error;
        for (fs::directory_iterator entry(found[at], error), end; !error && entry != end; entry.increment(error)) {
            std::error_code gone;
            if (entry->is_directory(gone) && !entry->is_symlink(gone)) {
                found.push_back(entry->path());
            }
        }
    }
    return found;
}

/// Where a cgroup path leads below one mount, when it leads there at all.
std::optional<fs::path> under(const Mount& mount, const std::string& path) {
    const auto prefix = mount.of == "/" ? "" : mount.of;
    if (!path.starts_with(prefix) || (path.size() > prefix.size() && path[prefix.size()] != '/')) {
        return std::nullopt;
    }
    return fs::path(mount.point + path.substr(prefix.size())).lexically_normal();
}

std::string tidy(const fs::path& directory) {
    auto text = directory.lexically_normal().string();
    while (text.size() > 1 && text.ends_with('/')) {
        text.pop_back();
    }
    return text;
}

/// A mount of cgroups outside of our cgroup namespace: mountinfo tells what is mounted as seen from its root.
bool leads_out(const Mount& mount) {
    return mount.of.starts_with("/..");
}

/// Where more of the host's cgroups can be seen than our namespace has.
std::vector<fs::path> host_trees(const fs::path& root) {
    std::vector<fs::path> tops;
    for (const auto& mount : cgroup2_mounts(root / "proc/self/mountinfo")) {
        if (leads_out(mount)) {
            tops.push_back(below(root, mount.point));
        }
    }
    for (const auto& mount : cgroup2_mounts(root / "proc/1/mountinfo")) {
        tops.push_back(below(proc_of(root, 1) / "root", mount.point));
    }
    return tops;
}

/// The directory whose cgroup.procs names the process: the check that a path of another namespace was read right.
std::optional<std::string> cgroup_directory(const fs::path& root, pid_t pid) {
    const auto path = cgroup_path(root, pid);
    if (!path) {
        return std::nullopt;
    }
    for (const auto& mount : cgroup2_mounts(root / "proc/self/mountinfo")) {
        const auto directory = path->starts_with("/..") ? std::nullopt : under(mount, *path);
        if (directory && holds(below(root, *directory), pid)) {
            return tidy(below(root, *directory));
        }
    }
    // In a cgroup namespace (a container) the path leads out of it. The host's tree is there where it was mounted for
    // us, else through pid 1, when this is the host's pid namespace and we may look into it.
    for (const auto& top : host_trees(root)) {
        const auto directory = top / fs::path(without_parents(*path)).relative_path();
        if (holds(directory, pid)) {
            return tidy(directory);
        }
        // The path may begin below an ancestor that we share, whose name nobody tells us.
        for (const auto& one : tree(top)) {
            if (holds(one, pid)) {
                return tidy(one);
            }
        }
    }
    return std::nullopt;
}

/// Only the root of the whole hierarchy has no cgroup.events; a namespace's root has.
bool is_cgroup2(const fs::path& directory) {
    std::error_code error;
    return fs::exists(directory / "cgroup.controllers", error) && fs::exists(directory / "cgroup.procs", error);
}
bool is_root(const fs::path& directory) {
    std::error_code error;
    return !fs::exists(directory / "cgroup.events", error);
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

bool descends(const fs::path& root, pid_t pid, pid_t from) {
    // bounded, because parents change while they are read
    for (int depth = 0; depth < 1000 && pid > 1; ++depth) {
        if (pid == from) {
            return true;
        }
        const auto stat = stat_of(root, pid);
        if (!stat) {
            return true;  // it has ended meanwhile, so it is no neighbour any more
        }
        pid = stat->parent;
    }
    return pid == from;
}

std::string described(const fs::path& root, pid_t pid) {
    if (pid == 0) {
        return "a process of another PID namespace";
    }
    return fmt::format("{} (pid {})", stat_of(root, pid).value_or(ProcessStat{.comm = "?"}).comm, pid);
}

/// Traefik, who started it there (`sh -c traefik`, tini) and what it started are one service; anything else is not.
std::vector<pid_t> neighbours(const fs::path& root, const Instance& traefik) {
    std::vector<pid_t> others;
    for (const auto& cgroup : tree(traefik.cgroup)) {
        for (const auto pid : processes_in(cgroup)) {
            const bool kin = pid != 0 && (descends(root, pid, traefik.pid) || descends(root, traefik.pid, pid));
            if (!kin && !(pid != 0 && is_traefik(root, pid) && is_errand(root, pid))) {
                others.push_back(pid);
            }
        }
    }
    return others;
}

/// systemd's name for it. Its shell is Traefik's ancestor, as a container's is, but it will run other things.
bool is_login_session(const fs::path& cgroup) {
    const auto name = cgroup.filename().string();
    return name.starts_with("session-") && name.ends_with(".scope");
}

std::optional<Error> refusal(const fs::path& root, const Instance& traefik) {
    if (traefik.cgroup.empty()) {
        return Error{.kind = Error::Kind::host,
                     .message = fmt::format("no cgroup v2 directory holds Traefik (pid {})", traefik.pid),
                     .hint =
                         "mount cgroup v2 (`mount -t cgroup2 none /sys/fs/cgroup/unified`); in a container, share "
                         "the host's PID namespace and run privileged"};
    }
    if (is_root(traefik.cgroup)) {
        return Error{.kind = Error::Kind::host,
                     .message = fmt::format("Traefik (pid {}) is in the root cgroup {}, which every process without a "
                                            "cgroup of its own shares",
                                            traefik.pid, traefik.cgroup),
                     .hint = way_out};
    }
    const auto others = neighbours(root, traefik);
    if (others.empty() && is_login_session(traefik.cgroup)) {
        return Error{.kind = Error::Kind::host,
                     .message = fmt::format("Traefik (pid {}) is in the cgroup of a login session, {}, where the next "
                                            "command of that session would be counted too",
                                            traefik.pid, traefik.cgroup),
                     .hint = way_out};
    }
    if (others.empty()) {
        return std::nullopt;
    }
    return Error{.kind = Error::Kind::host,
                 .message = fmt::format("Traefik (pid {}) shares the cgroup {} with {} other process{}, such as {}",
                                        traefik.pid, traefik.cgroup, others.size(), others.size() == 1 ? "" : "es",
                                        described(root, others.front())),
                 .hint = way_out};
}

/// By what it holds, not by its path: the same cgroup may be reached by several.
bool within(const std::string& cgroup, pid_t pid) {
    return std::ranges::any_of(tree(cgroup), [&](const fs::path& one) { return holds(one, pid); });
}

}  // namespace

bool is_traefik(const fs::path& root, pid_t pid) {
    return program_of(root, pid) == "traefik";
}

std::optional<std::string> cgroup2_mount(const fs::path& root) {
    const auto mounts = cgroup2_mounts(root / "proc/self/mountinfo");
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
    if (is_root(directory)) {
        return fail(
            Error::Kind::usage,
            fmt::format("--traefik.cgroup {} is the root cgroup, which every process of the host shares", cgroup),
            example);
    }
    return tidy(directory);
}

Result<std::vector<Instance>> find_instances(const fs::path& root, const FindOptions& options) {
    std::string chosen;
    if (!options.cgroup.empty()) {
        auto directory = explicit_cgroup(root, options.cgroup);
        if (!directory) {
            return std::unexpected(directory.error());
        }
        chosen = *std::move(directory);
    }
    std::vector<Instance> found;
    for (const auto pid : options.pid ? std::vector{*options.pid} : candidates(root)) {
        const auto stat = stat_of(root, pid);
        // Its name is asked behind its start: the id may have gone to another process since it was a candidate.
        if (!stat || ended(*stat) || (!options.pid && (!is_traefik(root, pid) || is_errand(root, pid)))) {
            continue;
        }
        Instance traefik{.pid = pid,
                         .start_time = stat->start_time,
                         .cgroup = cgroup_directory(root, pid).value_or(""),
                         .refused = std::nullopt,
                         .network_namespace = (proc_of(root, pid) / "ns/net").string()};
        if (chosen.empty()) {
            traefik.refused = refusal(root, traefik);
        } else if (options.pid || within(chosen, pid)) {
            traefik.cgroup = chosen;
        } else {
            continue;  // a Traefik of another cgroup was not asked for
        }
        found.push_back(std::move(traefik));
    }
    if (options.pid && found.empty()) {
        return fail(Error::Kind::runtime, fmt::format("there is no process {} (--traefik.pid)", *options.pid),
                    "leave --traefik.pid out and every process called traefik is found");
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
