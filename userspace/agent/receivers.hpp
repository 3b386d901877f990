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

namespace upstat::agent {

/// The URL of a listener as other hosts reach it: one on every address is named by `host`. Empty where they do not
/// reach it, or where this is no URL.
std::string reached_from_outside(const std::string& address, const std::string& host);

/// Those that the agent sends to by itself: the Pushgateway and the Alertmanagers.
class Receivers {
  public:
    /// `web_address` is where the agent's pages are; `seed` is of the random part of the waits after a failure. An
    /// error of kind usage for an URL that is none, and for a file that cannot be used.
    static Result<Receivers> make(const config::Settings& settings, const std::string& web_address, std::uint64_t seed);

    /// Takes the place of `previous`: counts go on, and a group that is pushed to no more is deleted.
    void succeed(const Receivers& previous, Http& http);

    /// Starts what is due. `page` may be none yet.
    void send(Http& http, const judge::Alerts& alerts, const std::shared_ptr<const publish::Page>& page, Moment now);

    /// Takes the end of an exchange, if it is one of these. A page that was pushed has been delivered.
    void take(const HttpDone& done, publish::ZeroStart& zero_start, Time now);

    /// Deletes what was pushed; waits for it, but not for long.
    void say_goodbye(Http& http, const Clock& clock);

    [[nodiscard]] const Results& push_results() const { return pusher_.results(); }
    [[nodiscard]] std::map<std::string, Results> alertmanager_results() const { return notifier_.results(); }

  private:
    Receivers(publish::PushTarget target, std::string group, publish::Notifier notifier, std::uint64_t seed)
        : target_(std::move(target)),
          group_(std::move(group)),
          pusher_(target_, seed),
          notifier_(std::move(notifier)) {}

    publish::PushTarget target_;
    std::string group_;  ///< its URL; empty: nothing is pushed
    publish::Pusher pusher_;
    publish::Notifier notifier_;
};

}  // namespace upstat::agent
