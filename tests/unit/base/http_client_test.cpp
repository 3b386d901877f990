// SPDX-License-Identifier: Apache-2.0
#include "base/http_client.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <condition_variable>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

#include "base/fd.hpp"
#include "base/receiver.hpp"
#include "base/temporary_directory.hpp"

// A request here names only the fields that matter.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace {

/// A name server that does not answer: getaddrinfo for "hang.test" waits here.
struct Hang {
    std::mutex mutex;
    std::condition_variable changed;
    bool released = false;
    bool gave_up = false;
    int inside = 0;

    void stay() {
        std::unique_lock lock(mutex);
        ++inside;
        gave_up = !changed.wait_for(lock, std::chrono::seconds(20), [this] { return released; });
        --inside;
        changed.notify_all();
    }
    void release_and_wait() {
        std::unique_lock lock(mutex);
        released = true;
        changed.notify_all();
        changed.wait(lock, [this] { return inside == 0; });
    }
};

Hang& hang() {
    static Hang one;
    return one;
}

}  // namespace

// libcurl calls this one, because the program's symbols go before the C library's. "elsewhere.test" is not there.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
    if (node != nullptr && std::string_view(node) == "hang.test") {
        hang().stay();
        return EAI_NONAME;
    }
    if (node != nullptr && std::string_view(node) == "elsewhere.test") {
        return EAI_NONAME;
    }
    static const auto real = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
    return real(node, service, hints, result);
}

namespace upstat {
namespace {

using namespace std::chrono_literals;

/// A bound TCP socket on a free loopback port; it listens when told so.
class Plain {
  public:
    Plain() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        EXPECT_EQ(bind(fd_.get(), generic, size), 0);
        EXPECT_EQ(getsockname(fd_.get(), generic, &size), 0);
        port_ = ntohs(address.sin_port);
    }
    void listen() const { EXPECT_EQ(::listen(fd_.get(), 8), 0); }
    [[nodiscard]] Fd accept() const { return Fd(::accept(fd_.get(), nullptr, nullptr)); }
    [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  private:
    Fd fd_;
    int port_ = 0;
};

/// Reads the request's head and answers with these bytes, then closes.
std::jthread answer_once(const Plain& plain, std::string bytes) {
    return std::jthread([&plain, bytes = std::move(bytes)] {
        const auto peer = plain.accept();
        std::string head;
        std::array<char, 4096> some{};
        while (!head.contains("\r\n\r\n")) {
            const auto got = recv(peer.get(), some.data(), some.size(), 0);
            if (got <= 0) {
                return;
            }
            head.append(some.data(), static_cast<std::size_t>(got));
        }
        send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    });
}

std::expected<HttpResponse, std::string> fetch(HttpClient& client, const HttpRequest& request) {
    const auto ticket = client.start(request);
    while (true) {
        for (auto& done : client.wait({}, 1s)) {
            if (done.ticket == ticket) {
                return std::move(done.result);
            }
        }
    }
}

std::string sentence(const HttpRequest& request) {
    HttpClient client;
    const auto result = fetch(client, request);
    return result ? "status " + std::to_string(result->status) : result.error();
}

TEST(HttpClient, GetsABody) {
    Receiver receiver;
    receiver.server.Get("/a", [](const httplib::Request& request, httplib::Response& response) {
        response.set_content("hello " + request.get_header_value("X-Name"), "text/plain");
    });
    HttpClient client;
    const auto result = fetch(client, {.url = receiver.start() + "/a", .headers = {"X-Name: upstat"}});
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(result->status, 200);
    EXPECT_EQ(result->body, "hello upstat");
}

TEST(HttpClient, AHostThatIsNamedIsInTheHeaderAndTheAddressIsAsked) {
    Receiver receiver;
    receiver.server.Get("/a", [](const httplib::Request& request, httplib::Response& response) {
        response.set_content(request.get_header_value("Host"), "text/plain");
    });
    const auto url = receiver.start() + "/a";
    HttpClient client;
    const auto done = fetch(client, {.url = url, .host = "traefik.example.com"});
    ASSERT_TRUE(done) << done.error();
    EXPECT_TRUE(done->body.starts_with("traefik.example.com:")) << done->body;
    EXPECT_FALSE(fetch(client, {.url = url, .host = "a b/c"}));
}

TEST(HttpClient, AnErrorStatusIsAResponse) {
    Receiver receiver;
    const auto url = receiver.start();
    HttpClient client;
    const auto result = fetch(client, {.url = url + "/missing"});
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(result->status, 404);
}

TEST(HttpClient, PutsPostsAndDeletes) {
    Receiver receiver;
    const auto echo = [](const httplib::Request& request, httplib::Response& response) {
        response.set_content(request.method + " " + std::to_string(request.body.size()) +
                                 (request.has_header("Expect") ? " expects" : ""),
                             "text/plain");
    };
    receiver.server.Put("/x", echo);
    receiver.server.Post("/x", echo);
    receiver.server.Delete("/x", echo);
    const auto url = receiver.start() + "/x";
    HttpClient client;
    const std::string large(3'000'000, 'x');
    EXPECT_EQ(
        fetch(client, {.method = "PUT", .url = url, .headers = {"Content-Type: text/plain"}, .body = large})->body,
        "PUT 3000000");
    EXPECT_EQ(
        fetch(client, {.method = "POST", .url = url, .headers = {"Content-Type: text/plain"}, .body = "abc"})->body,
        "POST 3");
    EXPECT_EQ(fetch(client, {.method = "DELETE", .url = url})->body, "DELETE 0");
}

TEST(HttpClient, SendsBasicAuth) {
    Receiver receiver;
    receiver.server.Get("/", [](const httplib::Request& request, httplib::Response& response) {
        response.set_content(request.get_header_value("Authorization"), "text/plain");
    });
    const auto url = receiver.start();
    HttpClient client;
    EXPECT_EQ(fetch(client, {.url = url, .username = "me", .password = "secret"})->body, "Basic bWU6c2VjcmV0");
}

TEST(HttpClient, SendsTheTokenThatIsInItsFileNow) {
    Receiver receiver;
    receiver.server.Get("/", [](const httplib::Request& request, httplib::Response& response) {
        response.set_content(request.get_header_value("Authorization"), "text/plain");
    });
    const auto url = receiver.start();
    const TemporaryDirectory directory;
    const auto file = (directory.path() / "token").string();
    HttpClient client;
    for (const auto* token : {"first", "second"}) {
        std::ofstream(file) << token << '\n';
        EXPECT_EQ(fetch(client, {.url = url, .files = {.bearer_token_file = file}})->body,
                  std::string("Bearer ") + token);
    }
    std::filesystem::remove(file);
    EXPECT_EQ(sentence({.url = url + "/", .files = {.bearer_token_file = file}}),
              "GET " + url + "/: bearer token: cannot read " + file + ": No such file or directory");
}

TEST(HttpClient, AClientCertificateThatIsNotThereIsSaid) {
    const Plain plain;
    plain.listen();
    const auto url = "https" + plain.url().substr(4) + "/";
    EXPECT_THAT(sentence({.url = url, .files = {.cert_file = "/nonexistent/c.pem", .key_file = "/nonexistent/k.pem"}}),
                testing::EndsWith("/: cannot read /nonexistent/c.pem: No such file or directory"));
}

TEST(HttpClient, RetryAfterIsReadAsSecondsAndAsADate) {
    Receiver receiver;
    receiver.server.Get("/", [](const httplib::Request& request, httplib::Response& response) {
        response.status = 503;
        response.set_header("Retry-After", request.get_param_value("after"));
    });
    const auto url = receiver.start();
    HttpClient client;
    const auto after = [&](const std::string& text) {
        return fetch(client, {.url = url + "/?after=" + text})->retry_after;
    };
    EXPECT_EQ(after("120"), 120s);
    EXPECT_EQ(after("99999999999"), 24h);
    EXPECT_EQ(after("Sun,%2006%20Nov%201994%2008:49:37%20GMT"), std::nullopt) << "in the past";
    EXPECT_EQ(after("Fri,%2031%20Dec%202100%2023:59:59%20GMT"), 24h);
    EXPECT_EQ(after("soon"), std::nullopt);
    EXPECT_EQ(after("-5"), std::nullopt);
    const auto date =
        fmt::format("{:%a,%%20%d%%20%b%%20%Y%%20%H:%M:%S%%20GMT}", fmt::gmtime(std::time(nullptr) + 3600));
    const auto hour = after(date);
    ASSERT_TRUE(hour) << date;
    EXPECT_GT(*hour, 30min);
    EXPECT_LE(*hour, 1h);
}

/// A server that answers /from by a redirect of this status, and shows what reached it at every other place.
std::string redirecting(Receiver& receiver, int status, std::string location) {
    const auto from = [status, location](const httplib::Request&, httplib::Response& response) {
        response.status = status;
        response.set_header("Location", location);
    };
    const auto to = [](const httplib::Request& request, httplib::Response& response) {
        response.set_content(fmt::format("{} {} {} {}", request.method, request.body,
                                         request.get_header_value("X-Kind"), request.get_header_value("Authorization")),
                             "text/plain");
    };
    receiver.server.Get("/from", from).Post("/from", from).Put("/from", from).Delete("/from", from);
    receiver.server.Get("/to", to).Post("/to", to).Put("/to", to).Delete("/to", to);
    return receiver.start();
}

TEST(HttpClient, RedirectsKeepMethodHeadersAndBody) {
    for (const int status : {301, 302, 303, 307, 308}) {
        Receiver receiver;
        const auto url = redirecting(receiver, status, "/to");
        HttpClient client;
        for (const auto* method : {"POST", "PUT"}) {
            const auto result = fetch(
                client,
                {.method = method, .url = url + "/from", .headers = {"X-Kind: a"}, .body = "[1]", .redirects = true});
            ASSERT_TRUE(result) << result.error();
            EXPECT_EQ(result->body, std::string(method) + " [1] a ") << status;
            EXPECT_EQ(result->redirected_to, url + "/to");
        }
        EXPECT_EQ(fetch(client, {.method = "DELETE", .url = url + "/from", .redirects = true})->body, "DELETE   ");
        EXPECT_EQ(fetch(client, {.url = url + "/to", .redirects = true})->redirected_to, "");
    }
}

TEST(HttpClient, RedirectsHaveAnEnd) {
    Receiver receiver;
    int asked = 0;
    receiver.server.Post(R"(/\d+)", [&](const httplib::Request& request, httplib::Response& response) {
        ++asked;
        response.status = 308;
        response.set_header("Location", fmt::format("/{}", std::stoi(request.path.substr(1)) + 1));
    });
    const auto url = receiver.start();
    EXPECT_EQ(sentence({.method = "POST", .url = url + "/1", .body = "x", .redirects = true}),
              "POST " + url + "/1: more than 10 redirects");
    EXPECT_EQ(asked, 11);
}

TEST(HttpClient, RedirectsLeadToHttpOnly) {
    for (const auto* location : {"file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/"}) {
        Receiver receiver;
        const auto url = redirecting(receiver, 302, location);
        EXPECT_EQ(sentence({.url = url + "/from", .redirects = true}),
                  "GET " + url +
                      "/from: a redirect leads to what is neither http nor https, or to a response that is "
                      "not HTTP");
    }
}

/// What the server at the end of a redirect is shown of who asks.
std::string shown_after_redirect(HttpRequest request, const std::string& user_info, bool elsewhere) {
    Receiver other;
    const auto there = redirecting(other, 200, "");
    Receiver receiver;
    const auto here = redirecting(receiver, 307, elsewhere ? there + "/to" : "/to");
    HttpClient client;
    request.url = "http://" + user_info + here.substr(7) + "/from";
    request.redirects = true;
    const auto result = fetch(client, request);
    EXPECT_TRUE(result) << result.error();
    return result ? result->body : "";
}

TEST(HttpClient, WhoWeAreIsShownNowhereElse) {
    const TemporaryDirectory directory;
    const auto file = (directory.path() / "token").string();
    std::ofstream(file) << "secret\n";
    const HttpRequest token{.files = {.bearer_token_file = file}};
    const HttpRequest name{.username = "me", .password = "secret"};
    EXPECT_EQ(shown_after_redirect(token, "", false), "GET   Bearer secret");
    EXPECT_EQ(shown_after_redirect(token, "", true), "GET   ");
    EXPECT_EQ(shown_after_redirect(name, "", false), "GET   Basic bWU6c2VjcmV0");
    EXPECT_EQ(shown_after_redirect(name, "", true), "GET   ");
    EXPECT_EQ(shown_after_redirect({}, "me:secret@", false), "GET   Basic bWU6c2VjcmV0");
    EXPECT_EQ(shown_after_redirect({}, "me:secret@", true), "GET   ");
}

TEST(HttpClient, FollowsNoRedirectUnlessTold) {
    Receiver receiver;
    receiver.server.Get("/from",
                        [](const httplib::Request&, httplib::Response& response) { response.set_redirect("/to"); });
    receiver.server.Get("/to", [](const httplib::Request&, httplib::Response& response) {
        response.set_content("followed", "text/plain");
    });
    HttpClient client;
    EXPECT_EQ(fetch(client, {.url = receiver.start() + "/from"})->status, 302);
}

TEST(HttpClient, ARefusedConnectionIsOneSentence) {
    const Plain closed;
    EXPECT_EQ(sentence({.url = closed.url() + "/metrics"}), "GET " + closed.url() + "/metrics: connection refused");
}

TEST(HttpClient, ATooLongBodyIsAnError) {
    Receiver receiver;
    receiver.server.Get("/", [](const httplib::Request&, httplib::Response& response) {
        response.set_content(std::string(1'000'000, 'x'), "text/plain");
    });
    const auto url = receiver.start();
    EXPECT_EQ(sentence({.url = url + "/", .max_bytes = 1000}),
              "GET " + url + "/: the response is longer than 1000 bytes");
    EXPECT_EQ(sentence({.url = url + "/", .max_bytes = 1'000'000}), "status 200");
    HttpClient client;
    const auto cut = fetch(client, {.url = url + "/", .max_bytes = 1000, .cut = true});
    ASSERT_TRUE(cut) << cut.error();
    EXPECT_EQ(cut->status, 200);
    EXPECT_EQ(cut->body, std::string(1000, 'x'));
}

/// Whoever has sent most is ended, and the small one that is under way beside it is not.
TEST(HttpClient, ResponsesTogetherAreBoundedAndTheLongestEnds) {
    Receiver receiver;
    receiver.server.Get("/big", [](const httplib::Request&, httplib::Response& response) {
        response.set_content(std::string(600'000, 'x'), "text/plain");
    });
    std::promise<void> release;
    auto released = release.get_future().share();
    receiver.server.Get("/slow", [released](const httplib::Request&, httplib::Response& response) {
        response.set_content_provider("text/plain", [released](std::size_t offset, httplib::DataSink& sink) {
            if (offset > 0) {
                released.wait();
                sink.done();
                return true;
            }
            return sink.write(std::string(100'000, 'y').data(), 100'000);
        });
    });
    const auto url = receiver.start();
    std::atomic<std::size_t> elsewhere = 500'000;
    HttpClient client({.bytes = 1'000'000, .elsewhere = &elsewhere});
    const auto slow = client.start({.url = url + "/slow", .timeout = 60s});
    const auto big = fetch(client, {.url = url + "/big", .timeout = 60s});
    ASSERT_FALSE(big);
    EXPECT_EQ(big.error(),
              "GET " + url + "/big: the responses under way are longer than 1000000 bytes, and this is the longest");
    elsewhere = 0;
    const auto alone = fetch(client, {.url = url + "/big", .timeout = 60s});
    ASSERT_TRUE(alone) << alone.error();
    EXPECT_EQ(alone->body.size(), 600'000U);
    release.set_value();
    std::vector<HttpDone> done;
    while (done.empty()) {
        done = client.wait({}, 60s);
    }
    EXPECT_EQ(done[0].ticket, slow);
    ASSERT_TRUE(done[0].result) << done[0].result.error();
    EXPECT_EQ(done[0].result->body.size(), 100'000U);
}

TEST(HttpClient, AHangingServerEndsInATimeout) {
    const Plain silent;
    silent.listen();
    EXPECT_EQ(sentence({.url = silent.url() + "/", .timeout = 50ms}),
              "GET " + silent.url() + "/: no complete response within 0.05 s");
}

TEST(HttpClient, ASlowBodyEndsInATimeout) {
    std::promise<void> release;
    auto released = release.get_future().share();
    Receiver receiver;
    receiver.server.Get("/", [released](const httplib::Request&, httplib::Response& response) {
        response.set_content_provider(10, "text/plain",
                                      [released](std::size_t at, std::size_t, httplib::DataSink& sink) {
                                          if (at > 0) {
                                              released.wait();
                                              return false;
                                          }
                                          return sink.write("x", 1);
                                      });
    });
    const auto url = receiver.start();
    EXPECT_EQ(sentence({.url = url + "/", .timeout = 50ms}), "GET " + url + "/: no complete response within 0.05 s");
    release.set_value();
}

TEST(HttpClient, GarbageIsNotHttp) {
    const Plain plain;
    plain.listen();
    const auto thread = answer_once(plain, "SSH-2.0-OpenSSH_9.2\r\n");
    EXPECT_EQ(sentence({.url = plain.url() + "/"}), "GET " + plain.url() + "/: the response is not HTTP");
}

TEST(HttpClient, ClosingWithoutAnAnswerIsSaid) {
    const Plain plain;
    plain.listen();
    const auto thread = answer_once(plain, "");
    EXPECT_EQ(sentence({.url = plain.url() + "/"}),
              "GET " + plain.url() + "/: the connection was closed without a response");
}

TEST(HttpClient, ATruncatedBodyIsSaid) {
    const Plain plain;
    plain.listen();
    const auto thread = answer_once(plain, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    EXPECT_EQ(sentence({.url = plain.url() + "/"}),
              "GET " + plain.url() + "/: the response ended before its announced length");
}

TEST(HttpClient, OtherProtocolsAndBadUrlsAreRefused) {
    EXPECT_EQ(sentence({.url = "file:///etc/passwd"}), "GET file:///etc/passwd: only http and https are spoken");
    EXPECT_EQ(sentence({.url = "http://[::1"}), "GET http://[::1: this is not a URL");
    EXPECT_EQ(sentence({.url = ""}), "GET : this is not a URL");
}

TEST(HttpClient, AMissingCaFileIsSaid) {
    const Plain plain;
    plain.listen();
    const auto url = "https" + plain.url().substr(4) + "/";
    EXPECT_EQ(sentence({.url = url, .files = {.ca_file = "/nonexistent/ca.pem"}}),
              "GET " + url + ": cannot read /nonexistent/ca.pem: No such file or directory");
    const TemporaryDirectory directory;
    const auto broken = (directory.path() / "ca.pem").string();
    std::ofstream(broken) << "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n";
    EXPECT_EQ(sentence({.url = url, .files = {.ca_file = broken}}),
              "GET " + url + ": the CA file " + broken + " cannot be used");
    const auto pipe = (directory.path() / "pipe").string();
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    for (const auto& files : {HttpFiles{.ca_file = pipe}, HttpFiles{.cert_file = pipe, .key_file = pipe}}) {
        EXPECT_EQ(sentence({.url = url, .files = files}),
                  "GET " + url + ": cannot read " + pipe + ": it is no regular file")
            << "nobody waits for it to be written";
    }
}

TEST(HttpClient, ThePasswordInAUrlIsNotShown) {
    const Plain closed;
    const auto address = closed.url().substr(7);
    EXPECT_EQ(sentence({.url = "http://me:secret@" + address + "/"}),
              "GET http://" + address + "/: connection refused");
    EXPECT_EQ(sentence({.url = "http://me:secret@[::1/"}), "GET [::1/: this is not a URL");
}

TEST(HttpClient, AHangingNameServerDoesNotHoldTheCallerUp) {
    {
        HttpClient client;
        const auto result = fetch(client, {.url = "http://hang.test/", .timeout = 50ms});
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error(), "GET http://hang.test/: no connection within 0.05 s");
        const std::lock_guard lock(hang().mutex);
        EXPECT_FALSE(hang().gave_up) << "the client waited for the resolver";
        EXPECT_EQ(hang().inside, 1);
    }
    hang().release_and_wait();
}

TEST(HttpClient, ManyExchangesRunAtOnce) {
    const Plain silent;
    silent.listen();
    Receiver receiver;
    receiver.server.Get(
        "/", [](const httplib::Request&, httplib::Response& response) { response.set_content("here", "text/plain"); });
    const auto url = receiver.start();
    HttpClient client;
    const auto hanging = client.start({.url = silent.url(), .timeout = 1h});
    std::set<std::uint64_t> wanted;
    for (int i = 0; i < 20; ++i) {
        wanted.insert(client.start({.url = url}));
    }
    while (!wanted.empty()) {
        for (const auto& done : client.wait({}, 1s)) {
            EXPECT_NE(done.ticket, hanging);
            EXPECT_TRUE(done.result) << done.result.error();
            wanted.erase(done.ticket);
        }
    }
}

TEST(HttpClient, AReadyDescriptorEndsTheWait) {
    const Fd event(eventfd(1, EFD_CLOEXEC));
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd reader(ends[0]);
    close(ends[1]);  // the reader sees POLLHUP
    HttpClient client;
    std::array<pollfd, 2> others{pollfd{.fd = event.get(), .events = POLLIN, .revents = 0},
                                 pollfd{.fd = reader.get(), .events = POLLIN, .revents = 0}};
    EXPECT_TRUE(client.wait(others, 1h).empty());
    EXPECT_EQ(others[0].revents, POLLIN);
    EXPECT_EQ(others[1].revents, POLLHUP);
}

TEST(HttpClient, AMissingNamespaceIsSaid) {
    EXPECT_EQ(sentence({.url = "http://127.0.0.1:1/", .network_namespace = "/proc/0/ns/net"}),
              "GET http://127.0.0.1:1/: cannot open the network namespace /proc/0/ns/net: no such file or directory");
    const auto words = sentence({.url = "http://127.0.0.1:1/", .network_namespace = "/proc/self/ns/mnt"});
    EXPECT_TRUE(
        words.starts_with("GET http://127.0.0.1:1/: cannot make a socket in the network namespace /proc/self/ns/mnt: "))
        << words;
}

/// A thread that has a network namespace of its own, with loopback up.
class Elsewhere {
  public:
    Elsewhere() {
        std::promise<std::string> path;
        auto known = path.get_future();
        thread_ = std::thread([this, &path] {
            if (unshare(CLONE_NEWNET) != 0 || system("ip link set lo up") != 0) {  // NOLINT(cert-env33-c)
                path.set_value("");
                return;
            }
            path.set_value("/proc/self/task/" + std::to_string(gettid()) + "/ns/net");
            leave_.get_future().wait();
        });
        path_ = known.get();
    }
    Elsewhere(const Elsewhere&) = delete;
    Elsewhere& operator=(const Elsewhere&) = delete;
    ~Elsewhere() {
        leave_.set_value();
        thread_.join();
    }
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::promise<void> leave_;
    std::thread thread_;
    std::string path_;
};

TEST(HttpClient, ConnectsFromInsideANamespace) {
    const Elsewhere elsewhere;
    if (elsewhere.path().empty()) {
        GTEST_SKIP() << "this user may not make a network namespace (CAP_SYS_ADMIN)";
    }
    Receiver here;
    here.server.Get(
        "/", [](const httplib::Request&, httplib::Response& response) { response.set_content("here", "text/plain"); });
    const auto url = here.start() + "/";
    HttpClient client;
    EXPECT_EQ(fetch(client, {.url = url})->body, "here");
    const auto there = fetch(client, {.url = url, .network_namespace = elsewhere.path()});
    ASSERT_FALSE(there);
    EXPECT_EQ(there.error(), "GET " + url + ": connection refused");
    EXPECT_EQ(fetch(client, {.url = url})->body, "here") << "our own namespace was lost";
}

TEST(HttpClient, AProxyOfTheEnvironmentIsAskedForWhatIsElsewhere) {
    const Proxied proxied;
    HttpClient client;
    const auto result = fetch(client, {.url = "http://elsewhere.test/a"});
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(result->body, "proxied http://elsewhere.test/a");
    EXPECT_EQ(proxied.asked(), 1);
}

TEST(HttpClient, NoProxyIsAskedForTheLoopback) {
    Receiver receiver;
    receiver.server.Get("/", [](const httplib::Request&, httplib::Response& response) {
        response.set_content("direct", "text/plain");
    });
    const auto url = receiver.start();
    const auto port = url.substr(url.rfind(':'));
    const Proxied proxied;
    HttpClient client;
    for (const auto* const host : {"127.0.0.1", "localhost", "127.1", "me:secret@127.0.0.1"}) {
        const auto result = fetch(client, {.url = std::string("http://") + host + port});
        ASSERT_TRUE(result) << host << ": " << result.error();
        EXPECT_EQ(result->body, "direct") << host;
    }
    EXPECT_EQ(proxied.asked(), 0);
}

TEST(HttpClient, NoProxyIsAskedWhereTheRequestIsDirectOrFromANamespace) {
    const Proxied proxied;
    const auto direct = sentence({.url = "http://elsewhere.test/", .direct = true});
    EXPECT_EQ(direct, "GET http://elsewhere.test/: the host name cannot be resolved");
    EXPECT_EQ(sentence({.url = "http://elsewhere.test/", .network_namespace = "/proc/self/ns/net"}), direct);
    EXPECT_EQ(proxied.asked(), 0);
}

}  // namespace
}  // namespace upstat
