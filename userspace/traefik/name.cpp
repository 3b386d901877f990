// SPDX-License-Identifier: Apache-2.0
#include "traefik/name.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "base/printable.hpp"
#include "traefik/cgroups.hpp"
#include "traefik/proc.hpp"

namespace upstat::traefik {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t longest_path = 1024;  ///< of those that are kept as they are
constexpr std::size_t longest_name = 512;
constexpr std::size_t container_digits = 64;
constexpr std::size_t shown_digits = 12;  ///< as the engines shorten them

bool is_hex(std::string_view text) {
    return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string_view without_end(std::string_view text, std::string_view end) {
    return text.ends_with(end) ? text.substr(0, text.size() - end.size()) : text;
}

/// "pod-UID", of "kubepods-burstable-podUID.slice" (its dashes are written as underscores) and of "podUID".
std::optional<std::string> pod_name(std::string_view component) {
    constexpr std::size_t uid_size = 36;
    const auto text = without_end(component, ".slice");
    const auto at = text.rfind("pod");
    if (at == std::string_view::npos || text.size() - at - 3 != uid_size || (at != 0 && !text.contains("kubepods"))) {
        return std::nullopt;
    }
    std::string uid(text.substr(at + 3));
    std::ranges::replace(uid, '_', '-');
    auto digits = uid;
    std::erase(digits, '-');
    return is_hex(digits) ? std::optional("pod-" + uid) : std::nullopt;
}

struct Container {
    std::string_view engine;  ///< empty where the component does not say it
    std::string_view id;
};

/// Of "docker-ID.scope" and of "ID".
std::optional<Container> container_of(std::string_view component) {
    const auto text = without_end(component, ".scope");
    const auto dash = text.rfind('-');
    const auto id = dash == std::string_view::npos ? text : text.substr(dash + 1);
    if (id.size() != container_digits || !is_hex(id)) {
        return std::nullopt;
    }
    return Container{.engine = dash == std::string_view::npos ? "" : text.substr(0, dash), .id = id};
}

/// "docker-0123456789ab", of "docker-ID.scope" and of "docker/ID".
std::optional<std::string> container_name(std::string_view component, std::string_view above) {
    const auto container = container_of(component);
    if (!container) {
        return std::nullopt;
    }
    const auto engine = container->engine.empty() ? above : container->engine;
    return fmt::format("{}{}{}", engine, engine.empty() ? "" : "-", container->id.substr(0, shown_digits));
}

std::vector<std::string> components_of(const std::string& path) {
    auto components = split(path, '/');
    std::erase(components, "");
    return components;
}

/// The innermost that tells: a container has cgroups of its own below it, which do not.
std::string short_name(const std::string& path) {
    const auto components = components_of(path);
    for (auto at = components.size(); at-- > 0;) {
        if (auto pod = pod_name(components[at])) {
            return *std::move(pod);
        }
        if (auto container = container_name(components[at], at == 0 ? "" : components[at - 1])) {
            return *std::move(container);
        }
        if (components[at].ends_with(".service")) {
            return components[at];
        }
    }
    return components.empty() ? path : components.back();
}

/// A name that is long is cut, and told from others by all of it.
std::string bounded(std::string path) {
    if (path.size() > longest_path) {
        const auto all = std::hash<std::string>{}(path);
        path.resize(longest_path);
        path += fmt::format("~{:016x}", all);
    }
    return path;
}

}  // namespace

std::string cgroup_path(const fs::path& root, const std::string& directory) {
    auto mounts = own_cgroup_mounts(root);
    for (auto& mount : cgroup_mounts_of(root, 1)) {
        mount.point = (fs::path("/proc/1/root") / fs::path(mount.point).relative_path()).string();
        mounts.push_back(std::move(mount));
    }
    std::string longest;
    for (const auto& mount : mounts) {
        const auto top = tidy(below(root, mount.point));
        if (top.size() > longest.size() && (directory.starts_with(top + "/") || directory == top)) {
            longest = top;
        }
    }
    return directory.substr(longest.size());
}

std::string lasting_path(const std::string& cgroup_path) {
    std::string lasting;
    for (const auto& component : components_of(cgroup_path)) {
        lasting += "/" + component;
        if (pod_name(component)) {
            break;
        }
    }
    return bounded(lasting.empty() ? "/" : lasting);
}

/// Of a pod not its class of service either, which its successor may have changed.
std::string family(const std::string& lasting_path) {
    std::string path;
    auto above_pods = std::string::npos;
    bool has_id = false;
    for (const auto& component : components_of(lasting_path)) {
        if (component.contains("kubepods")) {
            above_pods = std::min(above_pods, path.size());
        }
        if (pod_name(component)) {
            return path.substr(0, above_pods) + "/pod";
        }
        const auto container = container_of(component);
        path += container ? fmt::format("/{}-ID", container->engine) : "/" + component;
        has_id = has_id || container;
    }
    return has_id ? path : "";
}

std::map<std::uint16_t, std::string> short_names(const std::map<std::uint16_t, std::string>& lasting_paths) {
    std::map<std::uint16_t, std::string> names;
    std::set<std::string> taken;
    for (const auto& [zone, path] : lasting_paths) {
        auto name = printable(short_name(path), longest_name);
        if (taken.contains(name)) {
            name = printable(path, longest_name);
        }
        if (!taken.insert(name).second) {
            name += fmt::format("#{}", zone);
            taken.insert(name);
        }
        names.emplace(zone, std::move(name));
    }
    return names;
}

}  // namespace upstat::traefik
