// SPDX-License-Identifier: Apache-2.0
#include "traefik/executables.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/fd.hpp"
#include "base/regular_file.hpp"
#include "base/unprivileged.hpp"
#include "traefik/executable.hpp"

namespace upstat::traefik {

namespace {

constexpr int most_threads = 128;

}  // namespace

std::optional<FileMark> mark_of(int directory, const std::string& path, int flags) {
    struct statx status{};
    if (statx(directory, path.c_str(), flags | AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_BTIME, &status) != 0) {
        return std::nullopt;
    }
    const auto number = [](const auto& of) { return static_cast<std::uint64_t>(of); };
    return FileMark{.file = {number(status.stx_dev_major) << 32U | status.stx_dev_minor, status.stx_ino,
                             number(status.stx_btime.tv_sec), status.stx_btime.tv_nsec},
                    .version = {status.stx_size, number(status.stx_mtime.tv_sec), status.stx_mtime.tv_nsec,
                                number(status.stx_ctime.tv_sec), status.stx_ctime.tv_nsec}};
}

std::vector<OpenedExecutable> open_executables(const std::vector<AskedExecutable>& asked) {
    std::vector<OpenedExecutable> opened;
    std::ranges::transform(asked, std::back_inserter(opened), [](const AskedExecutable& one) {
        return OpenedExecutable{.asked = one.file, .fd = open_regular(one.exe).fd};
    });
    return opened;
}

ReadExecutable read_executable(const OpenedExecutable& opened) {
    const auto mark = opened.fd ? mark_of(opened.fd.get(), "", AT_EMPTY_PATH) : std::nullopt;
    return {.asked = opened.asked, .read = mark, .is_traefik = mark && is_traefik_executable(opened.fd)};
}

struct ExecutableThreads::Shared {
    Fd done_fd{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    std::mutex mutex;
    std::vector<ReadExecutable> done;
    int threads = 0;

    void work(const std::vector<AskedExecutable>& asked) {
        pthread_setname_np(pthread_self(), "executables");
        auto all = open_executables(asked);
        drop_privilege();
        for (auto& opened : all) {
            const auto result = read_executable(opened);
            opened.fd = Fd();
            const std::lock_guard lock(mutex);
            done.push_back(result);
            eventfd_write(done_fd.get(), 1);
        }
        const std::lock_guard lock(mutex);
        --threads;
    }
};

ExecutableThreads::ExecutableThreads() : shared_(std::make_shared<Shared>()) {}

ExecutableThreads::~ExecutableThreads() = default;

bool ExecutableThreads::start(std::vector<AskedExecutable> asked) {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->threads >= most_threads) {
        return false;
    }
    try {
        std::thread([shared = shared_, asked = std::move(asked)] { shared->work(asked); }).detach();
    } catch (const std::system_error&) {
        return false;
    }
    ++shared_->threads;
    return true;
}

int ExecutableThreads::fd() const {
    return shared_->done_fd.get();
}

std::vector<ReadExecutable> ExecutableThreads::take() {
    eventfd_t count = 0;
    eventfd_read(shared_->done_fd.get(), &count);
    const std::lock_guard lock(shared_->mutex);
    return std::exchange(shared_->done, {});
}

}  // namespace upstat::traefik
