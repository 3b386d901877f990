// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/http_client.hpp"
#include "config/settings.hpp"
#include "judge/alert.hpp"
#include "publish/alertmanager.hpp"
#include "publish/exposition.hpp"
#include "publish/push.hpp"
#include "publish/push_claim.hpp"

namespace upstat::agent {

/// The URL of a listener ("http://0.0.0.0:9479") as other hosts reach it: one on every address is named by `host`.
/// Empty where they do not reach it, or where this is no URL.
std::string reached_from_outside(const std::string& web_url, const std::string& host);

/// Those that the agent sends to by itself: the Pushgateway and the Alertmanagers.
class Receivers {
  public:
    /// `web_url` is where the agent's pages are; `seed` is of the random part of the waits after a failure. An error of
    /// kind usage for an URL that is none, and for a file that cannot be used.
    static Result<Receivers> make(const config::Settings& settings, const std::string& web_url,
                                  publish::PushIdentity identity, std::uint64_t seed);

    /// Takes the place of `previous`: counts go on, and a group that is pushed to no more is deleted.
    void succeed(const Receivers& previous, Http& http, Time now);

    /// Starts what is due. `page` may be none yet.
    void send(Http& http, const judge::Alerts& alerts, const std::shared_ptr<const publish::Page>& page, Moment now);

    /// Takes the end of an exchange, if it is one of these.
    void take(const HttpDone& done, Time now);

    /// Deletes what this agent pushed; waits for it, but not for long.
    void say_goodbye(Http& http, const Clock& clock, Time now);

    [[nodiscard]] const Results& push_results() const { return pusher_.results(); }
    [[nodiscard]] std::map<std::string, Results> alertmanager_results() const { return notifier_.results(); }

  private:
    /// Where pushes go: both URLs are empty when nothing is pushed.
    struct Gateway {
        std::string metrics;  ///< of all groups
        std::string group;    ///< of ours
    };
    static Result<Gateway> gateway_of(const publish::PushTarget& target);

    Receivers(publish::PushTarget target, Gateway gateway, publish::PushClaim claim, publish::Notifier notifier,
              std::uint64_t seed);
    void push(Http& http, const publish::Page& page, Time now);
    [[nodiscard]] bool finds_its_group(Http& http, const Clock& clock,
                                       std::chrono::steady_clock::time_point until) const;

    publish::PushTarget target_;
    Gateway gateway_;
    publish::Pusher pusher_;
    publish::PushClaim claim_;
    publish::Notifier notifier_;
};

}  // namespace upstat::agent
