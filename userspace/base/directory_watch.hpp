// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/fd.hpp"

namespace upstat {

/// Tells at once that something in a directory has changed: a file was written, made, renamed or removed. A directory
/// may lie where no response comes from, so whoever has time for that adds it.
class DirectoryWatch {
  public:
    struct Directory {
        std::string top;   ///< the root directory of whoever named the path; empty: ours
        std::string path;  ///< absolute, as he sees it
    };
    using Handle = std::shared_ptr<const Fd>;

    DirectoryWatch();

    /// Watches one more, on any thread; gives a number for it, the same one again for the same directory. Negative
    /// where it cannot be watched: it is not there, or fs.inotify's limits are reached.
    static int add(const Fd& handle, const Directory& directory);
    [[nodiscard]] const Handle& handle() const { return inotify_; }

    /// Watches these and no others.
    void keep(const std::set<int>& numbers);

    /// Readable when take() has something to tell; negative where the kernel has no room for a watch.
    [[nodiscard]] int fd() const { return inotify_->get(); }

    /// Whether something has changed since the last call; never waits.
    bool take();

  private:
    Handle inotify_;
    std::set<int> kept_;
};

}  // namespace upstat
