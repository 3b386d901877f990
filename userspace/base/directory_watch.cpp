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

DirectoryWatch::DirectoryWatch() : inotify_(std::make_shared<const Fd>(inotify_init1(IN_NONBLOCK | IN_CLOEXEC))) {}

int DirectoryWatch::add(const Fd& handle, const Directory& directory) {
    const auto opened = open_directory_inside(directory.top.empty() ? "/" : directory.top, directory.path);
    const auto itself = fmt::format("/proc/self/fd/{}", opened.get());
    return opened ? inotify_add_watch(handle.get(), itself.c_str(), changes) : -1;
}

void DirectoryWatch::keep(const std::set<int>& numbers) {
    for (const auto number : kept_) {
        if (number >= 0 && !numbers.contains(number)) {
            inotify_rm_watch(fd(), number);
        }
    }
    kept_ = numbers;
}

bool DirectoryWatch::take() {
    bool changed = false;
    alignas(inotify_event) std::array<char, 16384> buffer{};
    for (ssize_t length = 0; (length = ::read(fd(), buffer.data(), buffer.size())) > 0;) {
        for (std::size_t at = 0; at < static_cast<std::size_t>(length);) {
            inotify_event event{};
            std::memcpy(&event, buffer.data() + at, sizeof event);
            at += sizeof event + event.len;
            changed = true;
        }
    }
    return changed;
}

}  // namespace upstat
