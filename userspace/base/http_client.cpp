// SPDX-License-Identifier: Apache-2.0
#include "base/http_client.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/url.hpp"

namespace upstat {

namespace {

constexpr Millis longest_connect = std::chrono::seconds(5);
constexpr long most_redirects = 10;  // as Go's client, and so Prometheus, has it
constexpr std::chrono::seconds longest_retry_after = std::chrono::hours(24);

struct FreeEasy {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeMulti {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Exchange;

/// What the responses under way have sent so far.
struct Bodies {
    HttpBound bound;
    std::map<std::uint64_t, std::unique_ptr<Exchange>> exchanges{};  ///< by ticket
    std::size_t bytes = 0;                                           ///< of all of them

    void make_room(std::size_t more);
};

/// One exchange under way. libcurl holds pointers into it, so it must not move.
struct Exchange {
    Bodies* bodies = nullptr;
    OpenedRequest opened;
    std::string body;
    bool was_cut = false;
    std::string problem;  ///< what a callback of ours found wrong; it goes before libcurl's own words
    std::array<char, CURL_ERROR_SIZE> words{};
    std::unique_ptr<curl_slist, FreeList> headers;
    std::unique_ptr<curl_slist, FreeList> addresses;  ///< in place of the URL's host
    std::unique_ptr<CURL, FreeEasy> easy;
};

/// Ends the longest responses, which need not be the one that grows.
void Bodies::make_room(std::size_t more) {
    const auto size_of = [](const auto& entry) { return entry.second->body.size(); };
    const auto waiting = bound.elsewhere == nullptr ? 0 : bound.elsewhere->load();
    while (bytes + waiting + more > bound.bytes && bytes > 0) {
        auto& longest = *std::ranges::max_element(exchanges, {}, size_of)->second;
        longest.problem =
            fmt::format("the responses under way are longer than {} bytes, and this is the longest", bound.bytes);
        bytes -= longest.body.size();
        longest.body = std::string();
    }
}

std::size_t take_body(const char* data, std::size_t size, std::size_t count, void* user) {
    auto& exchange = *static_cast<Exchange*>(user);
    auto& bodies = *exchange.bodies;
    bodies.make_room(size * count);
    if (!exchange.problem.empty()) {
        return 0;
    }
    const auto room = exchange.opened.request.max_bytes - exchange.body.size();
    if (size * count > room && exchange.opened.request.cut) {
        exchange.body.append(data, room);
        bodies.bytes += room;
        exchange.was_cut = true;
        return 0;
    }
    if (size * count > room) {
        exchange.problem = fmt::format("the response is longer than {} bytes", exchange.opened.request.max_bytes);
        return 0;
    }
    exchange.body.append(data, size * count);
    bodies.bytes += size * count;
    return size * count;
}

/// One of the sockets that were made for it. libcurl closes it.
curl_socket_t take_socket(void* user, curlsocktype /*purpose*/, curl_sockaddr* address) {
    auto& exchange = *static_cast<Exchange*>(user);
    auto& made = address->family == AF_INET6 ? exchange.opened.socket_v6 : exchange.opened.socket_v4;
    return made ? made.release() : CURL_SOCKET_BAD;
}

/// curl_easy_setopt, remembering the first refusal.
template <typename Value>
void set(Exchange& exchange, CURLoption option, Value value) {
    const auto code = curl_easy_setopt(exchange.easy.get(), option, value);
    if (code != CURLE_OK && exchange.problem.empty()) {
        exchange.problem = fmt::format("cannot set up the request: {}", curl_easy_strerror(code));
    }
}

void set_method(Exchange& exchange) {
    const auto& request = exchange.opened.request;
    if (request.method == "HEAD") {
        set(exchange, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request.method == "GET" && request.body.empty()) {
        return;
    }
    if (request.method != "DELETE" || !request.body.empty()) {
        set(exchange, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
        set(exchange, CURLOPT_POSTFIELDS, request.body.c_str());
    }
    set(exchange, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

void set_headers(Exchange& exchange) {
    // No "Expect: 100-continue": it only adds a wait where the receiver does not know it.
    auto* list = curl_slist_append(nullptr, "Expect:");
    for (const auto& header : exchange.opened.request.headers) {
        list = curl_slist_append(list, header.c_str());
    }
    exchange.headers.reset(list);
    set(exchange, CURLOPT_HTTPHEADER, list);
}

void set_limits(Exchange& exchange) {
    const auto timeout = std::max(exchange.opened.request.timeout, Millis(1));
    set(exchange, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
    set(exchange, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::min(timeout, longest_connect).count()));
    set(exchange, CURLOPT_NOSIGNAL, 1L);
    // A name server that hangs must not hold us up: do not join libcurl's resolver thread after a timeout.
    set(exchange, CURLOPT_QUICK_EXIT, 1L);
    set(exchange, CURLOPT_PROTOCOLS_STR, "http,https");
    // Exchanges are seconds apart. A kept connection would gain little, and one namespace's must not serve another's.
    set(exchange, CURLOPT_FRESH_CONNECT, 1L);
    set(exchange, CURLOPT_FORBID_REUSE, 1L);
}

/// A browser, and so Go's client, turns a POST into a GET after a 301, 302 or 303. What we send would be lost, and a
/// page's 200 be taken for its receipt. Names and passwords stay at home: libcurl keeps them to one origin by itself.
void set_redirects(Exchange& exchange) {
    set(exchange, CURLOPT_FOLLOWLOCATION, exchange.opened.request.redirects ? 1L : 0L);
    set(exchange, CURLOPT_MAXREDIRS, most_redirects);
    set(exchange, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    set(exchange, CURLOPT_POSTREDIR, static_cast<long>(CURL_REDIR_POST_ALL));
}

/// The name goes where the address stood, so that it is in the Host header, is asked for by TLS and is what the
/// certificate must be of; the connection goes to the address.
void set_host(Exchange& exchange) {
    const auto& request = exchange.opened.request;
    const auto url = parse_url(request.url);
    if (request.host.empty() || !url) {
        return;
    }
    exchange.addresses.reset(curl_slist_append(nullptr, ("::" + to_string(url->address)).c_str()));
    set(exchange, CURLOPT_CONNECT_TO, exchange.addresses.get());
    const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parts(curl_url(), curl_url_cleanup);
    char* text = nullptr;
    if (curl_url_set(parts.get(), CURLUPART_URL, request.url.c_str(), 0) != CURLUE_OK ||
        curl_url_set(parts.get(), CURLUPART_HOST, request.host.c_str(), 0) != CURLUE_OK ||
        curl_url_get(parts.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) {
        exchange.problem = fmt::format("{} cannot be the host of {}", request.host, without_password(request.url));
        return;
    }
    set(exchange, CURLOPT_URL, text);  // which copies it
    curl_free(text);
}

void set_pem(Exchange& exchange, CURLoption option, std::string& pem) {
    if (!pem.empty()) {
        curl_blob blob{.data = pem.data(), .len = pem.size(), .flags = CURL_BLOB_NOCOPY};
        set(exchange, option, &blob);
    }
}

void set_files(Exchange& exchange) {
    auto& opened = exchange.opened;
    if (!opened.request.verify) {
        set(exchange, CURLOPT_SSL_VERIFYPEER, 0L);
        set(exchange, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    set_pem(exchange, CURLOPT_CAINFO_BLOB, opened.ca);
    set_pem(exchange, CURLOPT_SSLCERT_BLOB, opened.cert);
    set_pem(exchange, CURLOPT_SSLKEY_BLOB, opened.key);
    if (!opened.token.empty()) {
        set(exchange, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
        set(exchange, CURLOPT_XOAUTH2_BEARER, opened.token.c_str());
    }
}

void set_identity(Exchange& exchange) {
    const auto& request = exchange.opened.request;
    set(exchange, CURLOPT_USERAGENT, "upstat");
    if (!request.username.empty()) {
        set(exchange, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
        set(exchange, CURLOPT_USERNAME, request.username.c_str());
        set(exchange, CURLOPT_PASSWORD, request.password.c_str());
    }
    if (!request.network_namespace.empty()) {
        set(exchange, CURLOPT_OPENSOCKETFUNCTION, &take_socket);
        set(exchange, CURLOPT_OPENSOCKETDATA, static_cast<void*>(&exchange));
    }
}

/// The proxy of the environment (http_proxy) is for what is elsewhere: its own loopback is not ours, and it cannot
/// connect from inside a network namespace of this host.
void set_proxy(Exchange& exchange) {
    const auto& request = exchange.opened.request;
    const auto url = parse_url(request.url);
    if (request.direct || !request.network_namespace.empty() || (url && is_loopback(url->address.host))) {
        set(exchange, CURLOPT_NOPROXY, "*");
    }
}

void set_up(Exchange& exchange) {
    exchange.easy.reset(curl_easy_init());
    set(exchange, CURLOPT_URL, exchange.opened.request.url.c_str());
    set(exchange, CURLOPT_ERRORBUFFER, exchange.words.data());
    set(exchange, CURLOPT_WRITEFUNCTION, &take_body);
    set(exchange, CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
    set_method(exchange);
    set_headers(exchange);
    set_limits(exchange);
    set_redirects(exchange);
    set_host(exchange);
    set_files(exchange);
    set_identity(exchange);
    set_proxy(exchange);
}

std::string seconds(Millis time) {
    return fmt::format("{} s", static_cast<double>(time.count()) / 1000);
}

std::string timeout_words(Exchange& exchange) {
    curl_off_t connected = 0;
    curl_easy_getinfo(exchange.easy.get(), CURLINFO_CONNECT_TIME_T, &connected);
    if (connected == 0) {
        return "no connection within " + seconds(std::min(exchange.opened.request.timeout, longest_connect));
    }
    return "no complete response within " + seconds(exchange.opened.request.timeout);
}

std::string connect_words(Exchange& exchange) {
    long error = 0;
    curl_easy_getinfo(exchange.easy.get(), CURLINFO_OS_ERRNO, &error);
    return error != 0 ? error_words(static_cast<int>(error)) : "no connection";
}

/// A server that answers HTTP/0.9, anything but a status line, gives the same code as a URL of another scheme.
std::string protocol_words(Exchange& exchange) {
    long redirects = 0;
    curl_easy_getinfo(exchange.easy.get(), CURLINFO_REDIRECT_COUNT, &redirects);
    if (redirects > 0) {
        return "a redirect leads to what is neither http nor https, or to a response that is not HTTP";
    }
    return exchange.opened.request.url.starts_with("http") ? "the response is not HTTP"
                                                           : "only http and https are spoken";
}

/// libcurl's code as words for a person.
std::string words(Exchange& exchange, CURLcode code) {
    switch (code) {
        case CURLE_OPERATION_TIMEDOUT:
            return timeout_words(exchange);
        case CURLE_COULDNT_CONNECT:
            return connect_words(exchange);
        case CURLE_COULDNT_RESOLVE_HOST:
            return "the host name cannot be resolved";
        case CURLE_COULDNT_RESOLVE_PROXY:
            return "the host name of the proxy (see http_proxy) cannot be resolved";
        case CURLE_GOT_NOTHING:
            return "the connection was closed without a response";
        case CURLE_PARTIAL_FILE:
            return "the response ended before its announced length";
        case CURLE_UNSUPPORTED_PROTOCOL:
            return protocol_words(exchange);
        case CURLE_TOO_MANY_REDIRECTS:
            return fmt::format("more than {} redirects", most_redirects);
        case CURLE_WEIRD_SERVER_REPLY:
            return "the response is not HTTP";
        case CURLE_URL_MALFORMAT:
            return "this is not a URL";
        case CURLE_SSL_CACERT_BADFILE:
            return "the CA file " + exchange.opened.request.files.ca_file + " cannot be used";
        default:
            return exchange.words.front() != '\0' ? exchange.words.data() : curl_easy_strerror(code);
    }
}

/// libcurl reads both forms, a number of seconds and a date.
std::optional<Millis> retry_after(const Exchange& exchange) {
    curl_off_t seconds = 0;
    curl_easy_getinfo(exchange.easy.get(), CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= 0) {
        return std::nullopt;
    }
    return std::chrono::seconds(std::min<curl_off_t>(seconds, longest_retry_after.count()));
}

std::string redirected_to(const Exchange& exchange) {
    long redirects = 0;
    const char* last = nullptr;
    curl_easy_getinfo(exchange.easy.get(), CURLINFO_REDIRECT_COUNT, &redirects);
    curl_easy_getinfo(exchange.easy.get(), CURLINFO_EFFECTIVE_URL, &last);
    return redirects > 0 && last != nullptr ? last : "";
}

std::expected<HttpResponse, std::string> outcome(Exchange& exchange, CURLcode code) {
    if ((code != CURLE_OK && !exchange.was_cut) || !exchange.problem.empty()) {
        const auto& why = exchange.problem.empty() ? words(exchange, code) : exchange.problem;
        return std::unexpected(fmt::format("{} {}: {}", exchange.opened.request.method,
                                           without_password(exchange.opened.request.url), why));
    }
    HttpResponse response;
    curl_easy_getinfo(exchange.easy.get(), CURLINFO_RESPONSE_CODE, &response.status);
    response.body = std::move(exchange.body);
    response.retry_after = retry_after(exchange);
    response.redirected_to = redirected_to(exchange);
    return response;
}

void init_curl_once() {
    static const auto code = curl_global_init(CURL_GLOBAL_DEFAULT);
    static_cast<void>(code);
}

}  // namespace

class HttpClient::Impl {
  public:
    explicit Impl(HttpBound bound) : bodies_{.bound = bound} {
        init_curl_once();
        multi_.reset(curl_multi_init());
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        for (const auto& [ticket, exchange] : bodies_.exchanges) {
            curl_multi_remove_handle(multi_.get(), exchange->easy.get());
        }
    }

    std::uint64_t start(OpenedRequest request) {
        const auto ticket = ++last_ticket_;
        auto exchange = std::make_unique<Exchange>();
        exchange->bodies = &bodies_;
        exchange->opened = std::move(request);
        exchange->problem = exchange->opened.problem;
        set_up(*exchange);
        if (exchange->problem.empty()) {
            const auto code = curl_multi_add_handle(multi_.get(), exchange->easy.get());
            if (code != CURLM_OK) {
                exchange->problem = curl_multi_strerror(code);
            }
        }
        if (!exchange->problem.empty()) {
            done_.push_back({.ticket = ticket, .result = outcome(*exchange, CURLE_FAILED_INIT)});
            return ticket;
        }
        tickets_[exchange->easy.get()] = ticket;
        bodies_.exchanges[ticket] = std::move(exchange);
        return ticket;
    }

    std::vector<HttpDone> wait(std::span<pollfd> others, Millis longest) {
        perform();
        std::vector<curl_waitfd> extra;
        extra.reserve(others.size());
        for (const auto& other : others) {
            extra.push_back({.fd = other.fd, .events = wait_events(other.events), .revents = 0});
        }
        curl_multi_poll(multi_.get(), extra.data(), static_cast<unsigned>(extra.size()),
                        done_.empty() ? poll_timeout(longest) : 0, nullptr);
        perform();
        // libcurl does not hand on POLLERR and POLLHUP, so the descriptors are asked directly.
        ::poll(others.data(), others.size(), 0);
        return std::exchange(done_, {});
    }

  private:
    static short wait_events(short events) {
        const auto in = (events & POLLIN) != 0 ? CURL_WAIT_POLLIN : 0;
        const auto urgent = (events & POLLPRI) != 0 ? CURL_WAIT_POLLPRI : 0;
        const auto out = (events & POLLOUT) != 0 ? CURL_WAIT_POLLOUT : 0;
        return static_cast<short>(in | urgent | out);
    }

    void perform() {
        int running = 0;
        curl_multi_perform(multi_.get(), &running);
        int queued = 0;
        while (const auto* message = curl_multi_info_read(multi_.get(), &queued)) {
            if (message->msg == CURLMSG_DONE) {
                finish(message->easy_handle, message->data.result);
            }
        }
    }

    void finish(CURL* easy, CURLcode code) {
        const auto ticket = tickets_.at(easy);
        const auto found = bodies_.exchanges.find(ticket);
        bodies_.bytes -= found->second->body.size();
        done_.push_back({.ticket = ticket, .result = outcome(*found->second, code)});
        curl_multi_remove_handle(multi_.get(), easy);
        tickets_.erase(easy);
        bodies_.exchanges.erase(found);
    }

    std::unique_ptr<CURLM, FreeMulti> multi_;
    std::uint64_t last_ticket_ = 0;
    std::map<CURL*, std::uint64_t> tickets_;
    Bodies bodies_;
    std::vector<HttpDone> done_;
};

HttpClient::HttpClient(HttpBound bound) : impl_(std::make_unique<Impl>(bound)) {}

HttpClient::~HttpClient() = default;

std::uint64_t HttpClient::start(const HttpRequest& request) {
    return impl_->start(opened(request));
}

std::uint64_t HttpClient::start(OpenedRequest request) {
    return impl_->start(std::move(request));
}

std::vector<HttpDone> HttpClient::wait(std::span<pollfd> others, Millis longest) {
    return impl_->wait(others, longest);
}

}  // namespace upstat
