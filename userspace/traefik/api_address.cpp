// SPDX-License-Identifier: Apache-2.0
#include "traefik/api_address.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <toml++/toml.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

#include "attribute/catalogue.hpp"
#include "base/fd.hpp"
#include "base/host_port.hpp"
#include "traefik/proc.hpp"

namespace upstat::traefik {

namespace fs = std::filesystem;

namespace {

constexpr auto default_address = ":8080";
constexpr std::size_t max_file = std::size_t{4} << 20;

/// What one way of configuring Traefik says.
struct Settings {
    std::optional<std::string> address;
    std::optional<std::string> base_path;
};

using Path = std::span<const std::string_view>;
constexpr std::array<std::string_view, 3> address_path{"entrypoints", "traefik", "address"};
constexpr std::array<std::string_view, 2> base_path_path{"api", "basepath"};

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
    return result;
}

// --- the process's strings ---

/// The last value of a flag: "-name=value", "--name value", in any case.
std::optional<std::string> flag(const std::vector<std::string>& arguments, const std::string& name) {
    std::optional<std::string> value;
    for (std::size_t at = 1; at < arguments.size(); ++at) {
        std::string_view argument = arguments[at];
        if (!argument.starts_with('-')) {
            continue;
        }
        argument.remove_prefix(argument.starts_with("--") ? 2 : 1);
        const auto equals = argument.find('=');
        if (lower(argument.substr(0, equals)) != name) {
            continue;
        }
        if (equals != std::string_view::npos) {
            value = argument.substr(equals + 1);
        } else if (at + 1 < arguments.size()) {
            value = arguments[at + 1];
        }
    }
    return value;
}

std::optional<std::string> variable(const std::vector<std::string>& environment, std::string_view name) {
    for (const auto& one : environment) {
        if (one.size() > name.size() && one[name.size()] == '=' && lower(one.substr(0, name.size())) == lower(name)) {
            return one.substr(name.size() + 1);
        }
    }
    return std::nullopt;
}

// --- the configuration file; keys are in any case there too ---

std::optional<std::string> in_yaml(YAML::Node node, Path path) {
    for (const auto key : path) {
        if (!node.IsMap()) {
            return std::nullopt;
        }
        YAML::Node next(YAML::NodeType::Undefined);
        for (const auto& entry : node) {
            if (entry.first.IsScalar() && lower(entry.first.Scalar()) == key) {
                next.reset(entry.second);
            }
        }
        if (!next.IsDefined()) {
            return std::nullopt;
        }
        node.reset(next);
    }
    return node.IsScalar() ? std::optional(node.Scalar()) : std::nullopt;
}

std::optional<std::string> in_toml(const toml::table& document, Path path) {
    const toml::node* node = &document;
    for (const auto key : path) {
        const auto* const table = node->as_table();
        node = nullptr;
        if (table == nullptr) {
            return std::nullopt;
        }
        for (const auto& [name, value] : *table) {
            if (lower(name.str()) == key) {
                node = &value;
            }
        }
        if (node == nullptr) {
            return std::nullopt;
        }
    }
    return node->value<std::string>();
}

/// Throws what the libraries throw on a broken file.
Settings parsed(const std::string& text, bool toml) {
    if (toml) {
        const toml::table document = toml::parse(text);
        return {.address = in_toml(document, address_path), .base_path = in_toml(document, base_path_path)};
    }
    const auto document = YAML::Load(text);
    return {.address = in_yaml(document, address_path), .base_path = in_yaml(document, base_path_path)};
}

/// Opens a path as the process would: a symbolic link in its container leads to its container, not to ours.
std::optional<std::string> read_inside(const fs::path& directory, const std::string& path) {
    const Fd top(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_IN_ROOT;
    const Fd file(static_cast<int>(syscall(SYS_openat2, top.get(), path.c_str(), &how, sizeof how)));
    struct stat status{};
    if (!file || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return std::nullopt;
    }
    std::string text(std::min<std::size_t>(max_file, static_cast<std::size_t>(status.st_size)), '\0');
    const auto length = pread(file.get(), text.data(), text.size(), 0);
    if (length < 0) {
        return std::nullopt;
    }
    text.resize(static_cast<std::size_t>(length));
    return text;
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

struct Process {
    fs::path proc;
    std::vector<std::string> arguments;
    std::vector<std::string> environment;
};

/// An absolute path as the process sees it.
std::string absolute(const Process& process, const std::string& path) {
    if (path.starts_with('/')) {
        return path;
    }
    std::error_code error;
    auto directory = fs::read_symlink(process.proc / "cwd", error).string();
    const auto top = fs::read_symlink(process.proc / "root", error).string();
    if (!error && top != "/" && directory.starts_with(top)) {
        directory.erase(0, top.size());  // a chroot: the link tells the path as we see it
    }
    return (fs::path(directory.empty() ? "/" : directory) / path).string();
}

std::vector<std::string> candidates(const Process& process) {
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

/// The address to connect to for an address to listen on.
std::optional<std::string> url_for(const Settings& settings) {
    const auto address = settings.address.value_or(default_address);
    const auto listener = parse_host_port(address.substr(0, address.find('/')));  // ":9000/tcp"
    if (!listener) {
        return std::nullopt;
    }
    auto url = "http://" + to_string(reached_locally(*listener));
    if (!attribute::endpoint_of(url)) {
        return std::nullopt;
    }
    auto base = settings.base_path.value_or("");
    while (base.ends_with('/')) {
        base.pop_back();
    }
    return url + (base.empty() || base.starts_with('/') ? "" : "/") + base;
}

ApiAddress named(const Settings& settings, const std::string& source) {
    if (const auto url = url_for(settings)) {
        return {.url = *url, .source = settings.address || settings.base_path ? source : "Traefik's default"};
    }
    return {.url = *url_for({}),
            .source = fmt::format("Traefik's default, because {} says '{}'", source, settings.address.value_or(""))};
}

}  // namespace

ApiAddress api_address(const fs::path& root, const Instance& traefik) {
    const auto proc = proc_of(root, traefik.pid);
    const Process process{
        .proc = proc, .arguments = strings_of(proc / "cmdline"), .environment = strings_of(proc / "environ")};
    for (const auto& candidate : candidates(process)) {
        const auto file = absolute(process, expanded(candidate, process.environment));
        const auto text = read_inside(process.proc / "root", file);
        if (!text) {
            continue;
        }
        try {
            return named(parsed(*text, lower(file).ends_with(".toml")), file);
        } catch (const std::exception& error) {  // it has changed since Traefik read it
            return {.url = *url_for({}),
                    .source = fmt::format("Traefik's default, because {} cannot be parsed: {}", file, error.what())};
        }
    }
    if (process.arguments.size() > 1) {
        return named({.address = flag(process.arguments, "entrypoints.traefik.address"),
                      .base_path = flag(process.arguments, "api.basepath")},
                     fmt::format("the command line of process {}", traefik.pid));
    }
    return named({.address = variable(process.environment, "TRAEFIK_ENTRYPOINTS_TRAEFIK_ADDRESS"),
                  .base_path = variable(process.environment, "TRAEFIK_API_BASEPATH")},
                 fmt::format("the environment of process {}", traefik.pid));
}

}  // namespace upstat::traefik
