// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "base/http_client.hpp"
#include "base/time.hpp"
#include "publish/receiver.hpp"

namespace upstat::publish {

/// A Pushgateway and the group that is ours there.
struct PushTarget {
    Url url;  ///< of the gateway; may hold a path, a name and a password
    std::string job = "upstat-push";
    std::string instance;
    Millis interval = std::chrono::seconds(15);
    Millis timeout = std::chrono::seconds(10);  ///< of one push; never longer than the interval
    HttpFiles files;                            ///< by which the gateway is known, and knows us
};

/// The URL of the group: URL/metrics/job/JOB/instance/INSTANCE. An error of kind usage where there is none.
Result<std::string> group_url(const PushTarget& target);

/// The PUT that replaces the group by this page (pushed_text()). `group` is what group_url gave.
HttpRequest push_request(const PushTarget& target, const std::string& group, std::string page);

/// The DELETE that takes the group away, for a clean exit; it takes at most `patience`.
HttpRequest delete_request(const PushTarget& target, const std::string& group, Millis patience);

/// Decides when to push. It reads no clock and sends nothing: at most one push is under way, and what could not be
/// pushed is not kept, because the next page says it all. After a failure the next push waits (Backoff) instead of the
/// interval.
class Pusher {
  public:
    /// `seed` is of the random part of the waits after a failure.
    Pusher(const PushTarget& target, std::uint64_t seed)
        : interval_(target.interval), tries_("Pushgateway", target.url, seed) {}

    /// Whether a push should be started now.
    [[nodiscard]] bool due(Time now) const;

    /// A push was started under this ticket of the HttpClient.
    void started(Time now, std::uint64_t ticket);

    /// Takes the end of a push. nullopt: not ours.
    std::optional<Tried> done(const HttpDone& done, Time now);

    /// The push that is due is not sent, for this reason: it counts as one that failed.
    Tried withheld(std::string reason, Time now);

    [[nodiscard]] const Results& results() const { return tries_.results(); }

    /// Takes the place of `previous`: what it tried is counted on, and if the gateway is the same, as it stands with
    /// it.
    void succeed(const Pusher& previous);

  private:
    Millis interval_;
    std::optional<Time> last_start_;
    std::optional<std::uint64_t> ticket_;
    Tries tries_;
};

}  // namespace upstat::publish
