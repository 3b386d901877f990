// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>
#include <sys/eventfd.h>

#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.hpp"

namespace upstat {

/// Work that may hang for ever, each piece on a thread of its own, and what comes of it. The threads may outlive this.
template <typename Result>
class SideThreads {
  public:
    /// `name` has 15 bytes at most; of the threads there are `most`.
    SideThreads(const char* name, int most) : name_(name), most_(most) {}

    /// `work` is called with a function that takes a Result. False where too many threads hang.
    template <typename Work>
    bool start(Work work) {
        const std::lock_guard lock(shared_->mutex);
        if (shared_->threads >= most_) {
            return false;
        }
        try {
            std::thread([shared = shared_, name = name_, work = std::move(work)]() mutable {
                pthread_setname_np(pthread_self(), name);
                work([&shared](Result result) { shared->give(std::move(result)); });
                const std::lock_guard lock(shared->mutex);
                --shared->threads;
            }).detach();
        } catch (const std::system_error&) {
            return false;
        }
        ++shared_->threads;
        return true;
    }

    /// Readable when take() has something.
    [[nodiscard]] int fd() const { return shared_->done_fd.get(); }

    std::vector<Result> take() {
        eventfd_t count = 0;
        eventfd_read(shared_->done_fd.get(), &count);
        const std::lock_guard lock(shared_->mutex);
        return std::exchange(shared_->done, {});
    }

  private:
    struct Shared {
        Fd done_fd{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
        std::mutex mutex;
        std::vector<Result> done;
        int threads = 0;

        void give(Result result) {
            const std::lock_guard lock(mutex);
            done.push_back(std::move(result));
            eventfd_write(done_fd.get(), 1);
        }
    };

    const char* name_;
    int most_;
    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace upstat
