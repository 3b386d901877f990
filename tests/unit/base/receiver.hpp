// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <httplib.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

namespace upstat {

/// cpp-httplib's server on a free loopback port.
class Receiver {
  public:
    httplib::Server server;

    std::string start() {
        const auto port = server.bind_to_any_port("127.0.0.1");
        thread_ = std::thread([this] { server.listen_after_bind(); });
        while (!server.is_running()) {
            std::this_thread::yield();
        }
        return "http://127.0.0.1:" + std::to_string(port);
    }
    Receiver() = default;
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;
    ~Receiver() {
        server.stop();
        if (thread_.joinable()) {
            thread_.join();
        }
    }

  private:
    std::thread thread_;
};

/// The environment names a proxy, which answers each request with the URL that it was asked for.
class Proxied {
  public:
    Proxied() {
        proxy_.server.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
            ++asked_;
            response.set_content("proxied " + request.target, "text/plain");
            return httplib::Server::HandlerResponse::Handled;
        });
        setenv("http_proxy", proxy_.start().c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
    }
    Proxied(const Proxied&) = delete;
    Proxied& operator=(const Proxied&) = delete;
    ~Proxied() { unsetenv("http_proxy"); }  // NOLINT(concurrency-mt-unsafe)
    [[nodiscard]] int asked() const { return asked_; }

  private:
    std::atomic<int> asked_ = 0;
    Receiver proxy_;
};

}  // namespace upstat
