// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "base/http_client.hpp"

namespace upstat {

/// Exchanges on a thread of their own, which has no privileges: what the others send is read there. What needs
/// privileges (files, sockets in another network namespace) is opened by the thread that starts an exchange.
class HttpThread : public Http {
  public:
    HttpThread();
    ~HttpThread() override;

    std::uint64_t start(const HttpRequest& request) override;
    std::vector<HttpDone> wait(std::span<pollfd> others, Millis longest) override;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace upstat
