// SPDX-License-Identifier: Apache-2.0
#include "agent/receivers.hpp"

#include <spdlog/spdlog.h>

#include <utility>

#include "base/host_port.hpp"

namespace upstat::agent {

namespace {

/// How long a clean exit may take to say goodbye to the Pushgateway.
constexpr auto exit_patience = std::chrono::seconds(3);

/// The agent's pages as others reach them: a listener on every address is named by this host's name.
std::string generator_url(const std::string& address, const std::string& host) {
    const auto listener = parse_host_port(address);
    const bool everywhere = listener && is_every_address(*listener);
    return "http://" + (everywhere ? host + ":" + std::to_string(listener->port) : address);
}

}  // namespace

Result<Receivers> Receivers::make(const config::Settings& settings, const std::string& web_address) {
    publish::PushTarget target{.url = settings.push_url,
                               .job = settings.push_job,
                               .instance = settings.push_instance,
                               .interval = settings.push_interval};
    auto group = target.url.empty() ? Result<std::string>() : publish::group_url(target);
    if (!group) {
        return std::unexpected(group.error());
    }
    auto notifier = publish::Notifier::make({.urls = settings.alertmanager_url,
                                             .rules = settings.all_rules(),
                                             .instance = settings.push_instance,
                                             .generator_url = generator_url(web_address, settings.push_instance),
                                             .evaluation = settings.poll_interval});
    if (!notifier) {
        return std::unexpected(notifier.error());
    }
    return Receivers(std::move(target), *std::move(group), *std::move(notifier));
}

void Receivers::succeed(const Receivers& previous, Http& http) {
    pusher_.count_on_from(previous.pusher_.results());
    notifier_.count_on_from(previous.notifier_.results());
    if (!previous.group_.empty() && previous.group_ != group_) {
        http.start(publish::delete_request(previous.group_, exit_patience));
    }
}

void Receivers::send(Http& http, const judge::Alerts& alerts, const std::shared_ptr<const publish::Page>& page,
                     Moment now) {
    for (auto& notification : notifier_.due(alerts, now)) {
        notifier_.started(notification.receiver, http.start(notification.request));
    }
    if (!group_.empty() && page && pusher_.due(now.at)) {
        pusher_.started(now.at, http.start(publish::push_request(target_, group_, publish::pushed_text(*page))),
                        page->number);
    }
}

void Receivers::take(const HttpDone& done, publish::ZeroStart& zero_start) {
    if (const auto pushed = pusher_.done(done)) {
        zero_start.served(pushed->page);
        if (!pushed->problem.empty()) {
            spdlog::warn("Pushgateway: {}", pushed->problem);
        }
    } else if (const auto problem = notifier_.done(done); problem && !problem->empty()) {
        spdlog::warn("Alertmanager: {}", *problem);
    }
}

void Receivers::say_goodbye(Http& http, const Clock& clock) {
    if (group_.empty()) {
        return;
    }
    const auto ticket = http.start(publish::delete_request(group_, exit_patience));
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
