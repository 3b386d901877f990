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
#include "publish/report.hpp"

namespace upstat::publish {

/// A Pushgateway and the group that is ours there.
struct PushTarget {
    std::string url;  ///< of the gateway; may hold a path, a name and a password
    std::string job = "upstat-push";
    std::string instance;
    Millis interval = std::chrono::seconds(15);
    Millis timeout = std::chrono::seconds(10);  ///< of one push; never longer than the interval
};

/// The URL of the group: URL/metrics/job/JOB/instance/INSTANCE. An error of kind usage if the gateway's URL is none.
Result<std::string> group_url(const PushTarget& target);

/// The PUT that replaces the group by this page (pushed_text()). `group` is what group_url gave.
HttpRequest push_request(const PushTarget& target, const std::string& group, std::string page);

/// The DELETE that takes the group away, for a clean exit; it takes at most `patience`.
HttpRequest delete_request(const std::string& group, Millis patience);

/// Decides when to push. It reads no clock and sends nothing: at most one push is under way, and what could not be
/// pushed is not kept, because the next page says it all.
class Pusher {
  public:
    explicit Pusher(Millis interval) : interval_(interval) {}

    /// Whether a push should be started now.
    [[nodiscard]] bool due(Time now) const;

    /// A push was started under this ticket of the HttpClient.
    void started(Time now, std::uint64_t ticket);

    /// Takes the end of a push: empty when all went well, else one sentence saying why it failed. nullopt: not ours.
    std::optional<std::string> done(const HttpDone& done);

    /// The push that is due is not sent, for this reason.
    void withheld(std::string reason) { results_.count(std::move(reason)); }

    [[nodiscard]] const Results& results() const { return results_; }
    void count_on_from(const Results& results) { results_ = results; }

  private:
    Millis interval_;
    std::optional<Time> last_start_;
    std::optional<std::uint64_t> ticket_;
    Results results_;
};

}  // namespace upstat::publish
