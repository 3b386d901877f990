// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/http_client.hpp"
#include "base/time.hpp"
#include "publish/push.hpp"

namespace upstat::publish {

/// What a Pushgateway says of a group.
struct GroupSeen {
    std::string owner;      ///< the `owner` of its push_owner_info; empty where there is none
    std::string push_time;  ///< as it stands there
    bool operator==(const GroupSeen&) const = default;
};

/// Who this agent is at a gateway.
struct PushIdentity {
    std::string owner;      ///< tells this agent from every other one
    std::string earlier{};  ///< its owner before the host's last boot; empty: none is known
    Wall until{};           ///< it pushed as `earlier` until then
    bool operator==(const PushIdentity&) const = default;
};

/// The GET of all that the gateway has, cut where it gets long: nobody can ask for one group.
HttpRequest look_request(const PushTarget& target, const std::string& gateway);

/// What such a page says of the target's group.
GroupSeen find_group(std::string_view page, const PushTarget& target);

/// Keeps two agents that were given one name from pushing the same group. The first one has it for as long as it goes
/// on pushing; the second one looks before it pushes, sees another one's mark and leaves the group alone until nobody
/// has pushed it for `patience`. What it pushed itself before the host's last boot it takes at once. It reads no clock
/// and sends nothing.
class PushClaim {
  public:
    PushClaim(PushIdentity identity, Millis patience) : identity_(std::move(identity)), patience_(patience) {}

    /// Whether the next push may be sent without a look: the group is known to be ours, or was free at the last look.
    [[nodiscard]] bool may_push(Time now) const;
    [[nodiscard]] bool look_due(Time now) const;

    void looking(Time now, std::uint64_t ticket);

    /// Takes the end of a look; false: it is none. A look that failed forbids nothing: the push will tell why.
    bool done(const HttpDone& done, const PushTarget& target);

    /// A push ended.
    void pushed(Time now, bool taken);

    /// Who has the group instead; empty if nobody is known to.
    [[nodiscard]] const std::string& other() const { return other_.owner; }

    /// Whether what is there was pushed by this agent, as far as that is known without a look.
    [[nodiscard]] bool is_ours(Time now) const;

    /// Whether a group that was just looked at is.
    [[nodiscard]] bool is_ours(const GroupSeen& seen) const { return seen.owner == identity_.owner; }

    /// Goes on where `previous` was, which was about the same group.
    void go_on_from(const PushClaim& previous);

    [[nodiscard]] const std::string& owner() const { return identity_.owner; }

  private:
    void saw(const GroupSeen& seen);
    [[nodiscard]] bool is_earlier(const GroupSeen& seen) const;

    PushIdentity identity_;
    Millis patience_;
    std::optional<std::uint64_t> ticket_;  ///< of the look under way
    std::optional<Time> last_look_;
    std::optional<Time> last_push_;  ///< that the gateway took
    bool free_ = false;              ///< the last look found nobody else, and nothing was pushed since
    bool settled_ = false;           ///< a look after a push found nobody else
    GroupSeen other_;                ///< seen last
};

}  // namespace upstat::publish
