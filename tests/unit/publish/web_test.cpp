// SPDX-License-Identifier: Apache-2.0
#include "publish/web.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>
#include <thread>
#include <tuple>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/http_client.hpp"
#include "publish/certificates.hpp"
#include "publish/sample.hpp"

namespace upstat::publish {
namespace {

using namespace std::chrono_literals;

class WebTest : public testing::Test {
  protected:
    WebTest() {
        options_.listen = {"127.0.0.1:0"};
        options_.now = [this] { return now_.load(); };
        options_.patience = 1h;  // where a test needs a connection to be cut, something else must do it
    }

    void start() {
        auto started = Web::start(options_);
        ASSERT_TRUE(started) << started.error().text();
        web_ = std::move(*started);
    }

    void publish(const Report& report) {
        web_->publish(std::make_shared<const Page>(Page{.report = std::make_shared<const Report>(report)}));
    }

    /// Whose page is more than a socket's buffers hold.
    static Report big_report() {
        auto report = sample_report();
        for (int i = 0; i < 2'000; ++i) {
            report.counts.backends["backend" + std::to_string(i)] = {};
        }
        return report;
    }

    [[nodiscard]] int port() const {
        const auto& address = web_->addresses().front();
        return std::stoi(address.substr(address.rfind(':') + 1));
    }

    [[nodiscard]] httplib::Result get(const std::string& path, const httplib::Headers& headers = {}) const {
        httplib::Client client("127.0.0.1", port());
        client.set_read_timeout(20s);
        return client.Get(path, headers);
    }

    /// With a certificate for 127.0.0.1.
    void serve_tls(const TlsOptions& more = {}) {
        files_.emplace();
        files_->make("server");
        auto options = more;
        options.certificate = *read_file(files_->file("server.pem"));
        options.key = *read_file(files_->file("server.key"));
        options_.config.tls = *Tls::make(options);
    }

    /// By plain HTTP or TLS, as it is served.
    [[nodiscard]] std::expected<HttpResponse, std::string> fetch(const std::string& path,
                                                                 const std::string& password = "") const {
        HttpClient client;
        client.start({.url = fmt::format("{}://127.0.0.1:{}{}", web_->has_tls() ? "https" : "http", port(), path),
                      .username = password.empty() ? "" : "alice",
                      .password = password,
                      .files = {.ca_file = files_ ? files_->file("server.pem") : ""},
                      .timeout = 30s});
        std::vector<HttpDone> done;
        while (done.empty()) {
            done = client.wait({}, 30s);
        }
        return done.front().result;
    }

    /// A request with a wrong password, another one each.
    static std::string attempt(const std::string& path, unsigned number) {
        const auto said = httplib::make_basic_authentication_header("alice", fmt::format("wrong{}", number));
        return fmt::format("GET {} HTTP/1.1\r\n{}: {}\r\n\r\n", path, said.first, said.second);
    }

    /// What curl prints, with these options; a good certificate is expected.
    [[nodiscard]] std::string curl(const std::string& options, const std::string& path = "/-/healthy") const {
        const auto command = fmt::format("curl -s --max-time 30 --cacert {} {} https://127.0.0.1:{}{} 2>&1",
                                         files_->file("server.pem"), options, port(), path);
        const std::unique_ptr<FILE, decltype(&pclose)> pipe(popen(command.c_str(), "r"), &pclose);
        std::string said(65536, '\0');
        said.resize(std::fread(said.data(), 1, said.size(), pipe.get()));
        return said;
    }

    /// By one of 200 clients: 127.0.0.1 and so on.
    [[nodiscard]] Fd connect(unsigned client = 0) const {
        return connect(Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), client);
    }
    [[nodiscard]] Fd connect(Fd fd, unsigned client = 0) const {
        const int room = 4096;  // what a client does not read costs this process little
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        const timeval patience{.tv_sec = 20, .tv_usec = 0};
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + client % 200);
        EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<std::uint16_t>(port()));
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return fd;
    }

    static void tell(const Fd& fd, std::string_view bytes) { send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }

    /// What the server says to these bytes of a client that could go on.
    [[nodiscard]] std::string ask(std::string_view bytes) const {
        const auto fd = connect();
        tell(fd, bytes);
        return read_all(fd);
    }

    /// What the server says to these bytes and no more.
    [[nodiscard]] std::string say(std::string_view bytes) const {
        const auto fd = connect();
        tell(fd, bytes);
        shutdown(fd.get(), SHUT_WR);
        return read_all(fd);
    }

    /// Until what happened to other connections before has been seen: the server's rounds look at all of them.
    void let_rounds_pass() const {
        for (int i = 0; i < 3; ++i) {
            EXPECT_EQ(get("/-/healthy")->status, 200);
        }
    }

    /// Of this process, the server's among them. Other descriptors come and go: a thread's first memory asks /sys.
    static std::ptrdiff_t open_sockets() {
        return std::ranges::count_if(std::filesystem::directory_iterator("/proc/self/fd"), [](const auto& entry) {
            std::error_code gone;
            return std::filesystem::read_symlink(entry.path(), gone).string().starts_with("socket:");
        });
    }

    /// A hundred of each while others stand in the way; `meanwhile` is called before each.
    void expect_scrapes_and_probes(const std::function<void(int)>& meanwhile) const {
        for (int i = 0; i < 100; ++i) {
            meanwhile(i);
            const auto scrape = fetch("/metrics");
            ASSERT_TRUE(scrape) << "scrape " << i << ": " << scrape.error();
            ASSERT_EQ(scrape->status, 200);
            ASSERT_TRUE(scrape->body.contains("\nupstat_build_info{"));
            const auto probe = fetch("/-/healthy");
            ASSERT_TRUE(probe) << "probe " << i << ": " << probe.error();
            ASSERT_EQ(probe->status, 200);
        }
    }

    /// 5,000 that have said this; fewer where both ends of so many do not fit into this process.
    [[nodiscard]] std::vector<Fd> crowd(std::string_view words) const {
        rlimit limit{};
        getrlimit(RLIMIT_NOFILE, &limit);  // which the server has raised
        const auto count = std::min<rlim_t>(5000, limit.rlim_cur / 2 - 100);
        std::vector<Fd> crowd;
        for (unsigned i = 0; i < count; ++i) {
            crowd.push_back(connect(i));
            tell(crowd.back(), words);
        }
        return crowd;
    }

    /// Begins TLS, says this and reads nothing.
    static void shake_hands(const Fd& fd, std::string_view words) {
        gnutls_session_t session = nullptr;
        gnutls_certificate_credentials_t anybody = nullptr;
        gnutls_certificate_allocate_credentials(&anybody);
        gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);
        gnutls_set_default_priority(session);
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, anybody);
        gnutls_transport_set_int(session, fd.get());
        gnutls_handshake_set_timeout(session, 20'000);
        if (gnutls_handshake(session) == 0) {  // not with one that was cut for a newer one
            gnutls_record_send(session, words.data(), words.size());
        }
        gnutls_deinit(session);
        gnutls_certificate_free_credentials(anybody);
    }

    static std::string read_all(const Fd& fd) {
        std::string out;
        std::array<char, 4096> some{};
        ssize_t got = 0;
        while ((got = recv(fd.get(), some.data(), some.size(), 0)) > 0) {
            out.append(some.data(), static_cast<std::size_t>(got));
        }
        EXPECT_FALSE(got < 0 && errno == EAGAIN) << "the server did not end it";
        return out;
    }

    std::atomic<std::chrono::steady_clock::time_point> now_ = std::chrono::steady_clock::time_point(1000s);
    WebOptions options_;
    std::optional<Certificates> files_;
    std::unique_ptr<Web> web_;
};

TEST_F(WebTest, ServesTheMetrics) {
    start();
    publish(sample_report());
    const auto response = get("/metrics");
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->get_header_value("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    EXPECT_EQ(response->body, page_text({.report = std::make_shared<const Report>(sample_report())}));
}

TEST_F(WebTest, CompressesForAClientThatAsks) {
    start();
    publish(sample_report());
    const auto response = get("/metrics", {{"Accept-Encoding", "gzip"}});
    ASSERT_TRUE(response);
    EXPECT_EQ(response->get_header_value("Content-Encoding"), "gzip");
    const auto packed = say("GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n");
    EXPECT_LT(packed.size(), response->body.size() / 2);
    EXPECT_EQ(response->body, page_text({.report = std::make_shared<const Report>(sample_report())}));
}

TEST_F(WebTest, IsNotReadyUntilTheFirstPublish) {
    start();
    const auto before = get("/-/ready");
    EXPECT_EQ(before->status, 503);
    EXPECT_EQ(before->body, "not ready: no poll of the kernel's counters has succeeded yet\n");
    publish(sample_report());
    EXPECT_EQ(get("/-/ready")->status, 200);
}

TEST_F(WebTest, IsHealthyWhileTheLoopLives) {
    start();
    EXPECT_EQ(get("/-/healthy")->status, 200);
    now_ = now_.load() + 31s;
    const auto dead = get("/-/healthy");
    EXPECT_EQ(dead->status, 503);
    EXPECT_EQ(dead->body, "the agent's loop was last seen 31000 ms ago\n");
    web_->heartbeat(now_);
    EXPECT_EQ(get("/-/healthy")->status, 200);
}

TEST_F(WebTest, ServesTheViews) {
    start();
    publish(sample_report());
    EXPECT_EQ(nlohmann::json::parse(get("/api/v1/status")->body)["ready"], true);
    EXPECT_EQ(nlohmann::json::parse(get("/api/v1/alerts")->body)["alerts"].size(), 3U);
    EXPECT_EQ(nlohmann::json::parse(get("/api/v1/backends")->body)["backends"].size(), 2U);
    EXPECT_EQ(get("/nowhere")->status, 404);
}

TEST_F(WebTest, ListensOnSeveralAddresses) {
    options_.listen = {"127.0.0.1:0", "[::1]:0", ":0", "localhost:0"};
    start();
    ASSERT_EQ(web_->addresses().size(), 4U);
    EXPECT_TRUE(web_->addresses()[1].starts_with("[::1]:")) << web_->addresses()[1];
    for (const auto& address : web_->addresses()) {
        const auto bound = std::stoi(address.substr(address.rfind(':') + 1));
        httplib::Client client(address.starts_with("[::1]") ? "::1" : "127.0.0.1", bound);
        const auto response = client.Get("/-/healthy");
        ASSERT_TRUE(response) << address;
        EXPECT_EQ(response->status, 200);
    }
}

TEST_F(WebTest, AnAddressInUseIsSaid) {
    start();
    const auto address = web_->addresses().front();
    options_.listen = {address};
    const auto second = Web::start(options_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, Error::Kind::runtime);
    EXPECT_EQ(second.error().message, "cannot listen on " + address + ": Address already in use");
    EXPECT_TRUE(second.error().hint.contains("--web.listen-address"));
}

TEST_F(WebTest, AnAddressThatIsNoneIsSaid) {
    for (const auto* address : {"", "9479", "host", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:80x", "::1:80"}) {
        options_.listen = {address};
        const auto result = Web::start(options_);
        ASSERT_FALSE(result) << address;
        EXPECT_EQ(result.error().kind, Error::Kind::usage) << address;
    }
    options_.listen = {"192.0.2.1:0"};  // not ours: TEST-NET-1
    const auto foreign = Web::start(options_);
    ASSERT_FALSE(foreign);
    EXPECT_EQ(foreign.error().message, "cannot listen on 192.0.2.1:0: Cannot assign requested address");
}

/// Over plain HTTP, and over TLS.
class Crowded : public WebTest, public testing::WithParamInterface<bool> {
  protected:
    Crowded() {
        if (GetParam()) {
            serve_tls();
        }
    }
};
INSTANTIATE_TEST_SUITE_P(Web, Crowded, testing::Bool(),
                         [](const auto& tls) { return std::string(tls.param ? "Tls" : "Plain"); });

TEST_P(Crowded, SilentClientsDoNotKeepOthersOut) {
    start();
    publish(sample_report());
    const auto silent = crowd("");
    expect_scrapes_and_probes([](int) {});
}

TEST_P(Crowded, SlowClientsDoNotKeepOthersOut) {
    start();
    publish(sample_report());
    constexpr std::string_view hello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);  // begins a TLS handshake
    const auto slow = crowd(GetParam() ? hello : "GET /metrics HTTP/1.1\r\nX: ");
    expect_scrapes_and_probes([&slow](int round) {
        for (auto i = static_cast<std::size_t>(round); i < slow.size(); i += 100) {
            tell(slow[i], "x");
        }
    });
}

TEST_P(Crowded, ClientsThatReadNothingDoNotKeepOthersOut) {
    start();
    publish(big_report());
    const auto deaf = crowd(GetParam() ? "" : "GET /metrics HTTP/1.1\r\n\r\n");
    for (const auto& client : deaf) {
        if (GetParam()) {
            shake_hands(client, "GET /metrics HTTP/1.1\r\n\r\n");
        }
    }
    expect_scrapes_and_probes([](int) {});
}

TEST_F(WebTest, NewClientsTakeThePlaceOfThoseThatWaitLongest) {
    options_.connections = 8;
    start();
    publish(big_report());
    const auto reader = connect();  // slow, but it reads
    tell(reader, "GET /metrics HTTP/1.1\r\n\r\n");
    std::string page;
    std::vector<Fd> crowd;
    std::string some(1 << 16, '\0');
    for (ssize_t got = 0; (got = recv(reader.get(), some.data(), some.size(), MSG_WAITALL)) > 0;) {
        page.append(some.data(), static_cast<std::size_t>(got));
        for (int i = 0; i < 4; ++i) {
            crowd.push_back(connect());
            tell(crowd.back(), i % 2 == 0 ? "" : "GET /metrics HTTP/1.1\r\n\r\n");
        }
        EXPECT_EQ(get("/-/healthy")->status, 200);
    }
    EXPECT_GT(crowd.size(), 16U);
    EXPECT_TRUE(page.ends_with(get("/metrics")->body)) << "the one that read was cut";
    EXPECT_EQ(read_all(crowd.front()), "") << "the one that had waited longest was not";
}

TEST_F(WebTest, TakesANewClientWhenDescriptorsHaveRunOut) {
    start();
    const auto quiet = open_sockets();
    const auto silent = connect();
    EXPECT_EQ(get("/-/healthy")->status, 200);  // so the one before it is accepted
    while (open_sockets() != quiet + 2) {       // and this one is gone
        std::this_thread::yield();
    }
    Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    // Above every descriptor that is open now: one that the server gives up must be one that it can have again.
    const rlimit few{.rlim_cur = 512, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    std::vector<Fd> gaps;
    do {
        gaps.emplace_back(fcntl(client.get(), F_DUPFD_CLOEXEC, 0));
    } while (gaps.back());
    client = connect(std::move(client));
    tell(client, "GET /-/healthy HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(read_all(client).starts_with("HTTP/1.1 200 OK"));
    EXPECT_EQ(read_all(silent), "");
    setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(WebTest, PatienceEnds) {
    options_.patience = 50ms;
    start();
    const auto fd = connect();
    tell(fd, "GET /metrics HT");
    EXPECT_FALSE(read_all(fd).contains("200 OK"));  // it ends, which is the point
}

TEST_F(WebTest, OnlyReads) {
    start();
    publish(sample_report());
    for (const std::string method : {"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"}) {
        for (const auto* const rest :
             {"", "Content-Length: 1000000\r\n", "Content-Length: 3\r\nExpect: 100-continue\r\n",
              "Content-Length: 3\r\nContent-Encoding: gzip\r\n", "Transfer-Encoding: chunked\r\n"}) {
            const auto said = ask(method + " /metrics HTTP/1.1\r\nHost: here\r\n" + rest + "\r\n");  // no body
            EXPECT_TRUE(said.starts_with("HTTP/1.1 405 ")) << method << ' ' << rest << said;
            EXPECT_TRUE(said.contains("\r\nAllow: GET, HEAD\r\n")) << said;
        }
    }
    const auto fd = connect();
    tell(fd, "POST / HTTP/1.1\r\nContent-Length: 30000\r\n\r\n" + std::string(30'000, 'x'));
    EXPECT_TRUE(read_all(fd).starts_with("HTTP/1.1 405 ")) << "a body that came was no reason to throw this away";
}

TEST_F(WebTest, HeadIsGetWithoutABody) {
    start();
    publish(sample_report());
    for (const std::string path : {"/metrics", "/", "/api/v1/backends", "/-/healthy"}) {
        const auto head = ask("HEAD " + path + " HTTP/1.1\r\n\r\n");
        EXPECT_TRUE(head.starts_with("HTTP/1.1 200 ")) << head;
        EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
        EXPECT_TRUE(head.contains(fmt::format("\r\nContent-Length: {}\r\n", get(path)->body.size()))) << head;
    }
}

TEST_F(WebTest, ServesThePageAndAllThatItNeeds) {
    start();
    EXPECT_EQ(get("/")->get_header_value("Content-Type"), "text/html; charset=utf-8");
    EXPECT_TRUE(get("/chart.js")->body.contains("Chart.js v"));
    const std::regex named(R"re((?:src=|href=|from |Worker\()["'](?:\./)?([a-z]+\.(?:js|css))["'])re");
    std::set<std::string> seen;
    for (std::vector<std::string> next{""}; !next.empty();) {
        const auto name = next.back();
        next.pop_back();
        const auto response = get("/" + name);
        ASSERT_EQ(response->status, 200) << name;
        EXPECT_FALSE(response->body.contains("http://")) << name << " asks nobody else";
        for (std::sregex_iterator at(response->body.begin(), response->body.end(), named), end; at != end; ++at) {
            if ((*at)[1] != "chart.js" && seen.insert((*at)[1]).second) {
                next.push_back((*at)[1]);
            }
        }
    }
    EXPECT_EQ(seen.size(), 10U);
}

void expect_strict(const std::string& said) {
    for (const auto* const header :
         {"X-Content-Type-Options: nosniff", "X-Frame-Options: DENY", "Referrer-Policy: no-referrer",
          "Cache-Control: no-store",
          "Content-Security-Policy: default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
          "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}) {
        EXPECT_TRUE(said.contains(fmt::format("\r\n{}\r\n", header))) << said.substr(0, 600);
    }
}

TEST_F(WebTest, EveryPageIsStrict) {
    start();
    publish(sample_report());
    now_ = now_.load() + 1000s;
    for (const std::string line : {"GET /", "GET /metrics", "GET /api/v1/status", "GET /-/healthy", "GET /-/ready",
                                   "GET /nowhere", "POST /", "HEAD /metrics"}) {
        SCOPED_TRACE(line);
        expect_strict(ask(line + " HTTP/1.1\r\n\r\n"));
    }
}

/// What libmicrohttpd refuses by itself. Its version 0.9.75 sends the head of such a page twice.
TEST_F(WebTest, ARefusalIsStrict) {
    start();
    publish(sample_report());
    for (const auto& [status, request] : std::vector<std::pair<std::string, std::string>>{
             {"400", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"},
             {"400", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n"},
             {"413", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n"},
             {"414", "GET /" + std::string(100'000, 'x') + " HTTP/1.1\r\n\r\n"},
             {"431", "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"},
             {"505", "GET / HTTP/9.9\r\n\r\n"}}) {
        SCOPED_TRACE(status + " " + request.substr(0, 40));
        const auto said = ask(request);
        EXPECT_TRUE(said.starts_with("HTTP/1.1 " + status + " ")) << said.substr(0, 200);
        expect_strict(said.substr(0, said.find("\r\n\r\n") + 2));
        EXPECT_FALSE(said.contains("xxx")) << "nothing of the request comes back";
    }
}

// --- TLS, passwords and headers ---

TEST_F(WebTest, ServesTlsAndNothingElseThere) {
    serve_tls();
    start();
    publish(sample_report());
    EXPECT_TRUE(fetch("/metrics")->body.contains("\nupstat_build_info{"));
    EXPECT_FALSE(get("/metrics")) << "plain HTTP";
    EXPECT_EQ(curl("--tls-max 1.1 -o /dev/null -w %{http_code}"), "000");
    EXPECT_EQ(curl("--tls-max 1.2 -o /dev/null -w %{http_code}"), "200");
}

/// libmicrohttpd would be run all the time.
TEST_F(WebTest, AHalfHandshakeCostsNoProcessorTime) {
    serve_tls();
    start();
    const auto half = connect();
    tell(half, std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
    EXPECT_EQ(fetch("/-/healthy")->status, 200);
    const auto spent = [] {
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        return usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000 + usage.ru_stime.tv_sec * 1000 +
               usage.ru_stime.tv_usec / 1000;
    };
    const auto before = spent();
    std::this_thread::sleep_for(1s);  // the measure itself: a loop that spins takes what it gets of it
    EXPECT_LT(spent() - before, 50);
    EXPECT_EQ(fetch("/-/healthy")->status, 200);
}

TEST_F(WebTest, WantsAClientsCertificateWhereToldTo) {
    Certificates clients;
    clients.make("ca");
    clients.make("client", "-addext extendedKeyUsage=clientAuth", "ca");
    clients.make("server", "-addext extendedKeyUsage=serverAuth", "ca");
    clients.make("stranger", "-addext extendedKeyUsage=clientAuth");
    const auto code_of = [&](ClientAuth auth, const std::string& name) {
        TlsOptions wanted;
        wanted.client_ca = *read_file(clients.file("ca.pem"));
        wanted.client_auth = auth;
        serve_tls(wanted);
        start();
        return curl("-o /dev/null -w %{http_code}" +
                    (name.empty() ? "" : fmt::format(" --cert {0}.pem --key {0}.key", clients.file(name))));
    };
    using enum ClientAuth;
    for (const auto& [auth, nothing, client, server, stranger] :
         {std::tuple(none, "200", "200", "200", "200"), std::tuple(request, "200", "200", "200", "200"),
          std::tuple(require_any, "000", "200", "200", "200"), std::tuple(verify_if_given, "200", "200", "000", "000"),
          std::tuple(require_and_verify, "000", "200", "000", "000")}) {
        SCOPED_TRACE(static_cast<int>(auth));
        EXPECT_EQ(code_of(auth, ""), nothing);
        EXPECT_EQ(code_of(auth, "client"), client);
        EXPECT_EQ(code_of(auth, "server"), server);
        EXPECT_EQ(code_of(auth, "stranger"), stranger);
    }
}

TEST_F(WebTest, ANewCertificateIsServedWithoutARestart) {
    serve_tls();
    start();
    serve_tls();
    EXPECT_FALSE(fetch("/-/healthy")) << "it has the old one, which the client no longer knows";
    web_->configure(options_.config);
    EXPECT_EQ(fetch("/-/healthy")->status, 200);
}

TEST_F(WebTest, EveryPageWantsAPasswordWhereThereAreUsers) {
    options_.config.users["alice"] = hash_of("secret");
    start();
    publish(sample_report());
    for (const std::string path : {"/", "/metrics", "/api/v1/status", "/-/healthy", "/-/ready", "/nowhere"}) {
        EXPECT_TRUE(ask("GET " + path + " HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 401 ")) << path;
        EXPECT_EQ(fetch(path, "wrong")->status, 401) << path;
        EXPECT_EQ(fetch(path, "secret")->status, path == "/nowhere" ? 404 : 200) << path;
    }
    const auto said = ask("GET / HTTP/1.1\r\nAuthorization: Basic bm9ib2R5OnNlY3JldA==\r\n\r\n");  // nobody:secret
    EXPECT_TRUE(said.starts_with("HTTP/1.1 401 "));
    EXPECT_TRUE(said.contains("\r\nWWW-Authenticate: Basic\r\n"));
    EXPECT_TRUE(said.contains("\r\nX-Content-Type-Options: nosniff\r\n"));
}

TEST_F(WebTest, OddCredentialsAreRefused) {
    options_.config.users["alice"] = hash_of("secret");
    start();
    for (const std::string value :
         {"", "Basic", "Basic ", "Basic !!!!", "Basic YWxpY2U=", "Basic Og==", "Bearer secret", "Basic YWxpY2U6AAAA"}) {
        EXPECT_TRUE(ask("GET / HTTP/1.1\r\nAuthorization: " + value + "\r\n\r\n").starts_with("HTTP/1.1 401 "))
            << value;
    }
}

TEST_F(WebTest, ABodyThatComesWhileAPasswordIsCheckedIsThrownAway) {
    options_.config.users["alice"] = hash_of("secret", 8);
    start();
    const auto said =
        ask("GET /-/healthy HTTP/1.1\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\nContent-Length: 5\r\n\r\nhello");
    EXPECT_TRUE(said.starts_with("HTTP/1.1 200 ")) << said;
}

TEST_F(WebTest, AChangedPasswordIsWantedAtOnce) {
    options_.config.users["alice"] = hash_of("secret");
    start();
    EXPECT_EQ(fetch("/-/healthy", "secret")->status, 200);
    options_.config.users["alice"] = hash_of("other");
    web_->configure(options_.config);
    EXPECT_EQ(fetch("/-/healthy", "secret")->status, 401);
    EXPECT_EQ(fetch("/-/healthy", "other")->status, 200);
    web_->configure({});
    EXPECT_EQ(fetch("/-/healthy")->status, 200);
}

TEST_F(WebTest, HeadersAreAsConfigured) {
    start();
    publish(sample_report());
    EXPECT_EQ(get("/metrics")->get_header_value("X-Frame-Options"), "DENY");
    web_->configure(
        {.tls = {}, .headers = {{"X-Frame-Options", "sameorigin"}, {"X-XSS-Protection", "0"}}, .users = {}});
    for (const auto* const path : {"/metrics", "/-/healthy", "/nowhere"}) {
        const auto response = get(path);
        EXPECT_EQ(response->get_header_value_count("X-Frame-Options"), 1U);
        EXPECT_EQ(response->get_header_value("X-Frame-Options"), "sameorigin");
        EXPECT_EQ(response->get_header_value("X-XSS-Protection"), "0");
    }
    const auto refused = ask("GET / HTTP/9.9\r\n\r\n");
    EXPECT_TRUE(refused.contains("\r\nX-Frame-Options: sameorigin\r\n")) << refused;
    EXPECT_FALSE(refused.contains("DENY")) << refused;
}

TEST_P(Crowded, AThousandWrongPasswordsKeepNoGoodOneOut) {
    options_.config.users["alice"] = hash_of("secret", 10);
    start();
    publish(sample_report());
    EXPECT_EQ(fetch("/metrics", "secret")->status, 200);
    std::vector<Fd> attackers;
    for (unsigned i = 0; i < 1000; ++i) {
        attackers.push_back(connect(i));
        const auto words = attempt("/metrics", i);
        if (GetParam()) {
            shake_hands(attackers.back(), words);
        } else {
            tell(attackers.back(), words);
        }
        if (i % 10 == 0) {
            const auto scrape = fetch("/metrics", "secret");
            ASSERT_TRUE(scrape) << scrape.error();
            ASSERT_EQ(scrape->status, 200);
        }
    }
}

TEST_F(WebTest, ANewScraperWaitsForNoAttacker) {
    options_.config.users["alice"] = hash_of("secret", 10);
    start();
    std::vector<Fd> attackers;
    for (unsigned i = 0; i < 500; ++i) {
        attackers.push_back(connect(1));  // 127.0.0.2
        tell(attackers.back(), attempt("/", i));
    }
    EXPECT_EQ(fetch("/-/healthy", "secret")->status, 200);
    std::size_t refused = 0;
    for (const auto& attacker : attackers) {
        const auto said = read_all(attacker);
        EXPECT_TRUE(said.starts_with("HTTP/1.1 401 ") || said.starts_with("HTTP/1.1 429 ")) << said;
        refused += said.starts_with("HTTP/1.1 429 ") ? 1 : 0;
    }
    EXPECT_GT(refused, 0U) << "they did not all wait";
}

TEST_F(WebTest, StopsWhilePasswordsAreChecked) {
    options_.config.users["alice"] = hash_of("secret", 10);
    start();
    std::vector<Fd> clients;
    for (unsigned i = 0; i < 30; ++i) {
        clients.push_back(connect(i));
        tell(clients.back(), attempt("/", i));
    }
    EXPECT_TRUE(ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 401 "));
    web_.reset();
}

TEST_F(WebTest, PacksOnlyForAClientThatTakesIt) {
    start();
    publish(sample_report());
    for (const std::string path : {"/metrics", "/api/v1/backends", "/"}) {
        const auto with = [this, &path](const std::string& accepted) {
            return say("GET " + path + " HTTP/1.1\r\n" + accepted + "\r\n");
        };
        for (const auto* const accepted : {"Accept-Encoding: gzip\r\n", "accept-encoding: br, GZip;Q=0.5\r\n"}) {
            EXPECT_TRUE(with(accepted).contains("\r\nContent-Encoding: gzip\r\n")) << accepted;
        }
        for (const auto* const accepted : {"", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip;q=0\r\n"}) {
            EXPECT_FALSE(with(accepted).contains("Content-Encoding")) << accepted;
            EXPECT_TRUE(with(accepted).contains("\r\nVary: Accept-Encoding\r\n")) << accepted;
        }
        EXPECT_TRUE(with("Accept-Encoding: gzip\r\n").contains("\r\nVary: Accept-Encoding\r\n"));
    }
}

TEST_F(WebTest, APageOfManyBlocksIsWhole) {
    start();
    publish(big_report());
    const auto text = page_text({.report = std::make_shared<const Report>(big_report())});
    for (const auto* const coding : {"identity", "gzip"}) {
        const auto response = get("/metrics", {{"Accept-Encoding", coding}});
        ASSERT_TRUE(response);
        EXPECT_TRUE(response->body == text) << coding;  // in full, it would be megabytes of a failure's text
    }
    const auto old = say("GET /metrics HTTP/1.0\r\n\r\n");
    EXPECT_TRUE(old.ends_with(text));
    EXPECT_FALSE(old.contains("chunked"));
}

TEST_F(WebTest, RefusesWhatIsNoRequest) {
    options_.patience = 100ms;  // some could go on, for all that the server knows
    start();
    publish(sample_report());
    std::string many_headers = "GET / HTTP/1.1\r\n";
    for (int i = 0; i < 1000; ++i) {
        many_headers += fmt::format("X{}: y\r\n", i);
    }
    const auto refuses = [this](std::string_view bytes) {
        const auto said = say(bytes);
        EXPECT_FALSE(said.contains(" 200 OK")) << said;
        return said.empty() || said.starts_with("HTTP/1.1 4") || said.starts_with("HTTP/1.1 505");
    };
    using namespace std::string_literals;
    for (const auto& odd :
         {""s, "garbage\r\n\r\n"s, "\x16\x03\x01\x02\r\n\r\n"s, "\0\0\0\0\r\n\r\n"s, std::string(100'000, 'x'),
          "GET / HTTP/9.9\r\n\r\n"s, "GET /metrics\r\n\r\n"s, "GET / HTTP/0.9\r\n\r\n"s,
          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"s, "GET /"s + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n",
          "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n",
          "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"s, "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"s,
          "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n"s, many_headers + "\r\n"}) {
        EXPECT_TRUE(refuses(odd)) << odd.substr(0, 100);
    }
}

TEST_F(WebTest, ServesOddRequests) {
    using namespace std::string_literals;
    start();
    publish(sample_report());
    std::string many_ranges = "GET /metrics HTTP/1.1\r\nRange: bytes=0-";
    for (int i = 0; i < 1000; ++i) {
        many_ranges += ",0-";
    }
    const auto whole = say(many_ranges + "\r\n\r\n");
    EXPECT_TRUE(whole.starts_with("HTTP/1.1 200 OK")) << whole.substr(0, 200);
    EXPECT_LT(whole.size(), 100'000U);
    for (const auto& harmless :
         {"GET / HTTP/1.1\r\nRange: bytes=99999999999999999999-\r\n\r\n"s,
          "GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"s,
          "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n"s, "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"s}) {
        const auto said = say(harmless);
        EXPECT_TRUE(said.starts_with("HTTP/1.1 200 OK")) << said;
        EXPECT_EQ(said.find("HTTP/1.1 ", 1), std::string::npos) << "one connection is for one request";
    }
    EXPECT_EQ(get("/-/ready")->status, 200);
}

TEST_F(WebTest, StopsWhileAClientKeepsItWaiting) {
    start();
    const auto fd = connect();
    tell(fd, "GET /");
    EXPECT_EQ(get("/-/healthy")->status, 200);
    web_.reset();
    EXPECT_FALSE(read_all(fd).contains("200 OK"));
}

}  // namespace
}  // namespace upstat::publish
