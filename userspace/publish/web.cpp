// SPDX-License-Identifier: Apache-2.0
#include "publish/web.hpp"

#include <fmt/format.h>
#include <gnutls/abstract.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/unprivileged.hpp"
#include "publish/connections.hpp"
#include "publish/gzip.hpp"
#include "publish/listen.hpp"
#include "publish/passwords.hpp"
#include "publish/refusals.hpp"
#include "publish/responses.hpp"

namespace upstat::publish {

namespace {

/// What is served: swapped as a whole, never changed.
class Shelf {
    using Clock = std::chrono::steady_clock;

  public:
    Shelf(std::function<Clock::time_point()> now, Millis bound)
        : now_(std::move(now)), bound_(bound), heartbeat_(now_()) {}

    struct Edition {
        std::shared_ptr<const Page> page = std::make_shared<const Page>();
        std::uint64_t number = 0;
    };
    void put(std::shared_ptr<const Page> page) {
        const std::lock_guard lock(mutex_);
        std::swap(edition_.page, page);
        ++edition_.number;
    }
    [[nodiscard]] Edition get() const {
        const std::lock_guard lock(mutex_);
        return edition_;
    }
    void heartbeat(Clock::time_point now) { heartbeat_ = now; }

    /// How long ago the loop was last seen, if that is too long.
    [[nodiscard]] std::optional<Millis> silence() const {
        const auto age = std::chrono::floor<Millis>(now_() - heartbeat_.load());
        return age > bound_ ? std::optional(age) : std::nullopt;
    }
    void configure(WebConfig config) {
        auto next = std::make_shared<const WebConfig>(std::move(config));
        const std::lock_guard lock(mutex_);
        std::swap(config_, next);
    }
    [[nodiscard]] std::shared_ptr<const WebConfig> config() const {
        const std::lock_guard lock(mutex_);
        return config_;
    }

  private:
    const std::function<Clock::time_point()> now_;
    const Millis bound_;
    std::atomic<Clock::time_point> heartbeat_;
    mutable std::mutex mutex_;
    Edition edition_;
    std::shared_ptr<const WebConfig> config_ = std::make_shared<const WebConfig>();
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

struct StopDaemon {
    void operator()(MHD_Daemon* daemon) const { MHD_stop_daemon(daemon); }
};

/// What the server's thread waits for.
struct Sources {
    Fd wake;
    Fd goodbyes;
    std::vector<Listener> listeners;
};

/// Which client this is, where clients have to take turns: an address, or an IPv6 network.
std::string client_of(MHD_Connection* connection) {
    const auto* const address = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    const auto bytes = [](const auto& of, std::size_t from, std::size_t count) {
        return std::string(reinterpret_cast<const char*>(&of) + from, count);
    };
    if (address->sa_family == AF_INET) {
        return bytes(reinterpret_cast<const sockaddr_in*>(address)->sin_addr, 0, 4);
    }
    const auto& v6 = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    return IN6_IS_ADDR_V4MAPPED(&v6) ? bytes(v6, 12, 4) : bytes(v6, 0, 8);
}

/// What the client says by basic authentication about who it is, if it says that.
std::optional<Claim> claim_of(MHD_Connection* connection, const std::map<std::string, std::string>& users) {
    char* password = nullptr;
    char* const user = MHD_basic_auth_get_username_password(connection, &password);
    const std::unique_ptr<char, decltype(&MHD_free)> user_owned(user, &MHD_free);
    const std::unique_ptr<char, decltype(&MHD_free)> password_owned(password, &MHD_free);
    if (user == nullptr || password == nullptr) {
        return std::nullopt;
    }
    const auto known = users.find(user);
    return Claim{.client = client_of(connection),
                 .user = user,
                 .password = password,
                 .hash = known == users.end() ? users.begin()->second : known->second,
                 .user_known = known != users.end()};
}

/// Sessions get their certificates in Tls::begin(): this is not reached, but libmicrohttpd wants it.
int no_certificate(gnutls_session_t /*session*/, const gnutls_cert_retr_st* /*info*/,
                   gnutls_pcert_st** /*certificates*/, unsigned int* /*count*/, gnutls_ocsp_data_st** /*ocsp*/,
                   unsigned int* /*ocsp_count*/, gnutls_privkey_t* /*key*/, unsigned int* /*flags*/) {
    return -1;
}

/// As many connections as there are descriptors for: half of those that this process may have are the agent's own.
std::size_t room_for(std::size_t connections) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return connections;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return std::clamp<std::size_t>(limit.rlim_max / 2, 1, connections);
}

}  // namespace

/// GNU libmicrohttpd speaks HTTP, in a loop of ours on one thread: it knows an idle connection, but none that drips its
/// request or that nobody reads, and when it is full it lets nobody in.
class Web::Impl {
  public:
    Impl(const WebOptions& options, Sources sources)
        : shelf(options.now, options.heartbeat_bound),
          wake_(std::move(sources.wake)),
          listeners_(std::move(sources.listeners)),
          most_(room_for(options.config.tls ? std::min(options.connections, most_tls) : options.connections)),
          connections_(std::move(sources.goodbyes), options.patience, std::min(at_once, most_ / 4)),
          tls_(options.config.tls != nullptr) {
        shelf.configure(options.config);
        for (const auto& listener : listeners_) {
            addresses.push_back(listener.address);
        }
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() { eventfd_write(wake_.get(), 1); }

    /// False where libmicrohttpd does not start.
    bool start() {
        const unsigned int flags =
            MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | (tls_ ? unsigned{MHD_USE_TLS} : 0U);
        const auto most = static_cast<unsigned int>(most_ + at_once + Passwords::most);
        const MHD_OptionItem certificates{tls_ ? MHD_OPTION_HTTPS_CERT_CALLBACK2 : MHD_OPTION_END, 0,
                                          reinterpret_cast<void*>(no_certificate)};
        const std::array more{certificates, MHD_OptionItem{MHD_OPTION_END, 0, nullptr}};
        daemon_.reset(MHD_start_daemon(flags, 0, nullptr, nullptr, &Impl::on_request, this,       //
                                       MHD_OPTION_CONNECTION_LIMIT, most,                         //
                                       MHD_OPTION_CONNECTION_MEMORY_LIMIT, bytes_each,            //
                                       MHD_OPTION_NOTIFY_CONNECTION, &Impl::on_connection, this,  //
                                       MHD_OPTION_ARRAY, more.data(), MHD_OPTION_END));
        if (daemon_ == nullptr) {
            return false;
        }
        const SignalsBlocked blocked;
        thread_ = std::jthread([this] { work(); });
        return true;
    }

    Shelf shelf;
    std::vector<std::string> addresses;
    [[nodiscard]] bool has_tls() const { return tls_; }

  private:
    using Connection = Connections::Connection;
    static constexpr std::size_t bytes_each = 16384;  ///< for a request's head and the response's, not in one piece
    static constexpr std::size_t most_tls = 2048;     ///< TLS sessions: each takes 27 KiB more
    static constexpr int enough_idle = 8;             ///< runs of libmicrohttpd
    static constexpr std::size_t at_once = 64;        ///< connections that are accepted in one go

    static Connection& of(MHD_Connection* connection) {
        return *static_cast<Connection*>(
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context);
    }

    static void on_connection(void* self, MHD_Connection* connection, void** context,
                              MHD_ConnectionNotificationCode what) {
        auto& impl = *static_cast<Impl*>(self);
        if (what == MHD_CONNECTION_NOTIFY_STARTED) {
            auto& added = impl.connections_.add(
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
            *context = &added;
            if (impl.tls_) {
                added.tls = impl.shelf.config()->tls;
                added.tls->begin(static_cast<gnutls_session_t>(
                    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session));
            }
        } else {
            impl.connections_.leave(*static_cast<Connection*>(*context));
        }
    }

    /// The head is there. Answered at once, whatever body is to come: nobody wants one. Only where a password has to be
    /// checked first, it comes and is thrown away.
    static MHD_Result on_request(void* self, MHD_Connection* connection, const char* url, const char* method,
                                 const char* /*version*/, const char* /*body*/, std::size_t* size, void** /*request*/) {
        if (*size != 0) {
            *size = 0;
            return MHD_YES;
        }
        try {
            return static_cast<Impl*>(self)->respond(connection, url, method);
        } catch (const std::exception& failure) {
            spdlog::debug("a request to the web server could not be served: {}", failure.what());
            return MHD_NO;
        }
    }

    MHD_Result respond(MHD_Connection* connection, std::string_view path, std::string_view method) {
        const auto config = shelf.config();
        if (method != MHD_HTTP_METHOD_GET && method != MHD_HTTP_METHOD_HEAD) {
            return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD", *config,
                          {MHD_HTTP_HEADER_ALLOW, "GET, HEAD"});
        }
        switch (access_of(connection, *config)) {
            case Access::waits:
                return MHD_YES;  // this is called again when the verdict is there
            case Access::denied:
                return refuse(connection, MHD_HTTP_UNAUTHORIZED, "a user and a password are wanted", *config,
                              {MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic"});
            case Access::too_many:
                return refuse(connection, MHD_HTTP_TOO_MANY_REQUESTS, "too many passwords wait to be checked", *config,
                              {MHD_HTTP_HEADER_RETRY_AFTER, "1"});
            case Access::granted:
                return serve(connection, path, *config);
        }
        std::unreachable();
    }

    static MHD_Result refuse(MHD_Connection* connection, unsigned int status, std::string_view why,
                             const WebConfig& config, std::pair<const char*, const char*> header) {
        const auto response = text_response(fmt::format("{}\n", why), config.headers);
        MHD_add_response_header(response.get(), header.first, header.second);
        return MHD_queue_response(connection, status, response.get());
    }

    enum class Access : std::uint8_t { granted, denied, waits, too_many };

    /// Every page wants a user, the probes too: as it is with Prometheus's exporters.
    Access access_of(MHD_Connection* connection, const WebConfig& config) {
        auto& of_it = of(connection);
        if (config.users.empty() || of_it.allowed.has_value()) {
            return of_it.allowed.value_or(true) ? Access::granted : Access::denied;
        }
        auto claim = claim_of(connection, config.users);
        if (!claim) {
            return Access::denied;
        }
        if (const auto verdict = passwords_.remembered(*claim)) {
            return *verdict ? Access::granted : Access::denied;
        }
        const auto ticket = ++last_ticket_;
        if (!passwords_.check(ticket, *std::move(claim))) {
            return Access::too_many;
        }
        suspended_.emplace(ticket, connection);
        MHD_suspend_connection(connection);
        return Access::waits;
    }

    void take_verdicts() {
        for (const auto& verdict : passwords_.take()) {
            const auto suspended = suspended_.extract(verdict.ticket);
            of(suspended.mapped()).allowed = verdict.good;
            MHD_resume_connection(suspended.mapped());
        }
    }

    /// Those whose verdict will not come any more: libmicrohttpd does not end while there are such.
    void resume_all() {
        for (const auto& suspended : std::exchange(suspended_, {})) {
            of(suspended.second).allowed = false;
            MHD_resume_connection(suspended.second);
        }
    }

    MHD_Result serve(MHD_Connection* connection, std::string_view path, const WebConfig& config) {
        if (path == "/-/healthy") {
            const auto silence = shelf.silence();
            return probe(connection, config, !silence, "healthy",
                         fmt::format("the agent's loop was last seen {} ms ago", silence.value_or(Millis()).count()));
        }
        const auto edition = shelf.get();
        if (path == "/-/ready") {
            const auto& why_not = edition.page->report->not_ready;
            const auto& notice = edition.page->report->notice;
            return probe(connection, config, why_not.empty(), notice.empty() ? "ready" : "ready, but " + notice,
                         "not ready: " + why_not);
        }
        if (!Responses::has(path)) {
            return MHD_queue_response(connection, MHD_HTTP_NOT_FOUND,
                                      text_response("no such page\n", config.headers).get());
        }
        const auto query = parse_query(argument(connection, "backend"), argument(connection, "server"),
                                       argument(connection, "traefik"), argument(connection, "seconds"));
        if (!query) {
            return MHD_queue_response(
                connection, MHD_HTTP_BAD_REQUEST,
                text_response("seconds is a whole number from 1 to 86400\n", config.headers).get());
        }
        auto* const response =
            responses_.get(*edition.page, edition.number, path, *query, takes_gzip(connection), config.headers);
        if (response == nullptr) {
            return MHD_queue_response(
                connection, MHD_HTTP_NOT_FOUND,
                text_response("there is no such backend or server, or not one alone: name its `traefik`\n",
                              config.headers)
                    .get());
        }
        return MHD_queue_response(connection, MHD_HTTP_OK, response);
    }

    static std::optional<std::string> argument(MHD_Connection* connection, const char* name) {
        const char* value = nullptr;
        std::size_t size = 0;
        MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, name, std::strlen(name), &value, &size);
        return value == nullptr ? std::nullopt : std::optional(std::string(value, size));
    }

    static MHD_Result probe(MHD_Connection* connection, const WebConfig& config, bool good, std::string_view yes,
                            std::string_view no) {
        return MHD_queue_response(connection, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                                  text_response(fmt::format("{}\n", good ? yes : no), config.headers).get());
    }

    static bool takes_gzip(MHD_Connection* connection) {
        const auto* const value =
            MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT_ENCODING);
        return value != nullptr && accepts_gzip(value);
    }

    void work() {
        pthread_setname_np(pthread_self(), "web");
        drop_privilege();  // and so from the thread of the passwords, which this one starts
        std::vector<pollfd> ready;
        const auto wait_for = [&ready](int fd) { ready.push_back({.fd = fd, .events = POLLIN, .revents = 0}); };
        wait_for(wake_.get());
        wait_for(MHD_get_daemon_info(daemon_.get(), MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
        wait_for(connections_.fd());
        const auto verdicts = ready.size();
        wait_for(passwords_.fd());
        for (const auto& listener : listeners_) {
            wait_for(listener.fd.get());
        }
        while (true) {
            if (::poll(ready.data(), ready.size(), timeout()) > 0) {
                idle_runs_ = 0;
            }
            if (ready.front().revents != 0) {
                return resume_all();
            }
            for (const auto& listener : std::span(ready).last(listeners_.size())) {
                if (listener.revents != 0) {
                    accept_some(listener.fd);
                }
            }
            if (ready[verdicts].revents != 0) {
                take_verdicts();
            }
            connections_.see_off();
            connections_.cut_overdue();
            const auto moved = Tls::moved();
            run();
            idle_runs_ = Tls::moved() == moved ? std::min(idle_runs_ + 1, enough_idle) : 0;
        }
    }

    void run() {
        const auto config = shelf.config();
        const StrictRefusals strict(config->headers);
        MHD_run(daemon_.get());
    }

    /// Those that are too many are cut, in favour of the new ones.
    void accept_some(int listener) {
        for (std::size_t i = 0; i < at_once; ++i) {
            sockaddr_storage peer{};
            socklen_t size = sizeof peer;
            auto* const address = reinterpret_cast<sockaddr*>(&peer);
            const int fd = accept4(listener, address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (fd < 0) {
                const bool full = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
                if (full && i == 0) {  // later, there may be none to accept: a descriptor is looked for before that
                    make_room();
                }
                break;
            }
            MHD_add_connection(daemon_.get(), fd, address, size);
        }
        while (connections_.size() > most_ && connections_.cut_longest_waiting()) {
        }
    }

    /// The host has no descriptor or memory left.
    void make_room() {
        if (!connections_.cut_longest_waiting()) {
            pollfd wake{.fd = wake_.get(), .events = POLLIN, .revents = 0};
            ::poll(&wake, 1, 100);  // do not spin
        }
    }

    /// libmicrohttpd would be run again and again, for nothing, while a client is in the middle of TLS's handshake.
    /// Where some runs in a row have moved no byte, it has nothing to do until epoll says so.
    bool runs_for_nothing() const { return tls_ && idle_runs_ >= enough_idle; }

    /// In milliseconds, until libmicrohttpd or a connection's deadline wants a look; -1 for ever.
    int timeout() const {
        MHD_UNSIGNED_LONG_LONG library = 0;
        if (MHD_get_timeout(daemon_.get(), &library) == MHD_YES && library == 0 && !runs_for_nothing()) {
            return 0;
        }
        const auto deadline = connections_.next_deadline();
        if (!deadline) {
            return -1;
        }
        const auto left = std::chrono::ceil<Millis>(*deadline - Connections::Clock::now());
        return static_cast<int>(std::max(left, Millis(0)).count());
    }

    Fd wake_;
    std::vector<Listener> listeners_;
    std::size_t most_;  ///< connections
    Connections connections_;
    bool tls_;
    int idle_runs_ = 0;  ///< of libmicrohttpd, in which no TLS session moved a byte
    Responses responses_;
    Passwords passwords_;
    std::uint64_t last_ticket_ = 0;
    std::map<std::uint64_t, MHD_Connection*> suspended_;  ///< by ticket: their passwords are being checked
    std::unique_ptr<MHD_Daemon, StopDaemon> daemon_;
    std::jthread thread_;
};

namespace {

Result<Sources> open_sources(const std::vector<std::string>& addresses) {
    Sources sources{.wake = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
                    .goodbyes = Fd(epoll_create1(EPOLL_CLOEXEC)),
                    .listeners = {}};
    if (!sources.wake || !sources.goodbyes) {
        return fail(Error::Kind::runtime, fmt::format("cannot wait for the web server's clients: {}",
                                                      std::generic_category().message(errno)));
    }
    for (const auto& address : addresses) {
        auto listener = listen_on(address);
        if (!listener) {
            return std::unexpected(listener.error());
        }
        sources.listeners.push_back(std::move(*listener));
    }
    return sources;
}

}  // namespace

Result<std::unique_ptr<Web>> Web::start(const WebOptions& options) {
    auto sources = open_sources(options.listen);
    if (!sources) {
        return std::unexpected(sources.error());
    }
    auto impl = std::make_unique<Impl>(options, std::move(*sources));
    if (!impl->start()) {
        return fail(Error::Kind::runtime, "libmicrohttpd, which serves /metrics, does not start");
    }
    return std::unique_ptr<Web>(new Web(std::move(impl)));
}

Web::Web(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Web::~Web() = default;

const std::vector<std::string>& Web::addresses() const {
    return impl_->addresses;
}

void Web::publish(std::shared_ptr<const Page> page) {
    impl_->shelf.put(std::move(page));
}

bool Web::has_tls() const {
    return impl_->has_tls();
}

void Web::configure(WebConfig config) {
    impl_->shelf.configure(std::move(config));
}

void Web::heartbeat(std::chrono::steady_clock::time_point now) {
    impl_->shelf.heartbeat(now);
}

}  // namespace upstat::publish
