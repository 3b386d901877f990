// SPDX-License-Identifier: Apache-2.0
#include "programs/cgroup_links.hpp"

#include <bpf/bpf.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>

#include "programs/pins.hpp"

namespace upstat::programs {

namespace fs = std::filesystem;

namespace {

constexpr std::array<const char*, hooks> hook_names{"ingress", "egress", "sockops", "owners"};
constexpr std::array<bpf_attach_type, hooks> hook_types{BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS,
                                                        BPF_CGROUP_SOCK_OPS, BPF_CGROUP_INET_SOCK_CREATE};

/// Nothing where this is no link to a cgroup.
std::optional<Place> place_of(const Fd& link) {
    bpf_link_info info{};
    std::uint32_t size = sizeof(info);
    if (!is_link(link) || bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0 || info.type != BPF_LINK_TYPE_CGROUP) {
        return std::nullopt;
    }
    const auto* const type = std::ranges::find(hook_types, static_cast<bpf_attach_type>(info.cgroup.attach_type));
    return Place{.cgroup = info.cgroup.cgroup_id, .hook = static_cast<Hook>(type - hook_types.begin())};
}

/// Unpins only links that say that their cgroup is gone. One that cannot be looked at just now, for lack of memory or
/// descriptors, may be all that keeps a program attached.
void drop_dead_in(const fs::path& directory) {
    for (const auto& pin : entries_of(directory)) {
        if (const auto place = place_of(open_pin(pin)); place && place->cgroup == 0) {
            ::unlink(pin.c_str());
        }
    }
}

std::string name_of(const Place& place) {
    return fmt::format("{}-{}", place.cgroup, hook_names.at(place.hook));
}

/// Makes a link run our program, without a gap. One that cannot is unpinned, so that no two programs count.
bool update(const fs::path& pin, const Place& place, int program) {
    const Fd link = open_pin(pin);
    if (!link) {
        return false;
    }
    if (place_of(link).value_or(Place{}).cgroup == place.cgroup && bpf_link_update(link.get(), program, nullptr) == 0) {
        return true;
    }
    spdlog::error("cannot take over {}: {}", pin.string(), std::strerror(errno));
    ::unlink(pin.c_str());
    return false;
}

}  // namespace

bool is_cgroup_link(const fs::path& pin) {
    const auto place = place_of(open_pin(pin));
    if (!place || place->hook == hooks) {
        return false;
    }
    const auto name = pin.filename().string();  // its number is the only trace of a cgroup that is gone
    const auto dash = name.find('-');
    return dash != 0 && name.find_first_not_of("0123456789") == dash &&
           name.substr(dash + 1) == hook_names.at(place->hook);
}

fs::path CgroupLinks::pin(const Place& place) const {
    return directory_ / name_of(place);
}

Result<bool> CgroupLinks::attach(int cgroup, std::uint64_t id, const Programs& programs) const {
    bool fresh = false;
    for (const auto hook : {owners, ingress, egress, sockops}) {
        if (programs.at(hook) < 0) {
            continue;
        }
        const auto made = attach_one(cgroup, {.cgroup = id, .hook = hook}, programs.at(hook));
        if (!made) {
            return made;
        }
        fresh = fresh || (*made && hook == egress);
    }
    return fresh;
}

Result<bool> CgroupLinks::attach_one(int cgroup, const Place& place, int program) const {
    const auto taken = take_over(place, program);
    if (!taken) {
        return taken;
    }
    if (*taken) {
        return false;
    }
    const auto* const name = hook_names.at(place.hook);
    const Fd made(bpf_link_create(program, cgroup, hook_types.at(place.hook), nullptr));
    if (!made) {
        return std::unexpected(bpf_error(errno, fmt::format("cannot attach the {} program", name)));
    }
    if (bpf_obj_pin(made.get(), pin(place).c_str()) != 0) {
        return std::unexpected(bpf_error(errno, fmt::format("cannot pin {}", pin(place).string())));
    }
    return true;
}

/// Whether there is a link that runs our program now. Its pin moves here only after that, so every link pinned here
/// runs a program of this generation.
Result<bool> CgroupLinks::take_over(const Place& place, int program) const {
    bool taken = update(pin(place), place, program);
    if (place.hook == ingress) {
        return taken;
    }
    for (const auto& directory : previous_) {
        const auto old = directory / name_of(place);
        if (!update(old, place, program)) {
            continue;
        }
        if (::rename(old.c_str(), pin(place).c_str()) != 0) {
            return std::unexpected(bpf_error(errno, fmt::format("cannot move {}", old.string())));
        }
        taken = true;
    }
    return taken;
}

void CgroupLinks::remove_owners(std::uint64_t id) const {
    const auto name = name_of({.cgroup = id, .hook = owners});
    ::unlink((directory_ / name).c_str());
    for (const auto& directory : previous_) {
        ::unlink((directory / name).c_str());
    }
}

void CgroupLinks::detach_previous() const {
    if (previous_.empty()) {
        return;  // the usual case, at every poll
    }
    const auto ours = attached({});
    for (const auto& directory : previous_) {
        for (const auto& old : entries_of(directory)) {
            if (ours.contains(place_of(open_pin(old)).value_or(Place{}).cgroup)) {
                ::unlink(old.c_str());
            }
        }
    }
}

void CgroupLinks::drop_dead() const {
    drop_dead_in(directory_);
    std::ranges::for_each(previous_, drop_dead_in);
}

std::set<std::uint64_t> CgroupLinks::attached(const std::set<std::uint64_t>& shared) const {
    std::map<std::uint64_t, std::set<Hook>> links;
    for (const auto& pin : entries_of(directory_)) {
        if (const auto place = place_of(open_pin(pin)); place && place->cgroup != 0) {
            links[place->cgroup].insert(place->hook);
        }
    }
    std::set<std::uint64_t> whole;
    for (const auto& [cgroup, present] : links) {
        const bool is_counted = present.contains(ingress) && present.contains(egress) && present.contains(sockops);
        if (is_counted && (present.contains(owners) || !shared.contains(cgroup))) {
            whole.insert(cgroup);
        }
    }
    return whole;
}

}  // namespace upstat::programs
