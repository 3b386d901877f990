// SPDX-License-Identifier: Apache-2.0
#include "config/settings.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <ranges>
#include <tuple>

#include "base/host_port.hpp"
#include "config/options.hpp"
#include "config/settings_file.hpp"

namespace upstat::config {

namespace {

/// A day of the default poll.interval. Each poll of the window costs 8 bytes a series: 138 kB a series at most.
constexpr std::int64_t most_polls = 17280;

void apply(Settings& settings, std::vector<Error>& errors, const Given& given, const auto& where) {
    for (const auto& [name, values] : given) {
        if (auto set = find_option(name)->set(settings, values); !set) {
            errors.push_back({.kind = Error::Kind::usage,
                              .message = fmt::format("{}: {}", where(name), set.error().message),
                              .hint = set.error().hint});
        }
    }
}

Given defaults() {
    Given initial;
    for (const auto& option : options()) {
        if (!option.initial.empty()) {
            initial[std::string(option.name)] = {std::string(option.initial)};
        }
    }
    return initial;
}

void check_window(const judge::Rule& rule, Millis poll_interval, std::vector<Error>& errors) {
    const auto polls = rule.window / poll_interval;
    if (polls < 2) {
        errors.push_back({.kind = Error::Kind::usage,
                          .message = fmt::format("the rule {} has a window of less than two polls, of which it would "
                                                 "never see the increase",
                                                 rule.name),
                          .hint = "make alert.window at least twice poll.interval"});
    }
    if (polls > most_polls) {
        errors.push_back({.kind = Error::Kind::usage,
                          .message = fmt::format("the rule {} has a window of {} polls, of which each takes 8 bytes of "
                                                 "memory a series; {} are the most, 24h at a poll.interval of 5s",
                                                 rule.name, polls, most_polls),
                          .hint = "make the window shorter or poll.interval longer"});
    }
}

/// `option` is push or alertmanager, `urls` are its receivers.
void check_identity(const HttpFiles& files, std::string_view option, const std::vector<Url>& urls,
                    std::vector<Error>& errors) {
    if (files.cert_file.empty() != files.key_file.empty()) {
        const bool no_key = files.key_file.empty();
        errors.push_back({.kind = Error::Kind::usage,
                          .message = fmt::format("{0}.{1} without {0}.{2}", option, no_key ? "cert-file" : "key-file",
                                                 no_key ? "key-file" : "cert-file"),
                          .hint = "give both; one PEM file that holds certificate and key can be named twice"});
    }
    for (const auto& url : urls) {
        if (!files.bearer_token_file.empty() && url.shown != url.text) {
            errors.push_back({.kind = Error::Kind::usage,
                              .message = fmt::format("{}.bearer-token-file beside the name and password in {}.url {}",
                                                     option, option, url.shown),
                              .hint = "a request carries one of both: take the token or the URL's name and password "
                                      "away"});
        }
    }
}

/// Where alerts have the label `service`, it is what they are about, as `backend` is always.
void check_labels(const judge::Rule& rule, std::vector<Error>& errors) {
    if (say_service(rule.names) && rule.labels.contains("service")) {
        errors.push_back({.kind = Error::Kind::usage,
                          .message = fmt::format("the label service of the rule {} cannot be set", rule.name),
                          .hint = "with this metrics.names it is what the alert is about"});
    }
}

/// What is wrong with settings that are right one by one.
void check(const Settings& settings, std::vector<Error>& errors) {
    if (!settings.traefik_api_username.empty() && settings.traefik_api.empty()) {
        errors.push_back({.kind = Error::Kind::usage,
                          .message = "traefik.api.username without traefik.api: an address that is found is told by "
                                     "whatever process is called traefik, and would be told the password",
                          .hint = "name the API, such as --traefik.api=http://127.0.0.1:8080"});
    }
    check_identity(settings.push_files, "push", {settings.push_url.value_or(Url())}, errors);
    check_identity(settings.alertmanager_files, "alertmanager", settings.alertmanager_url, errors);
    for (const auto& rule : settings.all_rules()) {
        if (rule.share == judge::Share::codes) {  // the others have the built-in one's window and labels
            check_labels(rule, errors);
            check_window(rule, settings.poll_interval, errors);
        }
    }
}

}  // namespace

std::vector<judge::Rule> Settings::all_rules() const {
    std::vector<judge::Rule> all{rule};
    for (const auto& [name, share, percent] :
         {std::tuple(connect_failures_rule, judge::Share::connect_failures, connect_failures_percent),
          std::tuple(unanswered_rule, judge::Share::unanswered, unanswered_percent)}) {
        if (percent < 100) {
            auto& one = all.emplace_back(rule);
            one.name = name;
            one.share = share;
            one.threshold_percent = percent;
            one.annotations.clear();
        }
    }
    all.insert(all.end(), rules.begin(), rules.end());
    for (auto& one : all) {
        one.names = metrics_names;
    }
    return all;
}

Given read_environment() {
    Given given;
    for (const auto& option : options()) {
        const char* const text = std::getenv(variable_of(option.name).c_str());
        if (text == nullptr) {
            continue;
        }
        auto& values = given[std::string(option.name)];
        if (!option.repeatable) {
            values.emplace_back(text);
            continue;
        }
        for (const auto part : std::views::split(std::string_view(text), ',')) {
            values.emplace_back(part.begin(), part.end());
        }
    }
    return given;
}

std::expected<Settings, std::vector<Error>> merge(const FileSettings& file, const std::string& file_name,
                                                  const Given& variables, const Given& flags) {
    Settings settings;
    auto errors = file.errors;
    apply(settings, errors, defaults(), [](const std::string& name) { return "the default of " + name; });
    apply(settings, errors, file.given, [&](const std::string& name) { return file_name + ": " + name; });
    apply(settings, errors, variables, [](const std::string& name) { return variable_of(name); });
    apply(settings, errors, flags, [](const std::string& name) { return "--" + name; });
    settings.rules = file.rules;
    if (settings.push_instance.empty()) {
        settings.push_instance = host_name();
    }
    check(settings, errors);
    if (!errors.empty()) {
        return std::unexpected(std::move(errors));
    }
    return settings;
}

std::expected<Settings, std::vector<Error>> load(const Sources& sources) {
    const auto file = sources.file.empty() ? FileSettings{} : read_settings_file(sources.file);
    return merge(file, sources.file, read_environment(), sources.flags);
}

std::vector<Error> file_mistakes(const Settings& settings) {
    std::vector<Error> mistakes;
    for (const auto& [files, option] :
         {std::pair(HttpFiles{.ca_file = settings.traefik_api_ca_file}, "traefik.api"),
          std::pair(settings.push_files, "push"), std::pair(settings.alertmanager_files, "alertmanager")}) {
        std::ranges::copy(mistakes_in(files, option), std::back_inserter(mistakes));
    }
    if (const auto& file = settings.traefik_api_password_file; !file.empty()) {
        if (const auto password = read_password(file); !password) {
            mistakes.push_back({.kind = Error::Kind::usage,
                                .message = "traefik.api.password-file: " + password.error().message,
                                .hint = password.error().hint});
        }
    }
    return mistakes;
}

std::vector<std::string> unreloadable_changes(const Settings& now, const Settings& next) {
    std::vector<std::string> names;
    for (const auto& option : options()) {
        if (!option.reloadable && !option.same(now, next)) {
            names.emplace_back(option.name);
        }
    }
    return names;
}

Settings with_unreloadable(Settings next, const Settings& now) {
    for (const auto& option : options()) {
        if (!option.reloadable) {
            option.copy(next, now);
        }
    }
    return next;
}

}  // namespace upstat::config
