// SPDX-License-Identifier: Apache-2.0
#include "traefik/api_address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <toml++/toml.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "attribute/catalogue.hpp"
#include "base/host_port.hpp"
#include "base/printable.hpp"
#include "base/regular_file.hpp"
#include "traefik/proc.hpp"

namespace upstat::traefik {

namespace fs = std::filesystem;

namespace {

constexpr auto default_address = ":8080";
constexpr std::size_t max_file = std::size_t{64} << 10;
constexpr std::size_t max_addresses = std::size_t{64} << 20;  ///< of a network namespace, with its routes
constexpr std::size_t max_base_path = 512;
constexpr std::size_t max_shown = 100;

using Settings = ConfigurationFile::Settings;

using Path = std::span<const std::string_view>;
constexpr std::array<std::string_view, 3> address_path{"entrypoints", "traefik", "address"};
constexpr std::array<std::string_view, 1> entry_points_path{"entrypoints"};
constexpr std::array<std::string_view, 1> api_path{"api"};
constexpr std::array<std::string_view, 1> v1_api_path{"web"};
constexpr std::array<std::string_view, 2> base_path_path{"api", "basepath"};
/// Settings that say where Traefik sends requests of its own.
constexpr std::array<std::string_view, 6> asked_names{"providers.http.endpoint",      "metrics.otlp.http.endpoint",
                                                      "metrics.influxdb2.address",    "log.otlp.http.endpoint",
                                                      "accesslog.otlp.http.endpoint", "tracing.otlp.http.endpoint"};
constexpr std::size_t max_asked = 512;
constexpr std::array<std::string_view, 3> file_path{"providers", "file", "filename"};
constexpr std::array<std::string_view, 3> directory_path{"providers", "file", "directory"};
constexpr std::array<std::string_view, 2> flattening_path{"hostresolver", "cnameflattening"};
constexpr std::string_view flattening = "hostresolver.cnameflattening";
constexpr std::array<std::string_view, 2> fast_proxy_path{"experimental", "fastproxy"};
constexpr std::string_view fast_proxy = "experimental.fastproxy";
constexpr auto ways_out = "--traefik.api says where it is, or --backends.file which servers there are";

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
    return result;
}

// --- the process's strings ---

/// The flags and their values: "-name=value", "--name value"; names in lower case.
std::vector<std::pair<std::string, std::string>> flags_of(const std::vector<std::string>& arguments) {
    std::vector<std::pair<std::string, std::string>> flags;
    for (std::size_t at = 1; at < arguments.size(); ++at) {
        std::string_view argument = arguments[at];
        if (!argument.starts_with('-')) {
            continue;
        }
        argument.remove_prefix(argument.starts_with("--") ? 2 : 1);
        const auto equals = argument.find('=');
        if (equals != std::string_view::npos) {
            flags.emplace_back(lower(argument.substr(0, equals)), argument.substr(equals + 1));
        } else if (at + 1 < arguments.size()) {
            flags.emplace_back(lower(argument), arguments[at + 1]);
        }
    }
    return flags;
}

/// The last value of a flag.
std::optional<std::string> flag(const std::vector<std::string>& arguments, std::string_view name) {
    std::optional<std::string> value;
    for (const auto& [spelled, given] : flags_of(arguments)) {
        value = spelled == name ? std::optional(given) : value;
    }
    return value;
}

/// "api", or "api.insecure" and all else below it. Traefik 1 had "web" before.
bool is_api(std::string_view name, char separator) {
    return name == "web" || name == "api" || (name.starts_with("api") && name[3] == separator);
}

/// "experimental.fastProxy", or "experimental.fastProxy.debug".
bool is_fast_proxy(std::string_view name, char separator) {
    const auto experimental = name.substr(0, fast_proxy.find('.'));
    name.remove_prefix(experimental.size());
    return fast_proxy.starts_with(experimental) && name.starts_with(separator) &&
           name.substr(1, name.find(separator, 1) - 1) == fast_proxy_path[1];
}

bool is_false(const std::string& value) {
    const auto text = lower(value);
    return text == "false" || text == "f" || text == "0";
}

/// A flag without "=" is true, whatever stands behind it. `is_it` says whether a name is meant.
bool has_flag(const std::vector<std::string>& arguments, auto&& is_it) {
    return std::any_of(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end(), [&](std::string_view one) {
        const auto name = lower(one.substr(std::min(one.find_first_not_of('-'), one.size())));
        const auto equals = std::min(name.find('='), name.size());
        return one.starts_with('-') && is_it(name.substr(0, equals)) &&
               (equals == name.size() || !is_false(name.substr(equals + 1)));
    });
}

bool has_variable(const std::vector<std::string>& environment, auto&& is_it) {
    static constexpr std::string_view prefix = "traefik_";
    return std::ranges::any_of(environment, [&](const std::string& one) {
        const auto name = lower(one.substr(0, one.find('=')));
        return name.starts_with(prefix) && is_it(name.substr(prefix.size())) &&
               !is_false(one.substr(std::min(name.size() + 1, one.size())));
    });
}

/// Takes in an entry point's address whose setting is spelled PREFIX NAME SUFFIX, in any case.
void add_entry_point(std::map<std::string, std::string>& entry_points, std::string_view spelled,
                     std::string_view prefix, std::string_view suffix, std::string_view address) {
    const auto name = lower(spelled);
    if (name.size() > prefix.size() + suffix.size() && name.starts_with(prefix) && name.ends_with(suffix)) {
        entry_points.emplace(name.substr(prefix.size(), name.size() - prefix.size() - suffix.size()), address);
    }
}

/// What follows a key among words, which may hold passwords too: "Name:http Address::80 Auth.Basic.Users:...".
std::string word_of(std::string_view words, std::string_view key) {
    for (const auto& word : split(words, ' ')) {
        if (lower(word).starts_with(key)) {
            return lower(word.substr(key.size()));
        }
    }
    return {};
}

/// --entryPoints.NAME.address=ADDRESS, and Traefik 1's --entryPoints="Name:NAME Address:ADDRESS".
std::map<std::string, std::string> entry_points_of(const std::vector<std::string>& arguments) {
    std::map<std::string, std::string> entry_points;
    for (const auto& [name, value] : flags_of(arguments)) {
        add_entry_point(entry_points, name, "entrypoints.", ".address", value);
        if (name == "entrypoints") {
            entry_points.emplace(word_of(value, "name:"), word_of(value, "address:"));
        }
    }
    return entry_points;
}

std::map<std::string, std::string> entry_points_in(const std::vector<std::string>& environment) {
    std::map<std::string, std::string> entry_points;
    for (const std::string_view one : environment) {
        if (const auto equals = one.find('='); equals != std::string_view::npos) {
            add_entry_point(entry_points, one.substr(0, equals), "traefik_entrypoints_", "_address",
                            one.substr(equals + 1));
        }
    }
    return entry_points;
}

std::optional<std::string> variable(const std::vector<std::string>& environment, std::string_view name) {
    for (const auto& one : environment) {
        if (one.size() > name.size() && one[name.size()] == '=' && lower(one.substr(0, name.size())) == lower(name)) {
            return one.substr(name.size() + 1);
        }
    }
    return std::nullopt;
}

/// `value_of` says what a setting is by its name.
std::vector<std::string> asked_by(auto&& value_of) {
    std::vector<std::string> asked;
    for (const auto name : asked_names) {
        if (auto value = value_of(name); value && value->size() <= max_asked && attribute::endpoint_of(*value)) {
            asked.push_back(*std::move(value));
        }
    }
    return asked;
}

/// A setting's name as a variable's.
std::string variable_for(std::string_view name) {
    std::string text = fmt::format("traefik_{}", name);
    std::ranges::replace(text, '.', '_');
    return text;
}

Settings settings_of(const std::vector<std::string>& arguments) {
    return {.address = flag(arguments, "entrypoints.traefik.address"),
            .base_path = flag(arguments, "api.basepath"),
            .api = has_flag(arguments, [](const auto& name) { return is_api(name, '.'); }),
            .entry_points = entry_points_of(arguments),
            .file = flag(arguments, "providers.file.filename"),
            .directory = flag(arguments, "providers.file.directory"),
            .asked = asked_by([&](std::string_view name) { return flag(arguments, name); }),
            .flattens = has_flag(arguments, [](const auto& name) { return name == flattening; }),
            .is_fast = has_flag(arguments, [](const auto& name) { return is_fast_proxy(name, '.'); })};
}

Settings settings_in(const std::vector<std::string>& environment) {
    return {.address = variable(environment, "TRAEFIK_ENTRYPOINTS_TRAEFIK_ADDRESS"),
            .base_path = variable(environment, "TRAEFIK_API_BASEPATH"),
            .api = has_variable(environment, [](const auto& name) { return is_api(name, '_'); }),
            .entry_points = entry_points_in(environment),
            .file = variable(environment, "TRAEFIK_PROVIDERS_FILE_FILENAME"),
            .directory = variable(environment, "TRAEFIK_PROVIDERS_FILE_DIRECTORY"),
            .asked = asked_by([&](std::string_view name) { return variable(environment, variable_for(name)); }),
            .flattens = has_variable(environment,
                                     [](const auto& name) { return "traefik_" + name == variable_for(flattening); }),
            .is_fast = has_variable(environment, [](const auto& name) { return is_fast_proxy(name, '_'); })};
}

// --- the configuration file; keys are in any case there too ---

YAML::Node node_in(YAML::Node node, Path path) {
    for (const auto key : path) {
        if (!node.IsMap()) {
            return YAML::Node(YAML::NodeType::Undefined);
        }
        YAML::Node next(YAML::NodeType::Undefined);
        for (const auto& entry : node) {
            if (entry.first.IsScalar() && lower(entry.first.Scalar()) == key) {
                next.reset(entry.second);
            }
        }
        if (!next.IsDefined()) {
            return next;
        }
        node.reset(next);
    }
    return node;
}

std::optional<std::string> in_yaml(const YAML::Node& document, Path path) {
    const auto node = node_in(document, path);
    return node.IsDefined() && node.IsScalar() ? std::optional(node.Scalar()) : std::nullopt;
}

/// Whether there is one, and it is not false.
bool has(const YAML::Node& document, Path path) {
    const auto node = node_in(document, path);
    return node.IsDefined() && !(node.IsScalar() && is_false(node.Scalar()));
}

std::map<std::string, std::string> entry_points_in_yaml(const YAML::Node& document) {
    std::map<std::string, std::string> entry_points;
    const auto named = node_in(document, entry_points_path);
    if (!named.IsDefined() || !named.IsMap()) {
        return entry_points;
    }
    for (const auto& entry : named) {
        if (const auto address = in_yaml(entry.second, Path(address_path).last(1)); address && entry.first.IsScalar()) {
            entry_points.emplace(lower(entry.first.Scalar()), *address);
        }
    }
    return entry_points;
}

const toml::node* node_in(const toml::table& document, Path path) {
    const toml::node* node = &document;
    for (const auto key : path) {
        const auto* const table = node->as_table();
        node = nullptr;
        if (table == nullptr) {
            return nullptr;
        }
        for (const auto& [name, value] : *table) {
            if (lower(name.str()) == key) {
                node = &value;
            }
        }
        if (node == nullptr) {
            return nullptr;
        }
    }
    return node;
}

std::optional<std::string> in_toml(const toml::table& document, Path path) {
    const auto* const node = node_in(document, path);
    return node == nullptr ? std::nullopt : node->value<std::string>();
}

std::map<std::string, std::string> entry_points_in_toml(const toml::table& document) {
    std::map<std::string, std::string> entry_points;
    const auto* const named = node_in(document, entry_points_path);
    if (named == nullptr || !named->is_table()) {
        return entry_points;
    }
    for (const auto& [name, entry] : *named->as_table()) {
        const auto* const table = entry.as_table();
        if (const auto address = table == nullptr ? std::nullopt : in_toml(*table, Path(address_path).last(1))) {
            entry_points.emplace(lower(name.str()), *address);
        }
    }
    return entry_points;
}

bool has(const toml::table& document, Path path) {
    const auto* const node = node_in(document, path);
    return node != nullptr && node->value<bool>().value_or(true);
}

/// A setting's name as a path in a file.
std::vector<std::string_view> path_to(std::string_view name) {
    std::vector<std::string_view> path;
    for (auto dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.')) {
        path.push_back(name.substr(0, dot));
        name.remove_prefix(dot + 1);
    }
    path.push_back(name);
    return path;
}

/// Throws what the libraries throw on a broken file.
Settings parsed(const std::string& text, bool toml) {
    if (toml) {
        const toml::table document = toml::parse(text);
        return {.address = in_toml(document, address_path),
                .base_path = in_toml(document, base_path_path),
                .api = has(document, api_path) || has(document, v1_api_path),
                .entry_points = entry_points_in_toml(document),
                .file = in_toml(document, file_path),
                .directory = in_toml(document, directory_path),
                .asked = asked_by([&](std::string_view name) { return in_toml(document, path_to(name)); }),
                .flattens = has(document, flattening_path),
                .is_fast = has(document, fast_proxy_path)};
    }
    const auto document = YAML::Load(text);
    return {.address = in_yaml(document, address_path),
            .base_path = in_yaml(document, base_path_path),
            .api = has(document, api_path) || has(document, v1_api_path),
            .entry_points = entry_points_in_yaml(document),
            .file = in_yaml(document, file_path),
            .directory = in_yaml(document, directory_path),
            .asked = asked_by([&](std::string_view name) { return in_yaml(document, path_to(name)); }),
            .flattens = has(document, flattening_path),
            .is_fast = has(document, fast_proxy_path)};
}

ConfigurationFile read_file_at(const std::string& path, const RegularFile& file) {
    ConfigurationFile read{.path = path, .status = file.status, .settings = {}, .problem = {}};
    const auto text = read_at(file.fd, 0, max_file + 1);
    if (text.size() > max_file) {
        read.problem = fmt::format("is longer than {} KB", max_file >> 10);
        return read;
    }
    try {
        read.settings = parsed(text, lower(path).ends_with(".toml"));
    } catch (const std::exception&) {  // its words would show what is in the file
        read.problem = "cannot be parsed";
    }
    return read;
}

/// The time of change is not an owner's to set.
bool is_same(const ConfigurationFile& known, const RegularFile& file, const std::string& path) {
    const auto& status = file.status;
    return known.path == path && known.status.st_dev == status.st_dev && known.status.st_ino == status.st_ino &&
           known.status.st_size == status.st_size && known.status.st_ctim.tv_sec == status.st_ctim.tv_sec &&
           known.status.st_ctim.tv_nsec == status.st_ctim.tv_nsec;
}

/// $NAME and ${NAME} as Go's os.ExpandEnv has them: an unset name is nothing.
std::string expanded(std::string_view text, const std::vector<std::string>& environment) {
    std::string result;
    while (!text.empty()) {
        if (!text.starts_with('$')) {
            result += text.front();
            text.remove_prefix(1);
            continue;
        }
        const bool braced = text.starts_with("${");
        text.remove_prefix(braced ? 2 : 1);
        const auto* const end =
            std::ranges::find_if_not(text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
        const auto length = static_cast<std::size_t>(end - text.begin());
        result += variable(environment, text.substr(0, length)).value_or("");
        text.remove_prefix(std::min(text.size(), length + (braced ? 1 : 0)));
    }
    return result;
}

/// An absolute path as the process sees it.
std::string absolute(const OpenedConfiguration& process, const std::string& path) {
    if (path.starts_with('/')) {
        return path;
    }
    auto directory = process.cwd;
    if (!process.root.empty() && process.root != "/" && directory.starts_with(process.root)) {
        directory.erase(0, process.root.size());  // a chroot: the link tells the path as we see it
    }
    return (fs::path(directory.empty() ? "/" : directory) / path).string();
}

/// As Traefik does: of a file its directory is watched.
std::string watched_directory(const OpenedConfiguration& process, const Settings& settings) {
    if (settings.directory && !settings.directory->empty()) {
        return absolute(process, *settings.directory);
    }
    return settings.file && !settings.file->empty() ? fs::path(absolute(process, *settings.file)).parent_path().string()
                                                    : "";
}

std::vector<std::string> candidates(const OpenedConfiguration& process) {
    if (const auto named = flag(process.arguments, "configfile")) {
        return {*named};
    }
    std::vector<std::string> files;
    for (const auto* const base :
         {"/etc/traefik/traefik", "$XDG_CONFIG_HOME/traefik", "$HOME/.config/traefik", "./traefik"}) {
        for (const auto* const extension : {".toml", ".yaml", ".yml"}) {
            files.push_back(std::string(base) + extension);
        }
    }
    return files;
}

/// A path of plain segments (RFC 3986, without what is encoded): nothing that would end it, as ? and # do, make it a
/// host's, as @ might, or lead out of it.
bool is_plain_path(const std::string& path) {
    static constexpr std::string_view others = "-._~!$&'()*+,;=:/";
    return path.size() <= max_base_path && !path.contains("..") && std::ranges::all_of(path, [](unsigned char c) {
               return (c < 0x80 && std::isalnum(c) != 0) || others.contains(static_cast<char>(c));
           });
}

/// Whether an address belongs to the network namespace of a process. The kernel lists those of IPv4 as leaves of its
/// routing tables, an address line before a line with what it is.
bool is_address_of(const OpenedConfiguration& process, const std::string& host) {
    std::string before;
    for (const auto& line : split(read_at(process.addresses_v4, 0, max_addresses), '\n')) {
        if (line.ends_with("/32 host LOCAL") && before.ends_with(" " + host)) {
            return true;
        }
        before = line;
    }
    in6_addr address{};
    if (inet_pton(AF_INET6, host.c_str(), &address) != 1) {
        return false;
    }
    std::string digits;
    for (const auto byte : address.s6_addr) {
        digits += fmt::format("{:02x}", byte);
    }
    const auto lines = split(read_at(process.addresses_v6, 0, max_addresses), '\n');
    return std::ranges::any_of(lines, [&digits](const std::string& line) { return line.starts_with(digits + " "); });
}

/// Where Traefik itself listens, as far as that can be: whoever wrote its settings must not have us ask others.
std::expected<std::string, std::string> url_for(const OpenedConfiguration& process, const Settings& settings) {
    const auto address = settings.address.value_or(default_address);
    const auto listener = parse_host_port(address.substr(0, address.find('/')));  // ":9000/tcp"
    const auto reached = listener ? reached_locally(*listener) : HostPort{};
    const auto url = "http://" + to_string(reached);
    if (!listener || !attribute::endpoint_of(url) ||
        (!is_loopback(reached.host) && !is_address_of(process, reached.host))) {
        return std::unexpected(fmt::format("'{}' is no address of its host", printable(address, max_shown)));
    }
    auto base = settings.base_path.value_or("");
    if (!is_plain_path(base)) {
        return std::unexpected(fmt::format("'{}' is no plain path", printable(base, max_shown)));
    }
    while (base.ends_with('/')) {
        base.pop_back();
    }
    return url + (base.empty() || base.starts_with('/') ? "" : "/") + base;
}

/// The entry point, other than Traefik's own, that listens on this port.
std::optional<std::string> public_at(std::uint16_t port, const Settings& settings) {
    for (const auto& [name, address] : settings.entry_points) {
        const auto listener = parse_host_port(std::string_view(address).substr(0, address.find('/')));
        if (name != "traefik" && listener && listener->port == port) {
            return name;
        }
    }
    return std::nullopt;
}

ApiAddress not_asked(std::string why) {
    return {.url = {}, .source = std::move(why)};
}

/// As Go reads it. Its value may hold a password.
std::string proxy_of(const std::vector<std::string>& environment) {
    for (const std::string name : {"HTTP_PROXY", "http_proxy"}) {
        if (std::ranges::any_of(environment, [&name](const std::string& one) {
                return one.starts_with(name + "=") && one.size() > name.size() + 1;
            })) {
            return name;
        }
    }
    return "";
}

ApiAddress with_others(ApiAddress address, const OpenedConfiguration& process, const Settings& settings) {
    address.files = watched_directory(process, settings);
    address.asked = settings.asked;
    address.flattens = settings.flattens;
    address.is_fast = settings.is_fast;
    address.proxy = proxy_of(process.environment);
    return address;
}

ApiAddress named(const OpenedConfiguration& process, const Settings& settings, const std::string& source) {
    const bool has_entry_point = settings.address || settings.entry_points.contains("traefik");
    if (!settings.api && !has_entry_point) {
        return not_asked(fmt::format("{} has neither an api nor an entry point 'traefik' (api.insecure gives both): {}",
                                     source, ways_out));
    }
    const auto url = url_for(process, settings);
    if (!url) {
        return not_asked(fmt::format("in {} {}: {}", source, url.error(), ways_out));
    }
    const auto port = attribute::endpoint_of(*url)->port;
    if (const auto name = public_at(port, settings)) {
        return not_asked(fmt::format("Traefik's entry point '{}' is on port {}, where its API would be: {}",
                                     printable(*name, max_shown), port, ways_out));
    }
    return {.url = *url, .source = settings.address || settings.base_path ? source : "Traefik's default"};
}

}  // namespace

OpenedConfiguration open_configuration(const fs::path& root, pid_t pid) {
    const auto proc = proc_of(root, pid);
    std::error_code error;
    OpenedConfiguration opened{.pid = pid,
                               .arguments = strings_of(proc / "cmdline"),
                               .environment = strings_of(proc / "environ"),
                               .cwd = fs::read_symlink(proc / "cwd", error).string(),
                               .root = fs::read_symlink(proc / "root", error).string(),
                               .addresses_v4 = open_regular(proc / "net/fib_trie").fd,
                               .addresses_v6 = open_regular(proc / "net/if_inet6").fd};
    for (const auto& candidate : candidates(opened)) {
        auto path = absolute(opened, expanded(candidate, opened.environment));
        if (auto file = open_regular_inside(proc / "root", path); file.fd) {
            opened.path = std::move(path);
            opened.file = std::move(file);
            break;
        }
    }
    return opened;
}

ApiAddress api_address(const OpenedConfiguration& opened, ConfigurationFile& known) {
    if (opened.file.fd) {
        if (!is_same(known, opened.file, opened.path)) {
            known = read_file_at(opened.path, opened.file);
        }
        const auto shown = printable(opened.path, max_shown);
        if (!known.problem.empty()) {  // it has changed since Traefik read it
            auto address = not_asked(fmt::format("{} {}: {}", shown, known.problem, ways_out));
            address.flattens = true;  // for all that is known
            return address;
        }
        return with_others(named(opened, known.settings, shown), opened, known.settings);
    }
    const bool has_flags = opened.arguments.size() > 1;
    const auto settings = has_flags ? settings_of(opened.arguments) : settings_in(opened.environment);
    const auto source = fmt::format("the {} of process {}", has_flags ? "command line" : "environment", opened.pid);
    return with_others(named(opened, settings, source), opened, settings);
}

}  // namespace upstat::traefik
