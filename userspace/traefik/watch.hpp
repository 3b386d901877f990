// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat::traefik {

/// A directory that came or went.
struct CgroupEvent {
    enum class Kind : std::uint8_t { created, deleted };
    Kind kind = Kind::created;
    std::string directory;

    bool operator==(const CgroupEvent&) const = default;
};

/// Tells of every cgroup that is made, long before a process of it has bound its ports: a restarted Traefik is in a new
/// one (the same name under systemd, another pod's under Kubernetes), and the programs must be there before its first
/// request to a server.
///
/// The whole tree is watched, those directories too that are made later. So nothing has to be armed again when a parent
/// vanishes and comes back, and a Traefik that was not there at the start is met in the same way.
class CgroupWatch {
  public:
    /// `top` is the cgroup v2 mount. Directories that exist already are not told.
    static Result<CgroupWatch> open(const std::filesystem::path& top);

    /// Readable when take() has something to tell.
    [[nodiscard]] int fd() const { return inotify_.get(); }

    /// What happened since the last call; never waits. A directory made in the very moment in which its parent is may
    /// be told twice.
    std::vector<CgroupEvent> take();

    /// Directories that could not be watched for want of inotify watches (fs.inotify.max_user_watches).
    [[nodiscard]] std::size_t unwatched() const { return unwatched_; }

  private:
    CgroupWatch(Fd inotify, std::string top) : inotify_(std::move(inotify)), top_(std::move(top)) {}

    bool watch(const std::string& directory);
    void descend(const std::string& directory, std::vector<CgroupEvent>* tell);
    void found_again(std::vector<CgroupEvent>& tell);

    Fd inotify_;
    std::string top_;
    std::map<int, std::string> directories_;  ///< by watch descriptor
    std::size_t unwatched_ = 0;
};

/// Knows at once when one process has ended.
class ProcessWatch {
  public:
    /// Fails when the process is gone or its id is another's by now (`start_time` as in Traefik).
    static Result<ProcessWatch> open(const std::filesystem::path& root, pid_t pid, std::uint64_t start_time);

    /// A pidfd: readable once the process has ended.
    [[nodiscard]] int fd() const { return pidfd_.get(); }
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] bool ended() const;

  private:
    ProcessWatch(Fd pidfd, pid_t pid) : pidfd_(std::move(pidfd)), pid_(pid) {}

    Fd pidfd_;
    pid_t pid_;
};

}  // namespace upstat::traefik
