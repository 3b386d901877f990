// SPDX-License-Identifier: Apache-2.0
#include "agent/tenants.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

#include "traefik/name.hpp"

namespace upstat::agent {

/// Whoever lived when the state was saved has ended then, if it is not found at the first look.
Tenants::Tenants(All saved, const programs::ZoneNames& zones, std::optional<Time> last) : all_(std::move(saved)) {
    for (auto& [zone, tenant] : all_) {
        tenant.ended = tenant.ended.value_or(last.value_or(Time::min()));
    }
    for (const auto& [zone, name] : zones) {
        all_.try_emplace(zone, Tenant{.name = name, .ended = last.value_or(Time::min())});
    }
}

void Tenants::look(const std::set<std::string>& living, Time now) {
    new_ = living;
    for (auto& [zone, tenant] : all_) {
        new_.erase(tenant.name);
        if (living.contains(tenant.name)) {
            tenant.ended.reset();
        } else {
            tenant.ended = tenant.ended.value_or(now);
        }
    }
}

std::optional<std::uint16_t> Tenants::zone_of(const std::string& name) const {
    const auto found = std::ranges::find(all_, name, [](const auto& entry) { return entry.second.name; });
    return found == all_.end() ? std::nullopt : std::optional(found->first);
}

std::optional<std::uint16_t> Tenants::inherited(const std::string& name, Time now) const {
    const auto family = traefik::family(name);
    const auto is_rival = [&](const std::string& other) { return other != name && traefik::family(other) == family; };
    if (family.empty() || std::ranges::any_of(new_, is_rival)) {
        return std::nullopt;
    }
    std::optional<std::uint16_t> only;
    for (const auto& [zone, tenant] : all_) {
        if (!tenant.ended || *tenant.ended < now - patience || traefik::family(tenant.name) != family) {
            continue;
        }
        if (only) {
            return std::nullopt;
        }
        only = zone;
    }
    return only;
}

bool Tenants::is_of_another(std::uint16_t zone, const std::string& name) const {
    const auto tenant = all_.find(zone);
    return tenant != all_.end() && !tenant->second.ended && tenant->second.name != name;
}

programs::ZoneNames Tenants::names() const {
    programs::ZoneNames names;
    for (const auto& [zone, tenant] : all_) {
        names.emplace(zone, tenant.name);
    }
    return names;
}

}  // namespace upstat::agent
