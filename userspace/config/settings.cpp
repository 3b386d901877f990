// SPDX-License-Identifier: Apache-2.0
#include "config/settings.hpp"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <ranges>
#include <system_error>

#include "measure/codes.hpp"

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

template <typename Number>
Result<Number> parse_number(std::string_view text) {
    Number value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || value < 1) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a whole number above 0", text));
    }
    return value;
}

Result<Millis> parse_positive_duration(std::string_view text) {
    auto duration = parse_duration(text);
    if (duration && duration->count() == 0) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is too short", text), "a duration above 0, such as 5s");
    }
    return duration;
}

Result<std::string> parse_codes(std::string_view text) {
    if (auto codes = measure::CodeSet::compile(std::string(text)); !codes) {
        return std::unexpected(codes.error());
    }
    return std::string(text);
}

Result<std::string> parse_url(std::string_view text) {
    if (!text.starts_with("http://") && !text.starts_with("https://")) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a URL", text),
                    "http://HOST:PORT or https://HOST:PORT");
    }
    return std::string(text.ends_with('/') ? text.substr(0, text.size() - 1) : text);
}

Result<std::string> parse_listen_address(std::string_view text) {
    const auto colon = text.rfind(':');
    const auto host = text.substr(0, colon == std::string_view::npos ? 0 : colon);
    const auto digits = text.substr(colon == std::string_view::npos ? text.size() : colon + 1);
    std::uint16_t port = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    const bool bracketed = host.starts_with('[') && host.ends_with(']');
    if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size() || (host.contains(':') && !bracketed)) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not an address to listen on", text),
                    "HOST:PORT, [IPV6]:PORT or :PORT");
    }
    return std::string(text);
}

Result<std::string> parse_text(std::string_view text) {
    return std::string(text);
}

template <const auto&... words>
Result<std::string> parse_word(std::string_view text) {
    if (((text == words) || ...)) {
        return std::string(text);
    }
    std::string all;
    ((all += (all.empty() ? "" : ", ") + std::string(words)), ...);
    return fail(Error::Kind::usage, fmt::format("\"{}\" is not one of {}", text, all));
}

/// Makes a setter of a member and the function that reads its text.
template <auto member, auto parse>
Result<void> set_one(Settings& settings, const std::vector<std::string>& texts) {
    auto value = parse(texts.back());
    if (!value) {
        return std::unexpected(value.error());
    }
    settings.*member = std::move(*value);
    return {};
}

template <auto member, auto parse>
Result<void> set_all(Settings& settings, const std::vector<std::string>& texts) {
    std::vector<std::string> values;
    for (const auto& text : texts) {
        auto value = parse(text);
        if (!value) {
            return std::unexpected(value.error());
        }
        values.push_back(std::move(*value));
    }
    settings.*member = std::move(values);
    return {};
}

template <auto member, auto parse>
Result<void> set_rule(Settings& settings, const std::vector<std::string>& texts) {
    auto value = parse(texts.back());
    if (!value) {
        return std::unexpected(value.error());
    }
    settings.rule.*member = std::move(*value);
    return {};
}

constexpr std::string_view trace = "trace", debug = "debug", info = "info", warning = "warning", error_level = "error";
constexpr std::string_view logfmt = "logfmt", json = "json";

constexpr auto log_level = parse_word<trace, debug, info, warning, error_level>;
constexpr auto log_format = parse_word<logfmt, json>;

using S = Settings;
constexpr std::array all_options{
    Option{"traefik.api", "URL", "", "Traefik's API; found from the process, else http://127.0.0.1:8080", true,
           set_all<&S::traefik_api, parse_url>},
    Option{"traefik.api.username", "NAME", "", "basic auth for the API", false,
           set_one<&S::traefik_api_username, parse_text>},
    Option{"traefik.api.password-file", "FILE", "", "the file that holds its password", false,
           set_one<&S::traefik_api_password_file, parse_text>},
    Option{"traefik.api.ca-file", "FILE", "", "the certificate authority of an https API, PEM", false,
           set_one<&S::traefik_api_ca_file, parse_text>},
    Option{"traefik.pid", "PID", "", "watch this process; found when not given", false,
           set_one<&S::traefik_pid, parse_number<int>>},
    Option{"traefik.cgroup", "DIR", "", "count in this cgroup v2 directory; found when not given", false,
           set_one<&S::traefik_cgroup, parse_text>},
    Option{"backends.file", "FILE", "", "static map of backends to their servers, where the API is off", false,
           set_one<&S::backends_file, parse_text>},
    Option{"poll.interval", "DURATION", "5s", "time between two polls of the kernel's maps", false,
           set_one<&S::poll_interval, parse_positive_duration>},
    Option{"alert.window", "DURATION", "3m", "window of the built-in rule's rates", false,
           set_rule<&judge::Rule::window, parse_positive_duration>},
    Option{"alert.threshold-percent", "PERCENT", "5", "the built-in rule holds above this", false,
           set_rule<&judge::Rule::threshold_percent, parse_percent>},
    Option{"alert.for", "DURATION", "1m", "how long the built-in rule must hold before it fires", false,
           set_rule<&judge::Rule::for_duration, parse_duration>},
    Option{"alert.codes", "REGEX", "4..", "the status codes that the built-in rule counts as errors", false,
           set_rule<&judge::Rule::codes, parse_codes>},
    Option{"web.listen-address", "HOST:PORT", "127.0.0.1:9479", "serve /metrics and the API there", true,
           set_all<&S::web_listen_address, parse_listen_address>},
    Option{"push.url", "URL", "", "push to this Pushgateway", false, set_one<&S::push_url, parse_url>},
    Option{"push.job", "NAME", "upstat", "job of the pushed group", false, set_one<&S::push_job, parse_text>},
    Option{"push.instance", "NAME", "", "instance of the pushed group; this host's name when not given", false,
           set_one<&S::push_instance, parse_text>},
    Option{"push.interval", "DURATION", "15s", "time between two pushes", false,
           set_one<&S::push_interval, parse_positive_duration>},
    Option{"alertmanager.url", "URL", "", "send alerts to this Alertmanager", true,
           set_all<&S::alertmanager_url, parse_url>},
    Option{"state.path", "DIR", "/var/lib/upstat", "what is carried over a restart is kept there", false,
           set_one<&S::state_path, parse_text>},
    Option{"bpf.pin-path", "DIR", "/sys/fs/bpf/upstat", "the kernel's maps and programs are pinned there", false,
           set_one<&S::bpf_pin_path, parse_text>},
    Option{"bpf.totals-size", "COUNT", "65536", "series (server, code, method) that the kernel has room for", false,
           set_one<&S::bpf_totals_size, parse_number<std::uint32_t>>},
    Option{"bpf.requests-size", "COUNT", "16384", "servers that the kernel has room for", false,
           set_one<&S::bpf_requests_size, parse_number<std::uint32_t>>},
    Option{"log.level", "LEVEL", "info", "trace, debug, info, warning or error", false,
           set_one<&S::log_level, log_level>},
    Option{"log.format", "FORMAT", "logfmt", "logfmt or json", false, set_one<&S::log_format, log_format>},
};

const Option* find_option(std::string_view name) {
    const auto* const found = std::ranges::find(all_options, name, &Option::name);
    return found == all_options.end() ? nullptr : found;
}

/// Whether options stand below this name.
bool is_section(const std::string& name) {
    return std::ranges::any_of(all_options, [&](const Option& option) { return option.name.starts_with(name + "."); });
}

/// The option whose name shares most with a mistyped one: for the hint.
std::string nearest(std::string_view name) {
    std::string_view best;
    std::size_t most = 0;
    for (const auto& option : all_options) {
        const auto same = static_cast<std::size_t>(std::ranges::mismatch(option.name, name).in1 - option.name.begin());
        const auto score = same + (option.name.ends_with(name.substr(name.rfind('.') + 1)) ? name.size() : 0);
        if (score > most) {
            most = score;
            best = option.name;
        }
    }
    return best.empty() ? "" : fmt::format("did you mean {}?", best);
}

Error file_error(const std::string& path, const YAML::Mark& mark, const std::string& message, std::string hint = {}) {
    return {.kind = Error::Kind::usage,
            .message = fmt::format("{}:{}: {}", path, mark.line + 1, message),
            .hint = std::move(hint)};
}

/// Reads a settings file: flattens nested keys to dotted ones.
class FileReader {
  public:
    FileReader(std::string path, FileSettings& into) : path_(std::move(path)), into_(into) {}

    void read_map(const YAML::Node& map, const std::string& prefix) {
        for (const auto& entry : map) {
            const auto name = prefix + entry.first.Scalar();
            if (name == "alert.rules") {
                read_rules(entry.second);
            } else if (entry.second.IsNull() && is_section(name)) {
                continue;  // a section whose keys are all commented out
            } else if (entry.second.IsMap()) {
                read_map(entry.second, name + ".");
            } else {
                read_option(name, entry.first.Mark(), entry.second);
            }
        }
    }

  private:
    void mistake(const YAML::Mark& mark, const std::string& message, const std::string& hint = {}) {
        into_.errors.push_back(file_error(path_, mark, message, hint));
    }

    void read_option(const std::string& name, const YAML::Mark& mark, const YAML::Node& value) {
        const auto* const option = find_option(name);
        if (option == nullptr) {
            mistake(mark, fmt::format("unknown key {}", name), nearest(name));
            return;
        }
        if (into_.given.contains(name)) {
            mistake(mark, fmt::format("{} is given twice", name));
            return;
        }
        std::vector<std::string> values;
        if (value.IsScalar()) {
            values.push_back(value.Scalar());
        } else if (value.IsSequence() && option->repeatable) {
            for (const auto& item : value) {
                values.push_back(item.IsScalar() ? item.Scalar() : "");
            }
        }
        if (values.empty()) {
            mistake(value.Mark(),
                    fmt::format("{} needs a {}{}", name, option->repeatable ? "list or a " : "", "value"));
            return;
        }
        Settings scratch;
        if (auto set = option->set(scratch, values); !set) {
            mistake(value.Mark(), fmt::format("{}: {}", name, set.error().message), set.error().hint);
            return;
        }
        into_.given[name] = std::move(values);
    }

    void read_rules(const YAML::Node& rules) {
        if (!rules.IsSequence()) {
            mistake(rules.Mark(), "alert.rules needs a list of rules");
            return;
        }
        for (const auto& rule : rules) {
            read_rule(rule);
        }
    }

    void read_rule(const YAML::Node& node) {
        if (!node.IsMap() || !node["name"]) {
            mistake(node.Mark(), "a rule needs a name",
                    "name, and of codes, window, for, threshold-percent, severity what differs");
            return;
        }
        Settings scratch;  // a rule of the file begins as the built-in one
        for (const auto& entry : node) {
            const auto key = entry.first.Scalar();
            const auto text = entry.second.IsScalar() ? entry.second.Scalar() : std::string();
            if (key == "name") {
                scratch.rule.name = text;
            } else if (key == "severity") {
                scratch.rule.severity = text;
            } else if (const auto* const option = find_option("alert." + key); option != nullptr) {
                if (auto set = option->set(scratch, {text}); !set) {
                    mistake(entry.second.Mark(), fmt::format("{}: {}", key, set.error().message), set.error().hint);
                }
            } else {
                mistake(entry.first.Mark(), fmt::format("unknown key {} in a rule", key),
                        "name, codes, window, for, threshold-percent and severity are known");
            }
        }
        const auto known = [&](const judge::Rule& rule) { return rule.name == scratch.rule.name; };
        if (scratch.rule.name == judge::Rule{}.name || std::ranges::any_of(into_.rules, known)) {
            mistake(node.Mark(), fmt::format("there is a rule {} already", scratch.rule.name));
            return;
        }
        into_.rules.push_back(scratch.rule);
    }

    std::string path_;
    FileSettings& into_;
};

void apply(Settings& settings, std::vector<Error>& errors, const Given& given, const auto& where) {
    for (const auto& [name, values] : given) {
        if (auto set = find_option(name)->set(settings, values); !set) {
            errors.push_back({.kind = Error::Kind::usage,
                              .message = fmt::format("{}: {}", where(name), set.error().message),
                              .hint = set.error().hint});
        }
    }
}

std::string host_name() {
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace

std::vector<judge::Rule> Settings::all_rules() const {
    std::vector<judge::Rule> all{rule};
    all.insert(all.end(), rules.begin(), rules.end());
    return all;
}

std::span<const Option> options() {
    return all_options;
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

FileSettings read_settings_file(const std::string& path) {
    FileSettings file;
    try {
        const auto root = YAML::LoadFile(path);
        if (root.IsMap()) {
            FileReader(path, file).read_map(root, "");
        } else if (!root.IsNull()) {
            file.errors.push_back(file_error(path, root.Mark(), "a settings file is a map of keys to values"));
        }
    } catch (const YAML::BadFile&) {
        const auto reason = std::generic_category().message(access(path.c_str(), R_OK) == 0 ? EIO : errno);
        file.errors.push_back({.kind = Error::Kind::usage,
                               .message = fmt::format("cannot read {}: {}", path, reason),
                               .hint = "name another --config.file, or none: everything has a default"});
    } catch (const YAML::Exception& error) {
        file.errors.push_back(file_error(path, error.mark, error.msg));
    }
    return file;
}

Given read_environment() {
    Given given;
    for (const auto& option : all_options) {
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
    Given initial;
    for (const auto& option : all_options) {
        if (!option.initial.empty()) {
            initial[std::string(option.name)] = {std::string(option.initial)};
        }
    }
    apply(settings, errors, initial, [](const std::string& name) { return "the default of " + name; });
    apply(settings, errors, file.given, [&](const std::string& name) { return file_name + ": " + name; });
    apply(settings, errors, variables, [](const std::string& name) { return variable_of(name); });
    apply(settings, errors, flags, [](const std::string& name) { return "--" + name; });
    settings.rules = file.rules;
    if (settings.push_instance.empty()) {
        settings.push_instance = host_name();
    }
    if (!settings.traefik_api_username.empty() && settings.traefik_api.empty()) {
        errors.push_back({.kind = Error::Kind::usage,
                          .message = "traefik.api.username without traefik.api: an address that is found is told by "
                                     "whatever process is called traefik, and would be told the password",
                          .hint = "name the API, such as --traefik.api=http://127.0.0.1:8080"});
    }
    for (const auto& rule : settings.all_rules()) {
        if (rule.window < settings.poll_interval * 2) {
            errors.push_back(
                {.kind = Error::Kind::usage,
                 .message = fmt::format("the rule {} has a window of less than two polls, of which it would "
                                        "never see the increase",
                                        rule.name),
                 .hint = "make alert.window at least twice poll.interval"});
        }
    }
    if (!errors.empty()) {
        return std::unexpected(std::move(errors));
    }
    return settings;
}

}  // namespace upstat::config
