// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/http_files.hpp"
#include "base/time.hpp"

namespace upstat {

/// One HTTP exchange with the outside.
struct HttpRequest {
    std::string method = "GET";
    std::string url{};
    std::vector<std::string> headers{};  ///< "Name: value"
    std::string body{};
    std::string username{};  ///< basic auth when not empty
    std::string password{};
    HttpFiles files{};
    std::string host{};               ///< the name that is meant by the address in `url`; empty: what stands there
    bool verify = true;               ///< false: any certificate will do
    std::string network_namespace{};  ///< a /proc/PID/ns/net to connect from; empty: our own
    bool direct = false;              ///< not by the proxy that the environment names; to loopback none is used anyway
    /// Redirects are followed, 10 at most: method and body stay, and what says who we are (user name, password, token)
    /// goes nowhere but to the scheme, host and port of `url`.
    bool redirects = false;
    Millis timeout = std::chrono::seconds(10);
    std::size_t max_bytes = std::size_t{16} << 20;  ///< a longer body is an error
    bool cut = false;                               ///< a longer body is cut there instead
};

struct HttpResponse {
    long status = 0;
    std::string body{};
    std::optional<Millis> retry_after{};  ///< from now; a day at most
    std::string redirected_to{};          ///< where the response is from, if redirects led elsewhere
};

/// What became of one request: a response of any status, or one sentence saying why there is none.
struct HttpDone {
    std::uint64_t ticket = 0;
    std::expected<HttpResponse, std::string> result;
};

}  // namespace upstat
