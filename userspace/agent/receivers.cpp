// SPDX-License-Identifier: Apache-2.0
#include "agent/receivers.hpp"

#include <utility>

#include "agent/log_line.hpp"
#include "base/host_port.hpp"
#include "base/url.hpp"

namespace upstat::agent {

namespace {

/// How long a clean exit may take to say goodbye to the Pushgateway.
constexpr auto exit_patience = std::chrono::seconds(3);

}  // namespace

std::string reached_from_outside(const std::string& address, const std::string& host) {
    const auto listener = parse_host_port(address);
    if (!listener || is_loopback(listener->host)) {
        return {};
    }
    const HostPort reached{.host = is_every_address(*listener) ? host : listener->host, .port = listener->port};
    auto url = "http://" + to_string(reached);
    const auto parsed = parse_url(url);  // a host's name may hold what makes another URL of it
    return is_request_uri(url) && parsed && parsed->address == reached ? url : std::string();
}

Result<Receivers> Receivers::make(const config::Settings& settings, const std::string& web_address,
                                  std::uint64_t seed) {
    if (const auto mistakes = config::file_mistakes(settings); !mistakes.empty()) {
        return std::unexpected(mistakes.front());
    }
    publish::PushTarget target{.url = settings.push_url,
                               .job = settings.push_job,
                               .instance = settings.push_instance,
                               .interval = settings.push_interval,
                               .files = settings.push_files};
    auto group = target.url.empty() ? Result<std::string>() : publish::group_url(target);
    if (!group) {
        return std::unexpected(group.error());
    }
    auto notifier = publish::Notifier::make({.urls = settings.alertmanager_url,
                                             .rules = settings.all_rules(),
                                             .instance = settings.push_instance,
                                             .generator_url = settings.web_external_url.empty()
                                                                  ? reached_from_outside(web_address, host_name())
                                                                  : settings.web_external_url,
                                             .evaluation = settings.poll_interval,
                                             .files = settings.alertmanager_files,
                                             .seed = seed + 1});
    if (!notifier) {
        return std::unexpected(notifier.error());
    }
    return Receivers(std::move(target), *std::move(group), *std::move(notifier), seed);
}

void Receivers::succeed(const Receivers& previous, Http& http) {
    pusher_.succeed(previous.pusher_);
    notifier_.succeed(previous.notifier_);
    if (!previous.group_.empty() && previous.group_ != group_) {
        http.start(publish::delete_request(previous.target_, previous.group_, exit_patience));
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

void Receivers::take(const HttpDone& done, publish::ZeroStart& zero_start, Time now) {
    if (const auto pushed = pusher_.done(done, now)) {
        zero_start.served(pushed->page);
        log_line(pushed->tried.line);
    } else if (const auto tried = notifier_.done(done, now)) {
        log_line(tried->line);
    }
}

void Receivers::say_goodbye(Http& http, const Clock& clock) {
    if (group_.empty()) {
        return;
    }
    const auto ticket = http.start(publish::delete_request(target_, group_, exit_patience));
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
