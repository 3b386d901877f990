// SPDX-License-Identifier: Apache-2.0
#include "count/links.hpp"

#include <bpf/bpf.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "count/pins.hpp"

namespace upstat {

namespace fs = std::filesystem;

namespace {

constexpr std::array<const char*, hooks> hook_names{"sockops", "ingress", "egress"};
constexpr std::array<bpf_attach_type, hooks> hook_types{BPF_CGROUP_SOCK_OPS, BPF_CGROUP_INET_INGRESS,
                                                        BPF_CGROUP_INET_EGRESS};

/// Nothing when there is no such link.
std::optional<Place> place_of(const Fd& link) {
    bpf_link_info info{};
    std::uint32_t size = sizeof(info);
    if (!link || bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0 || info.type != BPF_LINK_TYPE_CGROUP) {
        return std::nullopt;
    }
    const auto* const type = std::ranges::find(hook_types, static_cast<bpf_attach_type>(info.cgroup.attach_type));
    return Place{.cgroup = info.cgroup.cgroup_id, .hook = static_cast<Hook>(type - hook_types.begin())};
}

/// A link that is pinned where it shall not stay.
struct Found {
    fs::path pin;
    Fd link;
    Place place;
};

/// What is pinned in a directory, each cgroup's hooks in their order.
std::vector<Found> find_links(const fs::path& directory) {
    std::vector<Found> found;
    for (const auto& pin : entries_of(directory)) {
        Fd link = open_pin(pin);
        const auto place = place_of(link).value_or(Place{});
        found.push_back({.pin = pin, .link = std::move(link), .place = place});
    }
    std::ranges::sort(found, {}, [](const Found& one) { return std::pair(one.place.cgroup, one.place.hook); });
    return found;
}

}  // namespace

fs::path Links::pin(std::uint64_t cgroup, Hook hook) const {
    return directory_ / fmt::format("{}-{}", cgroup, hook_names.at(hook));
}

void Links::adopt(const fs::path& other) const {
    auto links = find_links(other);
    std::erase_if(links, [&](const Found& one) {
        const bool is_ours = update(one.link, one.place);
        if (!is_ours) {
            ::unlink(one.pin.c_str());
        }
        return !is_ours;
    });
    for (const auto& [old, link, place] : links) {
        // There already, if a start was cut short between the two.
        if (const auto own = pin(place.cgroup, place.hook);
            !open_pin(own) && bpf_obj_pin(link.get(), own.c_str()) != 0) {
            spdlog::error("cannot pin {}: {}", own.string(), std::strerror(errno));
        }
        ::unlink(old.c_str());
    }
}

bool Links::update(const Fd& link, const Place& place) const {
    if (place.cgroup == 0 || place.hook == hooks) {
        return false;
    }
    const bool updated = bpf_link_update(link.get(), programs_.at(place.hook), nullptr) == 0;
    if (!updated) {
        spdlog::error("cannot take over the {} program of cgroup {}: {}", hook_names.at(place.hook), place.cgroup,
                      std::strerror(errno));
    }
    return updated;
}

Result<bool> Links::attach(int cgroup, std::uint64_t id) const {
    bool fresh = false;
    for (std::size_t hook = 0; hook < hooks; hook++) {
        const auto made = attach_one(static_cast<Hook>(hook), cgroup, id);
        if (!made) {
            return made;
        }
        fresh = fresh || *made;
    }
    return fresh;
}

Result<bool> Links::attach_one(Hook hook, int cgroup, std::uint64_t id) const {
    const auto path = pin(id, hook);
    if (const Fd old = open_pin(path); old) {
        if (place_of(old).value_or(Place{}).cgroup == id &&
            bpf_link_update(old.get(), programs_.at(hook), nullptr) == 0) {
            return false;
        }
        ::unlink(path.c_str());
    }
    const Fd made(bpf_link_create(programs_.at(hook), cgroup, hook_types.at(hook), nullptr));
    if (!made) {
        return std::unexpected(bpf_error(errno, fmt::format("cannot attach the {} program", hook_names.at(hook))));
    }
    if (bpf_obj_pin(made.get(), path.c_str()) != 0) {
        return std::unexpected(bpf_error(errno, fmt::format("cannot pin {}", path.string())));
    }
    return true;
}

void Links::drop_dead() const {
    for (const auto& pin : entries_of(directory_)) {
        if (place_of(open_pin(pin)).value_or(Place{}).cgroup == 0) {
            ::unlink(pin.c_str());
        }
    }
}

std::set<std::uint64_t> Links::attached() const {
    std::map<std::uint64_t, std::size_t> links;
    for (const auto& pin : entries_of(directory_)) {
        if (const auto place = place_of(open_pin(pin)); place && place->cgroup != 0) {
            links[place->cgroup]++;
        }
    }
    std::set<std::uint64_t> whole;
    for (const auto& [cgroup, count] : links) {
        if (count == hooks) {
            whole.insert(cgroup);
        }
    }
    return whole;
}

}  // namespace upstat
