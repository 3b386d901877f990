// SPDX-License-Identifier: Apache-2.0
#include "traefik/cgroups.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "traefik/proc.hpp"

namespace upstat::traefik {

namespace fs = std::filesystem;

namespace {

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

std::vector<CgroupMount> cgroup2_mounts(const fs::path& mountinfo) {
    std::vector<CgroupMount> mounts;
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
std::optional<fs::path> under(const CgroupMount& mount, const std::string& path) {
    const auto prefix = mount.of == "/" ? "" : mount.of;
    if (!path.starts_with(prefix) || (path.size() > prefix.size() && path[prefix.size()] != '/')) {
        return std::nullopt;
    }
    return fs::path(mount.point + path.substr(prefix.size())).lexically_normal();
}

std::string name_below(const fs::path& directory, const fs::path& top) {
    const auto name = directory.lexically_normal().lexically_relative(top.lexically_normal());
    return name == "." ? "/" : tidy("/" / name);
}

}  // namespace

std::vector<CgroupMount> own_cgroup_mounts(const fs::path& root) {
    return cgroup2_mounts(root / "proc/self/mountinfo");
}

std::vector<CgroupMount> cgroup_mounts_of(const fs::path& root, pid_t pid) {
    return cgroup2_mounts(proc_of(root, pid) / "mountinfo");
}

bool leads_out(const CgroupMount& mount) {
    return mount.of.starts_with("/..");
}

fs::path below(const fs::path& root, const fs::path& absolute) {
    return root / absolute.relative_path();
}

std::string tidy(const fs::path& directory) {
    auto text = directory.lexically_normal().string();
    while (text.size() > 1 && text.ends_with('/')) {
        text.pop_back();
    }
    return text;
}

bool is_root_cgroup(const fs::path& directory) {
    std::error_code error;
    return !fs::exists(directory / "cgroup.events", error);
}

Cgroups::Cgroups(fs::path root) : root_(std::move(root)), mounts_(own_cgroup_mounts(root_)) {}

/// One that is not there is looked for again: it may have come since the file was read.
bool Cgroups::holds(const fs::path& directory, pid_t pid) {
    auto& held = held_[directory.string()];
    if (held.contains(pid)) {
        return true;
    }
    const auto now = processes_in(directory);
    held.insert(now.begin(), now.end());
    return held.contains(pid);
}

std::optional<Cgroups::Place> Cgroups::of(pid_t pid) {
    const auto path = cgroup_path(root_, pid);
    if (!path) {
        return std::nullopt;
    }
    for (const auto& mount : mounts_) {
        const auto directory = path->starts_with("/..") ? std::nullopt : under(mount, *path);
        if (directory && holds(below(root_, *directory), pid)) {
            return Place{.directory = tidy(below(root_, *directory)), .name = *path};
        }
    }
    return in_host_trees(*path, pid);
}

/// In a cgroup namespace (a container) a path leads out of it. The host's tree is there where it was mounted for us,
/// else through pid 1, when this is the host's PID namespace and we may look into it.
std::optional<Cgroups::Place> Cgroups::in_host_trees(const std::string& path, pid_t pid) {
    if (!tops_) {
        list_host_trees();
    }
    for (const auto& top : *tops_) {
        const auto directory = top / fs::path(without_parents(path)).relative_path();
        if (holds(directory, pid)) {
            return Place{.directory = tidy(directory), .name = name_below(directory, top)};
        }
    }
    // The path may begin below an ancestor that we share, whose name nobody tells us.
    if (!places_) {
        places_.emplace();
        for (const auto& top : *tops_) {
            for (const auto& one : tree(top)) {
                for (const auto inhabitant : processes_in(one)) {
                    places_->try_emplace(inhabitant, Place{.directory = tidy(one), .name = name_below(one, top)});
                }
            }
        }
    }
    const auto found = pid == 0 ? places_->end() : places_->find(pid);
    return found == places_->end() ? std::nullopt : std::optional(found->second);
}

/// Where more of the host's cgroups can be seen than our namespace has.
void Cgroups::list_host_trees() {
    tops_.emplace();
    for (const auto& mount : mounts_) {
        if (leads_out(mount)) {
            tops_->push_back(below(root_, mount.point));
        }
    }
    for (const auto& mount : cgroup_mounts_of(root_, 1)) {
        tops_->push_back(below(proc_of(root_, 1) / "root", mount.point));
    }
}

const std::vector<pid_t>& Cgroups::processes_below(const std::string& directory) {
    const auto [entry, is_new] = below_.try_emplace(directory);
    if (is_new) {
        for (const auto& cgroup : tree(directory)) {
            std::ranges::copy(processes_in(cgroup), std::back_inserter(entry->second));
        }
    }
    return entry->second;
}

std::optional<pid_t> Cgroups::parent(pid_t pid) {
    const auto [entry, is_new] = parents_.try_emplace(pid);
    if (is_new) {
        if (const auto stat = stat_of(root_, pid)) {
            entry->second = stat->parent;
        }
    }
    return entry->second;
}

}  // namespace upstat::traefik
