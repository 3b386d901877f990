// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/backoff.hpp"
#include "base/error.hpp"
#include "base/http_client.hpp"
#include "base/outage.hpp"
#include "base/results.hpp"
#include "base/time.hpp"
#include "base/url.hpp"

namespace upstat::publish {

/// Where a receiver takes what is sent: `path` ("/api/v2/alerts") behind its own path. The error is of kind usage.
Result<std::string> receiver_url(const Url& base, std::string_view path);

/// What became of one try.
struct Tried {
    std::string problem{};               ///< one sentence saying why it failed; empty when all went well
    std::optional<Outage::Line> line{};  ///< for the log, if there is something new
};

/// The tries to reach one receiver: counted, spaced while they fail, and said in the log when that changes.
class Tries {
  public:
    /// `what` ("Alertmanager") begins the lines of the log. `seed` is of the random part of the waits.
    Tries(std::string what, const Url& url, std::uint64_t seed);

    /// Whether the next one may start. What changes until then goes with it.
    [[nodiscard]] bool ready(Time now) const { return backoff_.ready(now); }
    /// Whether the last one failed.
    [[nodiscard]] bool failing() const { return backoff_.waits(); }

    /// Takes the place of `previous`: what it tried is counted on, and if the receiver is the same, as it stands with
    /// it.
    void succeed(const Tries& previous);

    Tried take(const std::expected<HttpResponse, std::string>& result, Time now);

    [[nodiscard]] const std::string& url() const { return url_; }  ///< as it may be shown
    [[nodiscard]] const Results& results() const { return results_; }

  private:
    std::string url_;
    Backoff backoff_;
    Outage outage_;
    Results results_;
};

}  // namespace upstat::publish
