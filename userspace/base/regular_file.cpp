// SPDX-License-Identifier: Apache-2.0
#include "base/regular_file.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <limits>

namespace upstat {

namespace {

Fd open_inside(const std::filesystem::path& top, const std::string& path, std::uint64_t flags) {
    const Fd directory(::open(top.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    open_how how{};
    how.flags = flags;
    how.resolve = RESOLVE_IN_ROOT;
    return Fd(static_cast<int>(syscall(SYS_openat2, directory.get(), path.c_str(), &how, sizeof how)));
}

RegularFile reopened(const Fd& looked_at) {
    RegularFile file;
    if (!looked_at || fstat(looked_at.get(), &file.status) != 0 || !S_ISREG(file.status.st_mode)) {
        return file;
    }
    const auto itself = "/proc/self/fd/" + std::to_string(looked_at.get());
    file.fd = Fd(::open(itself.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    return file;
}

}  // namespace

RegularFile open_regular(const std::filesystem::path& path) {
    return reopened(Fd(::open(path.c_str(), O_PATH | O_CLOEXEC)));
}

RegularFile open_regular_inside(const std::filesystem::path& top, const std::string& path) {
    return reopened(open_inside(top, path, O_PATH | O_CLOEXEC));
}

Fd open_directory_inside(const std::filesystem::path& top, const std::string& path) {
    return open_inside(top, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

std::string read_at(const Fd& file, std::uint64_t offset, std::size_t longest) {
    std::string text;
    if (offset > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()) - longest) {
        return text;
    }
    text.resize(longest);
    std::size_t filled = 0;
    while (filled < longest) {
        const auto size =
            pread(file.get(), text.data() + filled, longest - filled, static_cast<off_t>(offset + filled));
        if (size <= 0) {
            break;
        }
        filled += static_cast<std::size_t>(size);
    }
    text.resize(filled);
    return text;
}

}  // namespace upstat
