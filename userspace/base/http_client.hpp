// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/http_opened.hpp"
#include "base/http_request.hpp"
#include "base/time.hpp"

namespace upstat {

/// Exchanges with the outside, which never block the caller's thread.
class Http {
  public:
    Http() = default;
    Http(const Http&) = delete;
    Http& operator=(const Http&) = delete;
    virtual ~Http() = default;

    /// Starts an exchange and returns the ticket that its HttpDone will carry.
    virtual std::uint64_t start(const HttpRequest& request) = 0;

    /// Waits until an exchange makes progress, one of `others` is ready (its revents are set) or `longest` has
    /// passed, whichever is first; returns the exchanges that ended.
    virtual std::vector<HttpDone> wait(std::span<pollfd> others, Millis longest) = 0;
};

/// How much the bodies of responses may take together. Whose is the longest ends with an error: it is whoever sends too
/// much, and others' responses go on.
struct HttpBound {
    std::size_t bytes = std::size_t{128} << 20;
    const std::atomic<std::size_t>* elsewhere = nullptr;  ///< bytes of responses that have ended and wait; may be none
};

/// By libcurl's multi interface, on the caller's thread.
class HttpClient : public Http {
  public:
    explicit HttpClient(HttpBound bound = {});
    ~HttpClient() override;

    std::uint64_t start(const HttpRequest& request) override;
    std::uint64_t start(OpenedRequest request);
    std::vector<HttpDone> wait(std::span<pollfd> others, Millis longest) override;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace upstat
