// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "publish/exposition.hpp"
#include "publish/report.hpp"
#include "publish/web_config.hpp"

namespace upstat::publish {

struct WebOptions {
    std::vector<std::string> listen{"127.0.0.1:9479"};  ///< "host:port", "[v6]:port", ":port"; port 0: a free one
    std::function<std::chrono::steady_clock::time_point()> now;  ///< of /-/healthy; called from the web's thread
    Millis heartbeat_bound = std::chrono::seconds(30);           ///< an older heartbeat is no life
    Millis patience = std::chrono::seconds(10);  ///< the longest that one connection may take as a whole
    WebConfig config;                            ///< TLS, passwords, headers
    std::size_t connections = 8192;              ///< at most; then the one that has waited longest is cut
};

/// Serves /, /metrics, /-/healthy, /-/ready and /api/v1/{status,alerts,backends} on a thread of its own. A client that
/// is slow, silent or does not read holds one connection, for as long as its patience and no other client needs it: at
/// most 18 KiB of this process (over TLS 45, and there are 2,048 at most), and 24 of the kernel's.
class Web {
  public:
    /// Listens and begins to serve: "not ready" until the first publish.
    static Result<std::unique_ptr<Web>> start(const WebOptions& options);

    Web(const Web&) = delete;
    Web& operator=(const Web&) = delete;
    ~Web();

    /// The addresses as bound, in the order of the options: "127.0.0.1:9479".
    [[nodiscard]] const std::vector<std::string>& addresses() const;

    /// From now on this and its report are served.
    void publish(std::shared_ptr<const Page> page);

    /// Whether it serves TLS. That does not begin or end while it serves.
    [[nodiscard]] bool has_tls() const;
    /// "https://", or without TLS "http://".
    [[nodiscard]] std::string scheme() const { return has_tls() ? "https://" : "http://"; }

    /// New connections and requests go by this from now on. It has TLS where has_tls().
    void configure(WebConfig config);

    /// The loop lives.
    void heartbeat(std::chrono::steady_clock::time_point now);

  private:
    class Impl;
    explicit Web(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace upstat::publish
