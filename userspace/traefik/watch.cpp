// SPDX-License-Identifier: Apache-2.0
#include "traefik/watch.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <system_error>

#include "traefik/proc.hpp"

namespace upstat::traefik {

namespace fs = std::filesystem;

namespace {

constexpr std::uint32_t interest =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;

std::vector<std::string> directories_in(const std::string& directory) {
    std::vector<std::string> found;
    std::error_code error;
    for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
        std::error_code gone;
        if (entry->is_directory(gone) && !entry->is_symlink(gone)) {
            found.push_back(entry->path().string());
        }
    }
    return found;
}

}  // namespace

Result<CgroupWatch> CgroupWatch::open(const fs::path& top) {
    Fd inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!inotify) {
        return fail(Error::Kind::host, fmt::format("cannot watch for new cgroups: {}", std::strerror(errno)),
                    "raise fs.inotify.max_user_instances");
    }
    CgroupWatch watch(std::move(inotify), top.string());
    if (!watch.watch(watch.top_)) {
        return fail(Error::Kind::host,
                    fmt::format("cannot watch {} for new cgroups: {}", watch.top_, std::strerror(errno)),
                    "mount cgroup v2 there, or raise fs.inotify.max_user_watches");
    }
    watch.descend(watch.top_, nullptr);
    return watch;
}

bool CgroupWatch::watch(const std::string& directory) {
    const int descriptor = inotify_add_watch(inotify_.get(), directory.c_str(), interest);
    if (descriptor < 0) {
        unwatched_ += errno == ENOSPC ? 1 : 0;  // any other error: it is gone already
        return false;
    }
    directories_[descriptor] = directory;
    return true;
}

/// Watches everything below. A directory is watched before it is listed, so that what is made in between is seen.
void CgroupWatch::descend(const std::string& directory, std::vector<CgroupEvent>* tell) {
    std::vector<std::string> waiting{directory};
    while (!waiting.empty()) {
        const auto parent = std::move(waiting.back());
        waiting.pop_back();
        for (auto& child : directories_in(parent)) {
            if (tell != nullptr) {
                tell->push_back({.kind = CgroupEvent::Kind::created, .directory = child});
            }
            watch(child);
            waiting.push_back(std::move(child));
        }
    }
}

/// Events were lost: whatever is there now and is not watched came meanwhile.
void CgroupWatch::found_again(std::vector<CgroupEvent>& tell) {
    std::set<std::string> known;
    for (const auto& [descriptor, directory] : directories_) {
        known.insert(directory);
    }
    std::vector<CgroupEvent> there;
    unwatched_ = 0;
    descend(top_, &there);
    for (auto& event : there) {
        if (!known.erase(event.directory)) {
            tell.push_back(std::move(event));
        }
    }
    known.erase(top_);
    for (const auto& directory : known) {
        tell.push_back({.kind = CgroupEvent::Kind::deleted, .directory = directory});
    }
    std::erase_if(directories_, [&](const auto& entry) { return known.contains(entry.second); });
}

std::vector<CgroupEvent> CgroupWatch::take() {
    std::vector<CgroupEvent> events;
    alignas(inotify_event) std::array<char, 16384> buffer{};
    for (ssize_t length = 0; (length = ::read(inotify_.get(), buffer.data(), buffer.size())) > 0;) {
        for (std::size_t at = 0; at < static_cast<std::size_t>(length);) {
            inotify_event event{};
            std::memcpy(&event, buffer.data() + at, sizeof event);
            const std::string name(event.len > 0 ? buffer.data() + at + sizeof event : "");
            at += sizeof event + event.len;
            if ((event.mask & IN_Q_OVERFLOW) != 0) {
                found_again(events);
                continue;
            }
            const auto parent = directories_.find(event.wd);
            if (parent == directories_.end()) {
                continue;
            }
            if ((event.mask & IN_IGNORED) != 0) {
                directories_.erase(parent);  // the directory is gone; its own parent tells that
                continue;
            }
            if ((event.mask & IN_ISDIR) == 0) {
                continue;
            }
            const auto directory = parent->second + "/" + name;
            const bool created = (event.mask & (IN_CREATE | IN_MOVED_TO)) != 0;
            events.push_back(
                {.kind = created ? CgroupEvent::Kind::created : CgroupEvent::Kind::deleted, .directory = directory});
            if (created && watch(directory)) {
                descend(directory, &events);
            }
        }
    }
    return events;
}

Result<ProcessWatch> ProcessWatch::open(const fs::path& root, pid_t pid, std::uint64_t start_time) {
    Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) {
        return fail(Error::Kind::runtime, fmt::format("cannot watch process {}: {}", pid, std::strerror(errno)));
    }
    // Only after the pidfd is there can the id not go to another process any more.
    const auto stat = stat_of(root, pid);
    if (!stat || stat->start_time != start_time) {
        return fail(Error::Kind::runtime, fmt::format("process {} has ended", pid));
    }
    return ProcessWatch(std::move(pidfd), pid);
}

bool ProcessWatch::ended() const {
    pollfd poll{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&poll, 1, 0) > 0;
}

}  // namespace upstat::traefik
