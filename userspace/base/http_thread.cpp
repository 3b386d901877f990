// SPDX-License-Identifier: Apache-2.0
#include "base/http_thread.hpp"

#include <pthread.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/fd.hpp"
#include "base/unprivileged.hpp"

namespace upstat {

namespace {

constexpr auto for_ever = std::chrono::hours(24);

Fd make_event() {
    return Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

void clear(const Fd& event) {
    eventfd_t count = 0;
    eventfd_read(event.get(), &count);
}

}  // namespace

class HttpThread::Impl {
  public:
    Impl() {
        thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        thread_.request_stop();
        eventfd_write(asked_.get(), 1);
    }

    std::uint64_t start(const HttpRequest& request) {
        auto ready = opened(request);
        const std::lock_guard lock(mutex_);
        new_.emplace_back(++last_ticket_, std::move(ready));
        eventfd_write(asked_.get(), 1);
        return last_ticket_;
    }

    std::vector<HttpDone> wait(std::span<pollfd> others, Millis longest) {
        std::vector<pollfd> all(others.begin(), others.end());
        all.push_back({.fd = answered_.get(), .events = POLLIN, .revents = 0});
        ::poll(all.data(), all.size(), poll_timeout(longest));
        for (std::size_t i = 0; i < others.size(); ++i) {
            others[i].revents = all[i].revents;
        }
        clear(answered_);
        const std::lock_guard lock(mutex_);
        waiting_bytes_ = 0;
        return std::exchange(done_, {});
    }

  private:
    void work(const std::stop_token& stop) {
        pthread_setname_np(pthread_self(), "http");
        drop_privilege();
        HttpClient client({.elsewhere = &waiting_bytes_});
        std::map<std::uint64_t, std::uint64_t> tickets;  // the client's: ours
        while (clear(asked_), !stop.stop_requested()) {  // cleared first: who asks to stop writes to it last
            for (auto& [ticket, request] : take_new()) {
                tickets[client.start(std::move(request))] = ticket;
            }
            std::array<pollfd, 1> wake{{{.fd = asked_.get(), .events = POLLIN, .revents = 0}}};
            auto ended = client.wait(wake, for_ever);
            for (auto& done : ended) {
                done.ticket = tickets.extract(done.ticket).mapped();
            }
            give(std::move(ended));
        }
    }

    std::vector<std::pair<std::uint64_t, OpenedRequest>> take_new() {
        const std::lock_guard lock(mutex_);
        return std::exchange(new_, {});
    }

    void give(std::vector<HttpDone> ended) {
        if (ended.empty()) {
            return;
        }
        const std::lock_guard lock(mutex_);
        for (const auto& one : ended) {
            waiting_bytes_ += one.result ? one.result->body.size() : 0;
        }
        std::ranges::move(ended, std::back_inserter(done_));
        eventfd_write(answered_.get(), 1);
    }

    Fd asked_ = make_event();     ///< there is something in `new_`
    Fd answered_ = make_event();  ///< there is something in `done_`
    std::mutex mutex_;
    std::uint64_t last_ticket_ = 0;
    std::vector<std::pair<std::uint64_t, OpenedRequest>> new_;
    std::vector<HttpDone> done_;
    std::atomic<std::size_t> waiting_bytes_ = 0;  ///< of the bodies in it
    std::jthread thread_;
};

HttpThread::HttpThread() : impl_(std::make_unique<Impl>()) {}

HttpThread::~HttpThread() = default;

std::uint64_t HttpThread::start(const HttpRequest& request) {
    return impl_->start(request);
}

std::vector<HttpDone> HttpThread::wait(std::span<pollfd> others, Millis longest) {
    return impl_->wait(others, longest);
}

}  // namespace upstat
