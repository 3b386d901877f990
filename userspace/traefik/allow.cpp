// SPDX-License-Identifier: Apache-2.0
#include "traefik/allow.hpp"

#include <fmt/format.h>
#include <fnmatch.h>
#include <pwd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/file.hpp"
#include "traefik/proc.hpp"

namespace upstat::traefik {

namespace {

/// Where container engines and kubelets put their containers. All are made by root: a user's own cgroups, in which he
/// can imitate any name, are below /user.slice.
constexpr std::array container_cgroups{
    "/docker/*",
    "/system.slice/docker-*",
    "/system.slice/nerdctl-*",
    "/default/*",
    "/k8s.io/*",
    "/kubepods*",
    "/kubelet*",
    "/machine.slice/*",
    "/machine/*",
    "/libpod_parent/*",
    "/lxc*",
    "/nomad*",
    "/garden/*",
};

/// systemd gives these to units with DynamicUser=yes (https://systemd.io/UIDS-GIDS).
constexpr uid_t first_dynamic_user = 61184;
constexpr uid_t last_dynamic_user = 65519;

std::optional<uid_t> number(std::string_view text) {
    uid_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    return parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::optional<uid_t> user_named(const std::string& text) {
    if (const auto uid = number(text)) {
        return uid;
    }
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 16384> buffer{};
    return getpwnam_r(text.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr
               ? std::optional(entry.pw_uid)
               : std::nullopt;
}

uid_t last_system_user(const std::filesystem::path& root) {
    constexpr std::string_view key = "SYS_UID_MAX";
    for (const auto& line : split(read_file(root / "etc/login.defs").value_or(""), '\n')) {
        const auto value = line.find_last_of(" \t");
        if (line.starts_with(key) && value != std::string::npos) {
            return number(line.substr(value + 1)).value_or(Allowed{}.last_system_user);
        }
    }
    return Allowed{}.last_system_user;
}

}  // namespace

Result<Allowed> parse_allow(const std::vector<std::string>& texts, const std::filesystem::path& root) {
    Allowed allowed{.last_system_user = last_system_user(root), .users = {}, .cgroups = {}};
    for (const auto& text : texts) {
        for (const auto& one : split(text, ',')) {
            if (one == "system") {
                allowed.system = true;
            } else if (one == "containers") {
                allowed.cgroups.insert(allowed.cgroups.end(), container_cgroups.begin(), container_cgroups.end());
            } else if (one.starts_with('/')) {
                allowed.cgroups.push_back(one);
            } else if (const auto user = user_named(one)) {
                allowed.users.insert(*user);
            } else {
                return fail(Error::Kind::usage, fmt::format("this host has no user \"{}\"", one),
                            "system, containers, a user's name or number, or a cgroup such as /user.slice/*/traefik*");
            }
        }
    }
    return allowed;
}

bool allows_user(const Allowed& allowed, uid_t user) {
    const bool is_dynamic = user >= first_dynamic_user && user <= last_dynamic_user;
    return allowed.everyone || allowed.users.contains(user) ||
           (allowed.system && (user <= allowed.last_system_user || is_dynamic));
}

bool allows_cgroup(const Allowed& allowed, const std::string& name) {
    return std::ranges::any_of(allowed.cgroups,
                               [&](const std::string& glob) { return fnmatch(glob.c_str(), name.c_str(), 0) == 0; });
}

}  // namespace upstat::traefik
