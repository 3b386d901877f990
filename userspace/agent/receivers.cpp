// SPDX-License-Identifier: Apache-2.0
#include "agent/receivers.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "base/host_port.hpp"
#include "publish/receiver.hpp"

namespace upstat::agent {

namespace {

/// How long a clean exit may take to say goodbye to the Pushgateway.
constexpr auto exit_patience = std::chrono::seconds(3);

/// So many intervals after its last push, an agent is taken for gone.
constexpr int intervals_of_silence = 3;

/// The agent's pages as others reach them: a listener on every address is named by this host's name.
std::string generator_url(const std::string& address, const std::string& host) {
    const auto listener = parse_host_port(address);
    const bool everywhere = listener && is_every_address(*listener);
    return "http://" + (everywhere ? host + ":" + std::to_string(listener->port) : address);
}

}  // namespace

Millis pushed_zero_for(const config::Settings& settings) {
    return settings.metrics_zero_for == Millis(0)
               ? Millis(0)
               : settings.metrics_zero_for + settings.push_interval + settings.poll_interval;
}

Result<Receivers::Gateway> Receivers::gateway_of(const publish::PushTarget& target) {
    if (target.url.empty()) {
        return Gateway();
    }
    const auto group = publish::group_url(target);
    if (!group) {
        return std::unexpected(group.error());
    }
    return Gateway{.metrics = *publish::receiver_url(target.url, "/metrics"), .group = *group};
}

Receivers::Receivers(publish::PushTarget target, Gateway gateway, Millis zero_for, const std::string& owner,
                     publish::Notifier notifier)
    : target_(std::move(target)),
      gateway_(std::move(gateway)),
      zero_for_(zero_for),
      pusher_(target_.interval),
      claim_(owner, intervals_of_silence * target_.interval),
      notifier_(std::move(notifier)) {}

Result<Receivers> Receivers::make(const config::Settings& settings, const std::string& web_address,
                                  const std::string& owner) {
    publish::PushTarget target{.url = settings.push_url,
                               .job = settings.push_job,
                               .instance = settings.push_instance,
                               .interval = settings.push_interval};
    auto gateway = gateway_of(target);
    if (!gateway) {
        return std::unexpected(gateway.error());
    }
    auto notifier = publish::Notifier::make({.urls = settings.alertmanager_url,
                                             .rules = settings.all_rules(),
                                             .instance = settings.push_instance,
                                             .generator_url = generator_url(web_address, settings.push_instance),
                                             .evaluation = settings.poll_interval});
    if (!notifier) {
        return std::unexpected(notifier.error());
    }
    return Receivers(std::move(target), *std::move(gateway), pushed_zero_for(settings), owner, *std::move(notifier));
}

void Receivers::succeed(const Receivers& previous, Http& http, const Clock& clock) {
    pusher_.count_on_from(previous.pusher_.results());
    notifier_.count_on_from(previous.notifier_.results());
    if (previous.gateway_.group == gateway_.group) {
        claim_.go_on_from(previous.claim_);
        withheld_ = previous.withheld_;
    } else if (!previous.gateway_.group.empty() && previous.claim_.is_ours(clock.steady())) {
        http.start(publish::delete_request(previous.gateway_.group, exit_patience));
    }
}

void Receivers::send(Http& http, const judge::Alerts& alerts, const std::shared_ptr<const publish::Page>& page,
                     const Clock& clock) {
    const auto now = clock.wall();
    for (auto& notification : notifier_.due(alerts, now)) {
        notifier_.started(notification.receiver, http.start(notification.request));
    }
    if (!gateway_.group.empty() && page && pusher_.due(now)) {
        push(http, *page, clock);
    }
}

/// Pushes, or looks first whether another agent does.
void Receivers::push(Http& http, const publish::Page& page, const Clock& clock) {
    const auto now = clock.steady();
    if (claim_.may_push(now)) {
        auto text = publish::pushed_text(page, {.zero_for = zero_for_, .owner = claim_.owner()});
        pusher_.started(clock.wall(), http.start(publish::push_request(target_, gateway_.group, std::move(text))));
    } else if (claim_.look_due(now)) {
        claim_.looking(now, http.start(publish::look_request(target_, gateway_.metrics)));
    }
}

void Receivers::take(const HttpDone& done, const Clock& clock) {
    if (const auto problem = pusher_.done(done)) {
        claim_.pushed(clock.steady(), problem->empty());
        if (!problem->empty()) {
            spdlog::warn("Pushgateway: {}", *problem);
        }
    } else if (claim_.done(done, target_)) {
        looked();
    } else if (const auto problem = notifier_.done(done); problem && !problem->empty()) {
        spdlog::warn("Alertmanager: {}", *problem);
    }
}

void Receivers::looked() {
    const bool withheld = !claim_.other().empty();
    if (withheld) {
        pusher_.withheld(
            fmt::format("another upstat ({}) pushes the group job=\"{}\", instance=\"{}\": give each agent a "
                        "push.instance of its own",
                        claim_.other(), target_.job, target_.instance));
    }
    if (withheld && !withheld_) {
        spdlog::error("Pushgateway: {}; nothing is pushed until that one is silent", pusher_.results().last_error);
    } else if (!withheld && withheld_) {
        spdlog::info("Pushgateway: the other upstat is silent; pushing again");
    }
    withheld_ = withheld;
}

void Receivers::say_goodbye(Http& http, const Clock& clock) {
    if (gateway_.group.empty() || !claim_.is_ours(clock.steady())) {
        return;
    }
    const auto ticket = http.start(publish::delete_request(gateway_.group, exit_patience));
    const auto until = clock.steady() + exit_patience;
    while (clock.steady() < until) {
        for (const auto& done : http.wait({}, Millis(100))) {
            if (done.ticket == ticket) {
                return;
            }
        }
    }
}

}  // namespace upstat::agent
