// SPDX-License-Identifier: Apache-2.0
#include "base/regular_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <system_error>

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
    if (!looked_at || fstat(looked_at.get(), &file.status) != 0) {
        file.error = errno;
        return file;
    }
    if (!S_ISREG(file.status.st_mode)) {
        return file;
    }
    const auto itself = "/proc/self/fd/" + std::to_string(looked_at.get());
    file.fd = Fd(::open(itself.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    file.error = file.fd ? 0 : errno;
    return file;
}

std::unexpected<Error> cannot_read(const std::filesystem::path& file, const std::string& why) {
    return fail(Error::Kind::usage, fmt::format("cannot read {}: {}", file.string(), why),
                "name a file that upstat's user may read");
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
    text.resize_and_overwrite(longest, [&](char* data, std::size_t /*room*/) {
        std::size_t filled = 0;
        while (filled < longest) {
            const auto size = pread(file.get(), data + filled, longest - filled, static_cast<off_t>(offset + filled));
            if (size <= 0) {
                break;
            }
            filled += static_cast<std::size_t>(size);
        }
        return filled;
    });
    return text;
}

Result<std::string> read_named_file(const std::filesystem::path& file, std::size_t longest) {
    const auto opened = open_regular(file);
    if (!opened.fd) {
        return cannot_read(file,
                           opened.error != 0 ? std::generic_category().message(opened.error) : "it is no regular file");
    }
    auto text = read_at(opened.fd, 0, longest + 1);
    if (text.size() > longest) {
        return cannot_read(file, fmt::format("it is longer than {} bytes", longest));
    }
    text.shrink_to_fit();
    return text;
}

}  // namespace upstat
