// SPDX-License-Identifier: Apache-2.0
#include "publish/web.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
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
#include "publish/request.hpp"
#include "publish/views.hpp"

namespace upstat {

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

constexpr auto plain_text = "text/plain; charset=utf-8";

/// Answers the one request of a connection.
class Answerer {
  public:
    Answerer(Shelf& shelf, Connection& connection) : shelf_(shelf), connection_(connection) {}

    void answer() {
        const auto request = read_request(connection_);
        if (!request) {
            request_.method = "GET";
            if (request.error() != 0) {
                send(request.error(), plain_text, "");
            }
            connection_.finish();
            return;
        }
        request_ = *request;
        const auto page = shelf_.get();
        const bool sent = route(page);
        if (connection_.finish() && sent && request_.path == "/metrics" && request_.method == "GET") {
            shelf_.served(page->number);
        }
    }

  private:
    using View = std::string (*)(const Report&);
    struct Route {
        std::string_view path;
        const char* type;
        View view;
    };
    static constexpr std::array<Route, 4> views{{{"/", "text/html; charset=utf-8", index_html},
                                                 {"/api/v1/status", "application/json", status_json},
                                                 {"/api/v1/alerts", "application/json", alerts_json},
                                                 {"/api/v1/backends", "application/json", backends_json}}};

    bool route(const std::shared_ptr<const Page>& page) {
        if (request_.method != "GET" && request_.method != "HEAD") {
            return send(404, plain_text, "");
        }
        if (request_.path == "/metrics") {
            return metrics(*page);
        }
        if (request_.path == "/-/healthy") {
            const auto silence = shelf_.silence();
            return silence ? send(503, plain_text,
                                  fmt::format("the agent's loop was last seen {} ms ago\n", silence->count()))
                           : send(200, plain_text, "healthy\n");
        }
        const auto& report = *page->report;
        if (request_.path == "/-/ready") {
            return report.not_ready.empty() ? send(200, plain_text, "ready\n")
                                            : send(503, plain_text, "not ready: " + report.not_ready + "\n");
        }
        const auto* const found = std::ranges::find(views, request_.path, &Route::path);
        return found == views.end() ? send(404, plain_text, "") : send(200, found->type, found->view(report));
    }

    /// The page as it is written, in chunks, where the client takes it so: no page is ever whole in memory then.
    bool metrics(const Page& page) {
        if (request_.gzip) {
            Gzip gzip;
            write_page(page, [&gzip](std::string_view piece) {
                gzip.add(piece);
                return true;
            });
            return send_packed(200, exposition_content_type, gzip.finish());
        }
        if (!request_.chunks) {
            return send(200, exposition_content_type, page_text(page));
        }
        bool good = send_head(200, exposition_content_type, "Transfer-Encoding: chunked\r\n");
        if (request_.method == "HEAD") {
            return good;
        }
        std::string chunk;
        write_page(page, [&](std::string_view piece) {
            chunk = fmt::format("{:x}\r\n", piece.size());
            chunk.append(piece).append("\r\n");
            good = good && connection_.write(chunk);
            return good;
        });
        return good && connection_.write("0\r\n\r\n");
    }

    bool send(int status, std::string_view type, const std::string& body) {
        if (request_.gzip && !body.empty()) {
            Gzip gzip;
            gzip.add(body);
            return send_packed(status, type, gzip.finish());
        }
        return send_body(status, type, body, "");
    }
    bool send_packed(int status, std::string_view type, const std::string& packed) {
        return send_body(status, type, packed, "Content-Encoding: gzip\r\n");
    }
    bool send_body(int status, std::string_view type, const std::string& body, std::string_view more) {
        return send_head(status, type, fmt::format("{}Content-Length: {}\r\n", more, body.size())) &&
               (request_.method == "HEAD" || connection_.write(body));
    }
    bool send_head(int status, std::string_view type, std::string_view more) {
        return connection_.write(fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nConnection: close\r\n{}\r\n",
                                             status, reason_phrase(status), type, more));
    }

    Shelf& shelf_;
    Connection& connection_;
    WebRequest request_;
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
    static constexpr Millis patience_when_busy = std::chrono::milliseconds(500);
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

    void answer(Connection& connection) {
        try {
            Answerer(shelf, connection).answer();
        } catch (const std::exception& failure) {
            spdlog::error("a request to the web server could not be answered: {}", failure.what());
        }
    }

    void work() {
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
            answer(connection);
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

}  // namespace upstat
