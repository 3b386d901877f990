// SPDX-License-Identifier: Apache-2.0
#include "publish/web.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/fd.hpp"
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
        web_->publish(std::make_shared<const Page>(render(std::make_shared<const Report>(report), zero_start_)));
    }

    /// Whose page is more than a socket's buffers hold.
    static Report big_report() {
        auto report = sample_report();
        for (int i = 0; i < 20'000; ++i) {
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

    [[nodiscard]] Fd connect() const {
        Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<std::uint16_t>(port()));
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return fd;
    }

    /// What the server says to these bytes.
    [[nodiscard]] std::string say(std::string_view bytes) const {
        const auto fd = connect();
        send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        shutdown(fd.get(), SHUT_WR);
        return read_all(fd);
    }

    static std::string read_all(const Fd& fd) {
        std::string out;
        std::array<char, 4096> some{};
        for (ssize_t got = 0; (got = recv(fd.get(), some.data(), some.size(), 0)) > 0;) {
            out.append(some.data(), static_cast<std::size_t>(got));
        }
        return out;
    }

    /// Waits until a client is known to have taken this page.
    void wait_for_served(std::uint64_t page) const {
        const auto give_up = std::chrono::steady_clock::now() + 20s;
        while (web_->served_generation() != page && std::chrono::steady_clock::now() < give_up) {
            std::this_thread::yield();
        }
        EXPECT_EQ(web_->served_generation(), page);
    }

    std::atomic<Time> now_ = at(1000);
    WebOptions options_;
    ZeroStart zero_start_;
    std::unique_ptr<Web> web_;
};

TEST_F(WebTest, ServesTheMetrics) {
    start();
    publish(sample_report());
    const auto response = get("/metrics");
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->get_header_value("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    ZeroStart zero_start;
    EXPECT_EQ(response->body, page_text(render(std::make_shared<const Report>(sample_report()), zero_start)));
}

TEST_F(WebTest, CompressesForAClientThatAsks) {
    start();
    publish(sample_report());
    const auto response = get("/metrics", {{"Accept-Encoding", "gzip"}});
    ASSERT_TRUE(response);
    EXPECT_EQ(response->get_header_value("Content-Encoding"), "gzip");
    const auto packed = say("GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n");
    EXPECT_LT(packed.size(), response->body.size() / 2);
    ZeroStart zero_start;
    EXPECT_EQ(response->body, page_text(render(std::make_shared<const Report>(sample_report()), zero_start)));
}

TEST_F(WebTest, ReportsThePageThatAClientTook) {
    options_.threads = 1;
    start();
    publish(sample_report());  // page 1
    EXPECT_EQ(httplib::Client("127.0.0.1", port()).Head("/metrics")->status, 200);
    EXPECT_EQ(get("/")->status, 200);  // by the same thread, so the first one is over
    EXPECT_EQ(web_->served_generation(), 0U);
    publish(sample_report());  // page 2
    EXPECT_EQ(get("/metrics")->status, 200);
    wait_for_served(2);
}

TEST_F(WebTest, APageThatWasNotReadIsNotServed) {
    options_.threads = 1;
    start();
    publish(big_report());
    {
        const auto fd = connect();
        const std::string_view request = "GET /metrics HTTP/1.1\r\n\r\n";
        send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
        std::array<char, 16> some{};
        EXPECT_GT(recv(fd.get(), some.data(), some.size(), 0), 0);
    }
    EXPECT_EQ(get("/-/ready")->status, 200);  // by the same thread, so the first one is over
    EXPECT_EQ(web_->served_generation(), 0U);
}

TEST_F(WebTest, APageThatWasThrownAwayIsNotServed) {
    options_.threads = 1;
    start();
    publish(Report());  // it fits into the socket's buffers, so sending it succeeds
    {
        const auto fd = connect();
        const std::string_view request = "GET /metrics HTTP/1.1\r\n\r\n";
        send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
        std::array<char, 16> some{};
        EXPECT_GT(recv(fd.get(), some.data(), some.size(), MSG_PEEK), 0);
    }  // closed with unread bytes: a reset
    EXPECT_EQ(get("/-/ready")->status, 503);  // by the same thread, so the first one is over
    EXPECT_EQ(web_->served_generation(), 0U);
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
    now_ = at(1031);
    const auto dead = get("/-/healthy");
    EXPECT_EQ(dead->status, 503);
    EXPECT_EQ(dead->body, "the agent's loop was last seen 31000 ms ago\n");
    web_->heartbeat(at(1031));
    EXPECT_EQ(get("/-/healthy")->status, 200);
}

TEST_F(WebTest, ServesTheViews) {
    start();
    publish(sample_report());
    EXPECT_TRUE(get("/")->body.contains("<td>app@file</td>"));
    EXPECT_EQ(get("/")->get_header_value("Content-Type"), "text/html; charset=utf-8");
    EXPECT_EQ(nlohmann::json::parse(get("/api/v1/status")->body)["ready"], true);
    EXPECT_EQ(nlohmann::json::parse(get("/api/v1/alerts")->body)["alerts"].size(), 1U);
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

TEST_F(WebTest, SlowClientsDoNotKeepOthersOut) {
    options_.threads = 2;
    start();
    publish(sample_report());
    std::vector<Fd> slow;
    for (int i = 0; i < 8; ++i) {
        slow.push_back(connect());
        const std::string_view part = "GET /metrics HT";
        send(slow.back().get(), part.data(), part.size(), MSG_NOSIGNAL);
    }
    const auto response = get("/metrics");
    ASSERT_TRUE(response) << "the slow ones have every thread";
    EXPECT_EQ(response->status, 200);
}

TEST_F(WebTest, ClientsThatReadNothingDoNotKeepOthersOut) {
    options_.threads = 2;
    start();
    publish(big_report());
    std::vector<Fd> slow;
    for (int i = 0; i < 4; ++i) {
        slow.push_back(connect());
        const std::string_view request = "GET /metrics HTTP/1.1\r\n\r\n";
        send(slow.back().get(), request.data(), request.size(), MSG_NOSIGNAL);
    }
    const auto response = get("/-/ready");
    ASSERT_TRUE(response) << "those that do not read have every thread";
    EXPECT_EQ(response->status, 200);
}

TEST_F(WebTest, PatienceEnds) {
    options_.patience = 50ms;
    start();
    const auto fd = connect();
    const std::string_view part = "GET /metrics HT";
    send(fd.get(), part.data(), part.size(), MSG_NOSIGNAL);
    EXPECT_FALSE(read_all(fd).contains("200 OK"));  // it ends, which is the point
}

TEST_F(WebTest, SurvivesOddRequests) {
    start();
    publish(sample_report());
    EXPECT_EQ(say(""), "");
    EXPECT_TRUE(say("garbage\r\n\r\n").starts_with("HTTP/1.1 400"));
    EXPECT_TRUE(say("\x16\x03\x01\x02\r\n\r\n").starts_with("HTTP/1.1 400"));
    EXPECT_TRUE(say("GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 414"));
    EXPECT_FALSE(say(std::string(100'000, 'x')).contains("200 OK"));
    EXPECT_FALSE(say("GET / HTTP/1.1\r\nRange: bytes=99999999999999999999-\r\n\r\n").contains("200 OK"));
    std::string ranges = "GET /metrics HTTP/1.1\r\nRange: bytes=0-";
    for (int i = 0; i < 1000; ++i) {
        ranges += ",0-";
    }
    const auto whole = say(ranges + "\r\n\r\n");
    EXPECT_TRUE(whole.starts_with("HTTP/1.1 200 OK")) << whole.substr(0, 200);
    EXPECT_LT(whole.size(), 100'000U);
    EXPECT_TRUE(say("POST /metrics HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
                    .starts_with("HTTP/1.1 404"))
        << "a body was unpacked that nobody wants";
    EXPECT_FALSE(say("GET /metrics HTTP/1.1\r\nAccept-Encoding: br\r\n\r\n").contains("Content-Encoding"));
    EXPECT_TRUE(say("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").starts_with("HTTP/1.1 404"));
    const auto old = say("GET /metrics HTTP/1.0\r\n\r\n");
    EXPECT_TRUE(old.contains("\nupstat_build_info"));
    EXPECT_FALSE(old.contains("chunked"));
    EXPECT_EQ(get("/-/ready")->status, 200);
}

TEST_F(WebTest, StopsWhileAClientKeepsItWaiting) {
    start();
    const auto fd = connect();
    const std::string_view part = "GET /";
    send(fd.get(), part.data(), part.size(), MSG_NOSIGNAL);
    EXPECT_EQ(get("/-/healthy")->status, 200);
    web_.reset();
    EXPECT_FALSE(read_all(fd).contains("200 OK"));
}

}  // namespace
}  // namespace upstat::publish
