// SPDX-License-Identifier: Apache-2.0
#include "base/directory_watch.hpp"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "base/regular_file.hpp"

namespace upstat {

namespace {

constexpr std::uint32_t changes =
    IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_EXCL_UNLINK;

}  // namespace

DirectoryWatch::DirectoryWatch() : inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

void DirectoryWatch::watch(const std::set<Directory>& directories) {
    auto missing = directories;
    std::erase_if(watched_, [&](const auto& entry) {
        const bool goes = missing.erase(entry.second) == 0;
        if (goes) {
            inotify_rm_watch(inotify_.get(), entry.first);
        }
        return goes;
    });
    for (const auto& one : missing) {
        const auto directory = open_directory_inside(one.top.empty() ? "/" : one.top, one.path);
        const auto itself = fmt::format("/proc/self/fd/{}", directory.get());
        if (const int descriptor = directory ? inotify_add_watch(inotify_.get(), itself.c_str(), changes) : -1;
            descriptor >= 0) {
            watched_.insert_or_assign(descriptor, one);
        }
    }
}

bool DirectoryWatch::take() {
    bool changed = false;
    alignas(inotify_event) std::array<char, 16384> buffer{};
    for (ssize_t length = 0; (length = ::read(inotify_.get(), buffer.data(), buffer.size())) > 0;) {
        for (std::size_t at = 0; at < static_cast<std::size_t>(length);) {
            inotify_event event{};
            std::memcpy(&event, buffer.data() + at, sizeof event);
            at += sizeof event + event.len;
            changed = true;
            if ((event.mask & IN_IGNORED) != 0) {
                watched_.erase(event.wd);  // it is gone, and may come back as another
            }
        }
    }
    return changed;
}

}  // namespace upstat
