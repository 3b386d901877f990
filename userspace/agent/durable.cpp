// SPDX-License-Identifier: Apache-2.0
#include "agent/durable.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/fd.hpp"

namespace upstat::agent {

std::unexpected<Error> state_error(std::string_view step, const std::filesystem::path& path) {
    return fail(Error::Kind::runtime,
                fmt::format("the state is not saved: cannot {} {}: {}", step, path.string(), std::strerror(errno)),
                "check --state.path, its permissions and its free space");
}

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno != EINTR) {
            return false;
        }
        text.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
    }
    return true;
}

Result<void> replace_file(const std::filesystem::path& directory, const std::string& name, std::string_view text) {
    std::error_code ignored;  // the open says what is wrong
    std::filesystem::create_directories(directory, ignored);
    const Fd folder(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) {
        return state_error("open", directory);
    }
    const auto fresh = name + ".new";
    const Fd file(
        openat(folder.get(), fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!file || !write_all(file.get(), text) || fsync(file.get()) != 0) {
        return state_error("write", directory / fresh);
    }
    if (renameat(folder.get(), fresh.c_str(), folder.get(), name.c_str()) != 0) {
        return state_error("replace", directory / name);
    }
    if (fsync(folder.get()) != 0) {
        return state_error("sync", directory);
    }
    return {};
}

}  // namespace upstat::agent
