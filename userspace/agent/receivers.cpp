// SPDX-License-Identifier: Apache-2.0
#include "agent/receivers.hpp"

#include <fmt/format.h>

#include <utility>

#include "agent/log_line.hpp"
#include "base/host_port.hpp"
#include "base/url.hpp"
#include "publish/receiver.hpp"

namespace upstat::agent {

namespace {

/// How long a clean exit may take to say goodbye to the Pushgateway.
constexpr auto exit_patience = std::chrono::seconds(3);

/// So many intervals after its last push, an agent is taken for gone.
constexpr int intervals_of_silence = 3;

std::string taken_by(const std::string& other, const publish::PushTarget& target) {
    return fmt::format(
        "another upstat ({}) pushes the group job=\"{}\", instance=\"{}\": give "
        "each agent a push.instance of its own; "
        "nothing is pushed until that one is silent",
        other, target.job, target.instance);
}

/// Waits for the end of one exchange; nothing where that takes too long.
std::optional<std::expected<HttpResponse, std::string>> end_of(std::uint64_t ticket, Http& http, const Clock& clock,
                                                               std::chrono::steady_clock::time_point until) {
    while (clock.steady() < until) {
        for (auto& done : http.wait({}, Millis(100))) {
            if (done.ticket == ticket) {
                return std::move(done.result);
            }
        }
    }
    return std::nullopt;
}

}  // namespace

std::string reached_from_outside(const std::string& web_url, const std::string& host) {
    const auto scheme = web_url.substr(0, web_url.find("//") + 2);
    const auto listener = parse_host_port(web_url.substr(scheme.size()));
    if (!listener || is_loopback(listener->host)) {
        return {};
    }
    const HostPort reached{.host = is_every_address(*listener) ? host : listener->host, .port = listener->port};
    auto url = scheme + to_string(reached);
    const auto parsed = parse_url(url);  // a host's name may hold what makes another URL of it
    return is_request_uri(url) && parsed && parsed->address == reached ? url : std::string();
}

Result<Receivers::Gateway> Receivers::gateway_of(const publish::PushTarget& target) {
    if (target.url.text.empty()) {
        return Gateway();
    }
    const auto group = publish::group_url(target);
    if (!group) {
        return std::unexpected(group.error());
    }
    return Gateway{.metrics = *publish::receiver_url(target.url, "/metrics"), .group = *group};
}

Receivers::Receivers(publish::PushTarget target, Gateway gateway, publish::PushClaim claim, publish::Notifier notifier,
                     std::uint64_t seed)
    : target_(std::move(target)),
      gateway_(std::move(gateway)),
      pusher_(target_, seed),
      claim_(std::move(claim)),
      notifier_(std::move(notifier)) {}

Result<Receivers> Receivers::make(const config::Settings& settings, const std::string& web_url,
                                  publish::PushIdentity identity, std::uint64_t seed) {
    if (const auto mistakes = config::file_mistakes(settings); !mistakes.empty()) {
        return std::unexpected(mistakes.front());
    }
    publish::PushTarget target{.url = settings.push_url.value_or(Url()),
                               .job = settings.push_job,
                               .instance = settings.push_instance,
                               .interval = settings.push_interval,
                               .files = settings.push_files};
    auto gateway = gateway_of(target);
    if (!gateway) {
        return std::unexpected(gateway.error());
    }
    auto notifier = publish::Notifier::make({.urls = settings.alertmanager_url,
                                             .rules = settings.all_rules(),
                                             .instance = settings.push_instance,
                                             .generator_url = settings.web_external_url
                                                                  ? settings.web_external_url->text
                                                                  : reached_from_outside(web_url, host_name()),
                                             .evaluation = settings.poll_interval,
                                             .files = settings.alertmanager_files,
                                             .seed = seed + 1});
    if (!notifier) {
        return std::unexpected(notifier.error());
    }
    identity.until += target.interval;  // the last push may be that much younger than what was saved last
    publish::PushClaim claim(std::move(identity), intervals_of_silence * target.interval);
    return Receivers(std::move(target), *std::move(gateway), std::move(claim), *std::move(notifier), seed);
}

void Receivers::succeed(const Receivers& previous, Http& http, Time now) {
    pusher_.succeed(previous.pusher_);
    notifier_.succeed(previous.notifier_);
    if (previous.gateway_.group == gateway_.group) {
        claim_.go_on_from(previous.claim_);
    } else if (!previous.gateway_.group.empty() && previous.claim_.is_ours(now)) {
        http.start(publish::delete_request(previous.target_, previous.gateway_.group, exit_patience));
    }
}

void Receivers::send(Http& http, const judge::Alerts& alerts, const std::shared_ptr<const publish::Page>& page,
                     Moment now) {
    for (auto& notification : notifier_.due(alerts, now)) {
        notifier_.started(notification.receiver, http.start(notification.request));
    }
    if (!gateway_.group.empty() && page && pusher_.due(now.at)) {
        push(http, *page, now.at);
    }
}

/// Pushes, or looks first whether another agent does.
void Receivers::push(Http& http, const publish::Page& page, Time now) {
    if (claim_.may_push(now)) {
        auto text = publish::pushed_text(page, claim_.owner());
        pusher_.started(now, http.start(publish::push_request(target_, gateway_.group, std::move(text))));
    } else if (claim_.look_due(now)) {
        claim_.looking(now, http.start(publish::look_request(target_, gateway_.metrics)));
    }
}

void Receivers::take(const HttpDone& done, Time now) {
    if (const auto pushed = pusher_.done(done, now)) {
        claim_.pushed(now, pushed->problem.empty());
        log_line(pushed->line);
    } else if (claim_.done(done, target_)) {
        if (const auto& other = claim_.other(); !other.empty()) {
            log_line(pusher_.withheld(taken_by(other, target_), now).line);
        }
    } else if (const auto tried = notifier_.done(done, now)) {
        log_line(tried->line);
    }
}

/// A look at the gateway. What was pushed before a long outage may have been taken over by another agent, or be there
/// still.
bool Receivers::finds_its_group(Http& http, const Clock& clock, std::chrono::steady_clock::time_point until) const {
    const auto ticket = http.start(publish::look_request(target_, gateway_.metrics));
    const auto looked = end_of(ticket, http, clock, until);
    return looked && *looked && (*looked)->status == 200 &&
           claim_.is_ours(publish::find_group((*looked)->body, target_));
}

void Receivers::say_goodbye(Http& http, const Clock& clock, Time now) {
    const auto until = clock.steady() + exit_patience;
    if (!gateway_.group.empty() && (claim_.is_ours(now) || finds_its_group(http, clock, until))) {
        end_of(http.start(publish::delete_request(target_, gateway_.group, exit_patience)), http, clock, until);
    }
}

}  // namespace upstat::agent
