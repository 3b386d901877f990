// SPDX-License-Identifier: Apache-2.0
#include "publish/web.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <set>
#include <span>
#include <thread>
#include <utility>

#include "publish/connection.hpp"
#include "publish/gzip.hpp"
#include "publish/listen.hpp"
#include "publish/views.hpp"

namespace upstat::publish {

namespace {

/// What the threads serve: swapped as a whole, never changed.
class Shelf {
  public:
    Shelf(std::function<Time()> now, Millis bound) : now_(std::move(now)), bound_(bound), heartbeat_(now_()) {}

    void put(std::shared_ptr<const Page> page) {
        const std::lock_guard lock(mutex_);
        std::swap(page_, page);
    }
    [[nodiscard]] std::shared_ptr<const Page> get() const {
        const std::lock_guard lock(mutex_);
        return page_;
    }
    void heartbeat(Time now) { heartbeat_ = now; }

    /// How long ago the loop was last seen, if that is too long.
    [[nodiscard]] std::optional<Millis> silence() const {
        const auto age = now_() - heartbeat_.load();
        return age > bound_ ? std::optional(age) : std::nullopt;
    }
    void served(std::uint64_t page) {
        const std::lock_guard lock(mutex_);
        served_ = std::max(served_, page);
    }
    [[nodiscard]] std::uint64_t served() const {
        const std::lock_guard lock(mutex_);
        return served_;
    }

  private:
    const std::function<Time()> now_;
    const Millis bound_;
    std::atomic<Time> heartbeat_;
    mutable std::mutex mutex_;
    std::shared_ptr<const Page> page_ = std::make_shared<const Page>();
    std::uint64_t served_ = 0;
};

constexpr auto metrics_path = "/metrics";

bool write_packed(const Page& page, const Sink& sink) {
    Gzip gzip(sink);
    return write_page(page, [&gzip](std::string_view piece) { return gzip.write(piece); }) && gzip.finish();
}

/// Answers one thread's requests. cpp-httplib speaks HTTP; sockets and threads are ours, because its own know no bound
/// on the whole of a request.
class Answerer : public httplib::Server {
  public:
    explicit Answerer(Shelf& shelf) : shelf_(shelf) {
        svr_sock_ = 0;  // without a listener cpp-httplib takes itself for stopped, and streams nothing
        Get(metrics_path,
            [this](const httplib::Request& request, httplib::Response& response) { metrics(request, response); });
        Get("/-/healthy",
            [this](const httplib::Request& /*request*/, httplib::Response& response) { healthy(response); });
        Get("/-/ready", [this](const httplib::Request& /*request*/, httplib::Response& response) { ready(response); });
        view("/", "text/html; charset=utf-8", index_html);
        view("/api/v1/status", "application/json", status_json);
        view("/api/v1/alerts", "application/json", alerts_json);
        view("/api/v1/backends", "application/json", backends_json);
    }

    void answer(Connection& connection) {
        page_ = 0;
        bool closed = false;
        try {
            const bool sent =
                process_request(connection, true, closed, [this](httplib::Request& request) { make_cheap(request); });
            if (connection.finish() && sent && page_ != 0) {
                shelf_.served(page_);
            }
        } catch (const std::exception& failure) {
            spdlog::debug("a request to the web server could not be read: {}", failure.what());
        }
    }

  private:
    /// A few bytes of a request could ask for gigabytes: by ranges, or by a packed body, which cpp-httplib unpacks
    /// before it looks for a handler. And of the encodings that it has, only gzip costs little; but for the page that
    /// is read most, of which we take care.
    void make_cheap(httplib::Request& request) {
        request.ranges.clear();
        request.headers.erase("Content-Encoding");
        packs_ = request.get_header_value("Accept-Encoding").contains("gzip");
        request.headers.erase("Accept-Encoding");
        if (packs_ && (request.path != metrics_path || request.version == "HTTP/1.0")) {
            request.set_header("Accept-Encoding", "gzip");
        }
    }

    void view(const std::string& path, const char* type, std::string (*render)(const Report&)) {
        Get(path, [this, type, render](const httplib::Request& /*request*/, httplib::Response& response) {
            response.set_content(render(*shelf_.get()->report), type);
        });
    }

    /// In chunks, as it is written: with many servers a page has tens of megabytes, which are never whole in memory.
    void metrics(const httplib::Request& request, httplib::Response& response) {
        const auto page = shelf_.get();
        const std::string type(exposition_content_type);
        page_ = request.method == "GET" ? page->number : 0;
        if (request.version == "HTTP/1.0") {  // has no chunks
            response.set_content(page_text(*page), type);
            return;
        }
        if (packs_) {
            response.set_header("Content-Encoding", "gzip");
        }
        response.set_chunked_content_provider(
            type, [page, packs = packs_](std::size_t /*offset*/, httplib::DataSink& sink) {
                const Sink out = [&sink](std::string_view piece) { return sink.write(piece.data(), piece.size()); };
                const bool taken = packs ? write_packed(*page, out) : write_page(*page, out);
                if (taken) {
                    sink.done();
                }
                return taken;
            });
    }

    void healthy(httplib::Response& response) const {
        if (const auto silence = shelf_.silence()) {
            response.status = 503;
            response.set_content(fmt::format("the agent's loop was last seen {} ms ago\n", silence->count()),
                                 "text/plain; charset=utf-8");
            return;
        }
        response.set_content("healthy\n", "text/plain; charset=utf-8");
    }

    void ready(httplib::Response& response) const {
        const auto report = shelf_.get()->report;
        response.status = report->not_ready.empty() ? 200 : 503;
        response.set_content(report->not_ready.empty() ? "ready\n" : "not ready: " + report->not_ready + "\n",
                             "text/plain; charset=utf-8");
    }

    Shelf& shelf_;
    std::uint64_t page_ = 0;  ///< of the /metrics page in this answer
    bool packs_ = false;      ///< the asker takes gzip
};

/// Signals are for the loop's thread: while this lives, new threads start with all of them blocked.
class SignalsBlocked {
  public:
    SignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_{};
};

}  // namespace

class Web::Impl {
  public:
    Impl(const WebOptions& options, std::vector<Listener> listeners, Fd wake)
        : shelf(options.now, options.heartbeat_bound),
          patience_(options.patience),
          listeners_(std::move(listeners)),
          wake_(std::move(wake)) {
        addresses.reserve(listeners_.size());
        for (const auto& listener : listeners_) {
            addresses.push_back(listener.address);
        }
        const SignalsBlocked blocked;
        const auto threads = std::max<std::size_t>(options.threads, 1);
        for (std::size_t i = 0; i < threads; ++i) {
            threads_.emplace_back([this] { work(); });
        }
        threads_.emplace_back([this] { accept_all(); });
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
            waiting_.clear();
            for (auto* connection : active_) {
                connection->cut();
            }
        }
        changed_.notify_all();
        eventfd_write(wake_.get(), 1);
    }

    Shelf shelf;
    std::vector<std::string> addresses;

  private:
    static constexpr std::size_t longest_queue = 64;
    static constexpr Connection::Patience patience_when_busy{.for_request = std::chrono::milliseconds(500),
                                                             .for_progress = std::chrono::seconds(2)};
    static constexpr Millis look_again = std::chrono::milliseconds(100);

    void accept_all() {
        std::vector<pollfd> ready;
        ready.reserve(listeners_.size() + 1);
        for (const auto& listener : listeners_) {
            ready.push_back({.fd = listener.fd.get(), .events = POLLIN, .revents = 0});
        }
        ready.push_back({.fd = wake_.get(), .events = POLLIN, .revents = 0});
        int timeout = -1;
        while (true) {
            ::poll(ready.data(), ready.size(), timeout);
            if (ready.back().revents != 0) {
                return;
            }
            bool trouble = false;
            for (const auto& one : std::span(ready).first(listeners_.size())) {
                trouble |= one.revents != 0 && !accept_one(one.fd);
            }
            timeout = make_room() || trouble ? static_cast<int>(look_again.count()) : -1;
            if (trouble) {
                ::poll(&ready.back(), 1, timeout);  // no descriptors left: do not spin
            }
        }
    }

    /// False when the host has no room for another connection.
    bool accept_one(int listener) {
        Fd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!fd) {
            return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
        }
        const std::lock_guard lock(mutex_);
        if (waiting_.size() < longest_queue) {
            waiting_.push_back(std::move(fd));
            changed_.notify_one();
        }
        return true;
    }

    /// While connections wait for a thread, those that keep one waiting are cut. True if some wait.
    bool make_room() {
        const std::lock_guard lock(mutex_);
        if (waiting_.empty()) {
            return false;
        }
        for (auto* connection : active_) {
            connection->cut_if_waiting(patience_when_busy);
        }
        return true;
    }

    void work() {
        Answerer answerer(shelf);
        std::unique_lock lock(mutex_);
        while (true) {
            changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
            if (stopping_) {
                return;
            }
            Connection connection(std::move(waiting_.front()), patience_);
            waiting_.pop_front();
            active_.insert(&connection);
            lock.unlock();
            answerer.answer(connection);
            lock.lock();
            active_.erase(&connection);
        }
    }

    Millis patience_;
    std::vector<Listener> listeners_;
    Fd wake_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
    std::deque<Fd> waiting_;        ///< accepted, no thread yet
    std::set<Connection*> active_;  ///< each belongs to the thread that answers it
    std::vector<std::jthread> threads_;
};

Result<std::unique_ptr<Web>> Web::start(const WebOptions& options) {
    std::vector<Listener> listeners;
    for (const auto& address : options.listen) {
        auto listener = listen_on(address);
        if (!listener) {
            return std::unexpected(listener.error());
        }
        listeners.push_back(std::move(*listener));
    }
    Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake) {
        return fail(Error::Kind::runtime,
                    fmt::format("cannot make an eventfd: {}", std::generic_category().message(errno)));
    }
    return std::unique_ptr<Web>(new Web(std::make_unique<Impl>(options, std::move(listeners), std::move(wake))));
}

Web::Web(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Web::~Web() = default;

const std::vector<std::string>& Web::addresses() const {
    return impl_->addresses;
}

void Web::publish(std::shared_ptr<const Page> page) {
    impl_->shelf.put(std::move(page));
}

void Web::heartbeat(Time now) {
    impl_->shelf.heartbeat(now);
}

std::uint64_t Web::served_generation() const {
    return impl_->shelf.served();
}

}  // namespace upstat::publish
