// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/time.hpp"
#include "programs/zones.hpp"

namespace upstat::agent {

/// Whose each zone is. A container or a pod that is made anew has another name than the one before it. It goes on with
/// that one's zone, and so with its series, history and alerts, where only one can be meant.
class Tenants {
  public:
    struct Tenant {
        std::string name;           ///< its lasting path
        std::optional<Time> ended;  ///< nothing while it lives

        bool operator==(const Tenant&) const = default;
    };
    using All = std::map<std::uint16_t, Tenant>;

    /// How long an ended one's zone waits for its successor.
    static constexpr Millis patience = std::chrono::minutes(10);

    Tenants() = default;
    /// Those that were saved at `last`, and the zones that are in no saved state.
    Tenants(All saved, const programs::ZoneNames& zones, std::optional<Time> last);

    /// These live now, by their names, and no others. Those of them that have no zone yet are about to get one.
    void look(const std::set<std::string>& living, Time now);

    /// The zone of the one that has this name now.
    [[nodiscard]] std::optional<std::uint16_t> zone_of(const std::string& name) const;

    /// The zone that a new one takes over: the only one of its family that ended lately, if no other new one could be
    /// meant.
    [[nodiscard]] std::optional<std::uint16_t> inherited(const std::string& name, Time now) const;

    /// Whether another one lives in a zone.
    [[nodiscard]] bool is_of_another(std::uint16_t zone, const std::string& name) const;

    void move_in(std::uint16_t zone, const std::string& name) { all_[zone] = {.name = name, .ended = {}}; }

    [[nodiscard]] const All& all() const { return all_; }
    [[nodiscard]] programs::ZoneNames names() const;

  private:
    All all_;
    std::set<std::string> new_;  ///< that live, and have no zone yet
};

}  // namespace upstat::agent
