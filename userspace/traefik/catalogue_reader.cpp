// SPDX-License-Identifier: Apache-2.0
#include "traefik/catalogue_reader.hpp"

#include <malloc.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/fd.hpp"
#include "base/unprivileged.hpp"

namespace upstat::traefik {

namespace {

/// Two of the longest responses: one that is read and one that waits.
constexpr std::size_t most_waiting_bytes = 2 * max_catalogue_bytes;

}  // namespace

Read read_response(const Unread& response) {
    Read read{.ticket = response.ticket, .mark = {response.body.size(), std::hash<std::string>{}(response.body)}};
    if (response.kind == Unread::Kind::version) {
        read.version = parse_version(response.body, response.url).value_or("");
    } else if (read.mark != response.known) {
        read.catalogue = response.kind == Unread::Kind::providers ? parse_providers(response.body, response.url)
                                                                  : parse_rawdata(response.body, response.url);
    }
    return read;
}

class CatalogueThread::Impl {
  public:
    Impl() : done_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
    }

    bool start(Unread response) {
        const std::lock_guard lock(mutex_);
        if (bytes_ + response.body.size() > most_waiting_bytes) {
            return false;
        }
        bytes_ += response.body.size();
        waiting_.push_back(std::move(response));
        there_is_work_.notify_one();
        return true;
    }

    [[nodiscard]] int fd() const { return done_fd_.get(); }

    std::vector<Read> take() {
        eventfd_t count = 0;
        eventfd_read(done_fd_.get(), &count);
        const std::lock_guard lock(mutex_);
        return std::exchange(done_, {});
    }

  private:
    void work(const std::stop_token& stop) {
        pthread_setname_np(pthread_self(), "catalogues");
        drop_privilege();
        setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);  // of this thread: counting goes first
        std::unique_lock lock(mutex_);
        while (there_is_work_.wait(lock, stop, [this] { return !waiting_.empty(); }) && !stop.stop_requested()) {
            auto response = std::move(waiting_.front());
            waiting_.pop_front();
            lock.unlock();
            auto result = read_response(response);
            const auto size = response.body.size();
            response = {};
            lock.lock();
            bytes_ -= size;
            done_.push_back(std::move(result));
            eventfd_write(done_fd_.get(), 1);
        }
    }

    Fd done_fd_;
    std::mutex mutex_;
    std::condition_variable_any there_is_work_;
    std::deque<Unread> waiting_;
    std::size_t bytes_ = 0;  ///< of those that wait and of the one that is read
    std::vector<Read> done_;
    std::jthread thread_;
};

CatalogueThread::CatalogueThread() : impl_(std::make_unique<Impl>()) {}

CatalogueThread::~CatalogueThread() = default;

bool CatalogueThread::start(Unread response) {
    return impl_->start(std::move(response));
}

int CatalogueThread::fd() const {
    return impl_->fd();
}

std::vector<Read> CatalogueThread::take() {
    return impl_->take();
}

}  // namespace upstat::traefik
