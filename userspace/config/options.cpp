// SPDX-License-Identifier: Apache-2.0
#include "config/options.hpp"

#include <spdlog/fmt/fmt.h>
#include <spdlog/fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <concepts>
#include <initializer_list>
#include <limits>
#include <system_error>
#include <utility>

#include "base/host_port.hpp"
#include "base/url.hpp"
#include "measure/codes.hpp"
#include "traefik/allow.hpp"

namespace upstat::config {

namespace {

Result<double> parse_percent(std::string_view text) {
    double value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || value < 0 || value > 100) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a percentage", text), "a number from 0 to 100");
    }
    return value;
}

Result<double> parse_rate(std::string_view text) {
    double value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || !(value >= 0) || std::isinf(value)) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a rate", text), "responses a second, such as 0.5");
    }
    return value;
}

using Label = std::pair<std::string, std::string>;

/// NAME=VALUE, with a name as Prometheus wants it.
Result<Label> parse_annotation(std::string_view text) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    const auto name = text.substr(0, text.find('='));
    const bool valid = !name.empty() && letter(name.front()) &&
                       std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
    if (!valid || name.size() == text.size()) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not NAME=VALUE", text),
                    "a name is of letters, digits and _, and begins with no digit");
    }
    return Label(name, text.substr(name.size() + 1));
}

Result<Label> parse_label(std::string_view text) {
    auto label = parse_annotation(text);
    if (label && (label->first == "alertname" || label->first == "backend" || label->first == "__name__")) {
        return fail(Error::Kind::usage, fmt::format("the label {} cannot be set", label->first),
                    "alertname and backend are what the alert is about");
    }
    return label;
}

template <typename Number>
Result<Number> parse_number(std::string_view text) {
    Number value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || value < 1) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a whole number above 0", text));
    }
    return value;
}

Result<std::uint32_t> parse_samples(std::string_view text) {
    constexpr std::uint32_t most = 100;
    if (text == "0") {
        return 0U;
    }
    auto count = parse_number<std::uint32_t>(text);
    if (!count || *count > most) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a whole number from 0 to {}", text, most));
    }
    return count;
}

Result<Millis> parse_positive_duration(std::string_view text) {
    auto duration = parse_duration(text);
    if (duration && duration->count() == 0) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is too short", text), "a duration above 0, such as 5s");
    }
    return duration;
}

/// Longer than a rollout takes, and than windows usually are: what is forgotten begins at 0.
Result<Millis> parse_forgetting(std::string_view text) {
    constexpr Millis least = std::chrono::hours(1);
    auto duration = parse_duration(text);
    if (duration && duration->count() != 0 && *duration < least) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is too short", text), "1h or more, or 0 for never");
    }
    return duration;
}

Result<std::string> parse_codes(std::string_view text) {
    if (auto codes = measure::CodeSet::compile(std::string(text)); !codes) {
        return std::unexpected(codes.error());
    }
    return std::string(text);
}

Result<Url> parse_base_url(std::string_view text) {
    return parse_http_url(std::string(text.substr(0, text.size() - (text.ends_with('/') ? 1 : 0))));
}

/// A URL that others are given as it is.
Result<Url> parse_external_url(std::string_view text) {
    auto url = parse_base_url(text);
    if (url && (!is_request_uri(text) || text.find_first_of("?#") != std::string_view::npos)) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a URL to build on", url->shown),
                    "percent-encode its path, and leave out what is behind ? and #");
    }
    return url;
}

Result<std::string> parse_listen_address(std::string_view text) {
    if (!parse_host_port(text)) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not an address to listen on", text),
                    "HOST:PORT, [IPV6]:PORT or :PORT");
    }
    return std::string(text);
}

/// A name for the Host header and for TLS: nothing that would end either.
Result<std::string> parse_host_name(std::string_view text) {
    const bool plain = !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](unsigned char c) {
        return (c < 0x80 && std::isalnum(c) != 0) || c == '.' || c == '-' || c == '_';
    });
    if (!plain) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a host name", text),
                    "without scheme, port and path, such as traefik.example.com");
    }
    return std::string(text);
}

Result<bool> parse_yes_or_no(std::string_view text) {
    if (text != "true" && text != "false") {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is neither true nor false", text));
    }
    return text == "true";
}

Result<std::string> parse_text(std::string_view text) {
    return std::string(text);
}

Result<std::string> parse_allowed(std::string_view text) {
    if (auto allowed = traefik::parse_allow({std::string(text)}, "/"); !allowed) {
        return std::unexpected(allowed.error());
    }
    return std::string(text);
}

Result<std::string> one_of(std::initializer_list<std::string_view> words, std::string_view text) {
    if (std::ranges::find(words, text) != words.end()) {
        return std::string(text);
    }
    return fail(Error::Kind::usage, fmt::format("\"{}\" is not one of {}", text, fmt::join(words, ", ")));
}

Result<Names> parse_names(std::string_view text) {
    for (const auto names : {Names::backend, Names::service, Names::both}) {
        if (text == to_string(names)) {
            return names;
        }
    }
    return fail(Error::Kind::usage, fmt::format("\"{}\" is not one of backend, service, both", text));
}

Result<std::string> parse_log_level(std::string_view text) {
    return one_of({"trace", "debug", "info", "warning", "error"}, text);
}

Result<std::string> parse_probe_mode(std::string_view text) {
    return one_of({"auto", "on", "off"}, text);
}

Result<std::string> parse_log_format(std::string_view text) {
    return one_of({"logfmt", "json"}, text);
}

/// Reads an option's texts into its member: the last one, or each where the member is a list.
template <typename Value>
Result<void> read_into(Value& member, auto parse, const Texts& texts) {
    auto value = parse(texts.back());
    if (!value) {
        return std::unexpected(value.error());
    }
    member = *std::move(value);
    return {};
}

template <typename Value>
Result<void> read_into(std::vector<Value>& member, auto parse, const Texts& texts) {
    std::vector<Value> values;
    for (const auto& text : texts) {
        if (auto read = read_into(values.emplace_back(), parse, {text}); !read) {
            return read;
        }
    }
    member = std::move(values);
    return {};
}

Result<void> read_into(judge::Labels& member, auto parse, const Texts& texts) {
    judge::Labels labels;
    for (const auto& text : texts) {
        auto label = parse(text);
        if (!label) {
            return std::unexpected(label.error());
        }
        labels.insert_or_assign(std::move(label->first), std::move(label->second));
    }
    member = std::move(labels);
    return {};
}

/// The member that `path` leads to: a member of the Settings, or of its rule.
template <auto first, auto... rest>
constexpr auto& member_of(auto& owner) {
    if constexpr (sizeof...(rest) == 0) {
        return owner.*first;
    } else {
        return member_of<rest...>(owner.*first);
    }
}

/// An option whose texts `parse` reads into the member that `path` leads to.
template <auto parse, auto... path>
constexpr Option option(std::string_view name, std::string_view value, std::string_view initial,
                        std::string_view help) {
    using Member = std::remove_cvref_t<decltype(member_of<path...>(std::declval<Settings&>()))>;
    return {.name = name,
            .value = value,
            .initial = initial,
            .help = help,
            .repeatable = std::same_as<Member, Texts> || std::same_as<Member, std::vector<Url>> ||
                          std::same_as<Member, judge::Labels>,
            .map = std::same_as<Member, judge::Labels>,
            .of_rule = (std::same_as<decltype(path), judge::Rule Settings::*> || ...),
            .set = [](Settings& settings,
                      const Texts& texts) { return read_into(member_of<path...>(settings), parse, texts); },
            .same = [](const Settings& one,
                       const Settings& two) { return member_of<path...>(one) == member_of<path...>(two); },
            .copy = [](Settings& to, const Settings& from) { member_of<path...>(to) = member_of<path...>(from); }};
}

/// An option that a running agent cannot change: what is pinned, opened or named by it stays for its life.
constexpr Option until_restart(Option option) {
    option.reloadable = false;
    return option;
}

using S = Settings;
using R = judge::Rule;
using F = HttpFiles;
constexpr std::array all_options{
    option<parse_base_url, &S::traefik_api>("traefik.api", "URL", "", "Traefik's API; else found from the process"),
    option<parse_text, &S::traefik_api_username>("traefik.api.username", "NAME", "", "basic auth for the API"),
    option<parse_text, &S::traefik_api_password_file>("traefik.api.password-file", "FILE", "",
                                                      "the file that holds its password"),
    option<parse_text, &S::traefik_api_ca_file>("traefik.api.ca-file", "FILE", "",
                                                "the certificate authority of an https API, PEM"),
    option<parse_host_name, &S::traefik_api_host>(
        "traefik.api.host", "NAME", "", "the host that the API's router wants, where traefik.api has an address"),
    option<parse_yes_or_no, &S::traefik_api_insecure_skip_verify>(
        "traefik.api.insecure-skip-verify", "true|false", "false",
        "believe an https API whatever its certificate, such as Traefik's own default one"),
    until_restart(option<parse_number<int>, &S::traefik_pid>("traefik.pid", "PID", "",
                                                             "watch this process; found when not given")),
    until_restart(option<parse_text, &S::traefik_cgroup>("traefik.cgroup", "DIR", "",
                                                         "count in this cgroup v2 directory; found when not given")),
    until_restart(option<parse_allowed, &S::traefik_allow>(
        "traefik.allow", "WHO", "system,containers",
        "whose Traefiks count: system (root, system users), containers, a user, or a cgroup glob (/...)")),
    option<parse_text, &S::backends_file>("backends.file", "FILE", "",
                                          "static map of backends to their servers, where the API is off"),
    option<parse_positive_duration, &S::poll_interval>("poll.interval", "DURATION", "5s",
                                                       "time between two polls of the kernel's maps"),
    option<parse_positive_duration, &S::rule, &R::window>("alert.window", "DURATION", "3m",
                                                          "window of the built-in rule's rates"),
    option<parse_percent, &S::rule, &R::threshold_percent>("alert.threshold-percent", "PERCENT", "5",
                                                           "the built-in rule holds above this"),
    option<parse_duration, &S::rule, &R::for_duration>("alert.for", "DURATION", "1m",
                                                       "how long the built-in rule must hold before it fires"),
    option<parse_codes, &S::rule, &R::codes>("alert.codes", "REGEX", "4..",
                                             "the status codes that the built-in rule counts as errors"),
    option<parse_rate, &S::rule, &R::min_rate>("alert.min-rate", "RATE", "0",
                                               "the built-in rule holds only above so many responses a second"),
    option<parse_label, &S::rule, &R::labels>(
        "alert.labels", "NAME=VALUE", "", "a label of the built-in rule's alerts; without a value: none of that name"),
    option<parse_annotation, &S::rule, &R::annotations>("alert.annotations", "NAME=VALUE", "",
                                                        "an annotation of the built-in rule's alerts, likewise"),
    option<parse_percent, &S::connect_failures_percent>(
        "alert.connect-failures-percent", "PERCENT", "5",
        "UpstatBackendConnectFailures holds above this share of a backend's requests; 100: off"),
    option<parse_percent, &S::unanswered_percent>("alert.unanswered-percent", "PERCENT", "5",
                                                  "UpstatBackendUnanswered, likewise; 100: off"),
    until_restart(option<parse_listen_address, &S::web_listen_address>(
        "web.listen-address", "HOST:PORT", "127.0.0.1:9479", "serve /metrics and the API there")),
    option<parse_text, &S::web_config_file>("web.config.file", "FILE", "",
                                            "TLS, passwords and headers of the web server, as exporters have them"),
    option<parse_duration, &S::metrics_zero_for>("metrics.zero-for", "DURATION", "75s",
                                                 "a new series is shown at 0 for so long: longer than any scrape "
                                                 "interval"),
    until_restart(option<parse_names, &S::metrics_names>("metrics.names", "WORD", "backend",
                                                         "what Traefik's services are called: backend (as Traefik 1 "
                                                         "did), service, or both")),
    option<parse_external_url, &S::web_external_url>("web.external-url", "URL", "",
                                                     "where others reach this agent's pages: alerts link there"),
    option<parse_base_url, &S::push_url>("push.url", "URL", "", "push to this Pushgateway"),
    option<parse_text, &S::push_job>("push.job", "NAME", "upstat-push", "job of the pushed group"),
    until_restart(option<parse_text, &S::push_instance>(
        "push.instance", "NAME", "", "instance of the pushed group; this host's name when not given")),
    option<parse_positive_duration, &S::push_interval>("push.interval", "DURATION", "15s", "time between two pushes"),
    option<parse_text, &S::push_files, &F::ca_file>("push.ca-file", "FILE", "",
                                                    "the certificate authority of an https Pushgateway, PEM"),
    option<parse_text, &S::push_files, &F::bearer_token_file>("push.bearer-token-file", "FILE", "",
                                                              "the file that holds the Pushgateway's token"),
    option<parse_text, &S::push_files, &F::cert_file>("push.cert-file", "FILE", "",
                                                      "our certificate for the Pushgateway, PEM"),
    option<parse_text, &S::push_files, &F::key_file>("push.key-file", "FILE", "", "its key, PEM"),
    option<parse_base_url, &S::alertmanager_url>("alertmanager.url", "URL", "", "send alerts to this Alertmanager"),
    option<parse_text, &S::alertmanager_files, &F::ca_file>(
        "alertmanager.ca-file", "FILE", "", "the certificate authority of the https Alertmanagers, PEM"),
    option<parse_text, &S::alertmanager_files, &F::bearer_token_file>("alertmanager.bearer-token-file", "FILE", "",
                                                                      "the file that holds the Alertmanagers' token"),
    option<parse_text, &S::alertmanager_files, &F::cert_file>("alertmanager.cert-file", "FILE", "",
                                                              "our certificate for the Alertmanagers, PEM"),
    option<parse_text, &S::alertmanager_files, &F::key_file>("alertmanager.key-file", "FILE", "", "its key, PEM"),
    until_restart(option<parse_text, &S::state_path>("state.path", "DIR", "/var/lib/upstat",
                                                     "what is carried over a restart is kept there")),
    option<parse_forgetting, &S::forget_after>("state.forget-after", "DURATION", "7d",
                                               "a backend or a server that was neither listed nor asked for so long is "
                                               "forgotten, 1h at least; 0: never"),
    until_restart(option<parse_text, &S::bpf_pin_path>("bpf.pin-path", "DIR", "/sys/fs/bpf/upstat",
                                                       "the kernel's maps and programs are pinned there")),
    until_restart(option<parse_number<std::uint32_t>, &S::bpf_totals_size>(
        "bpf.totals-size", "COUNT", "65536", "series (server, code, method) that the kernel has room for")),
    until_restart(option<parse_number<std::uint32_t>, &S::bpf_requests_size>("bpf.requests-size", "COUNT", "16384",
                                                                             "servers that the kernel has room for")),
    until_restart(option<parse_samples, &S::samples>("samples", "COUNT", "0",
                                                     "keep the paths of so many requests of each server, whose "
                                                     "responses a rule counts as errors; 0: none")),
    option<parse_probe_mode, &S::probe_tls>("probe.tls", "MODE", "auto",
                                            "auto, on or off: count the responses of TLS and HTTP/2 servers, by a "
                                            "probe in Traefik; auto while there are any"),
    option<parse_log_level, &S::log_level>("log.level", "LEVEL", "info", "trace, debug, info, warning or error"),
    until_restart(option<parse_log_format, &S::log_format>("log.format", "FORMAT", "logfmt", "logfmt or json")),
};

}  // namespace

std::span<const Option> options() {
    return all_options;
}

const Option* find_option(std::string_view name) {
    const auto* const found = std::ranges::find(all_options, name, &Option::name);
    return found == all_options.end() ? nullptr : found;
}

std::vector<std::string_view> option_names() {
    std::vector<std::string_view> names;
    std::ranges::transform(all_options, std::back_inserter(names), &Option::name);
    return names;
}

std::string variable_of(std::string_view name) {
    std::string variable = "UPSTAT_";
    for (const char c : name) {
        variable += c == '.' || c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    return variable;
}

Result<Millis> parse_duration(std::string_view text) {
    constexpr std::array<std::pair<std::string_view, std::int64_t>, 7> units{
        {{"y", 31536000000}, {"w", 604800000}, {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}}};
    const auto wrong = [&] {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a duration", text), "such as 5s, 1m30s or 200ms");
    };
    if (text == "0") {
        return Millis(0);
    }
    std::int64_t total = 0;
    std::size_t next = 0;  // units go from long to short, each at most once
    auto rest = text;
    while (!rest.empty()) {
        std::int64_t count = 0;
        const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), count);
        if (parsed.ec != std::errc{} || count < 0 || rest.front() == '-') {
            return wrong();
        }
        rest.remove_prefix(static_cast<std::size_t>(parsed.ptr - rest.data()));
        const auto letters = rest.substr(0, std::min(rest.find_first_of("0123456789"), rest.size()));
        while (next < units.size() && units.at(next).first != letters) {
            next++;
        }
        if (next == units.size() || count > std::numeric_limits<std::int64_t>::max() / units.at(next).second / 8) {
            return wrong();
        }
        total += count * units.at(next).second;
        next++;
        rest.remove_prefix(letters.size());
    }
    return text.empty() ? wrong() : Result<Millis>(Millis(total));
}

}  // namespace upstat::config
