// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <map>
#include <set>
#include <string>

#include "base/fd.hpp"

namespace upstat {

/// Tells at once that something in a directory has changed: a file was written, made, renamed or removed.
class DirectoryWatch {
  public:
    struct Directory {
        std::string top;   ///< the root directory of whoever named the path; empty: ours
        std::string path;  ///< absolute, as he sees it

        auto operator<=>(const Directory&) const = default;
    };

    DirectoryWatch();

    /// Watches these and no others. What cannot be watched (it is not there, or fs.inotify's limits are reached) is
    /// tried again each time.
    void watch(const std::set<Directory>& directories);

    /// Readable when take() has something to tell; negative where the kernel has no room for a watch.
    [[nodiscard]] int fd() const { return inotify_.get(); }

    /// Whether something has changed since the last call; never waits.
    bool take();

  private:
    Fd inotify_;
    std::map<int, Directory> watched_;  ///< by watch descriptor
};

}  // namespace upstat
