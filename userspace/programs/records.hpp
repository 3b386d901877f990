// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.hpp"

namespace upstat::programs {

/// What the kernel programs are told of a server: what its requests must be looked at for.
struct Record {
    std::array<std::uint8_t, 16> address{};  ///< network order, IPv4 as an IPv4-mapped IPv6 address
    std::uint16_t port = 0;                  ///< host order
    std::uint16_t zone = 0;                  ///< of which Traefik
    bool own = true;                         ///< Traefik sends requests of its own there
    std::uint16_t checks = 0;                ///< the methods of its health checks: 1 << enum upstat_method for each
    bool auth = false;                       ///< a forwardAuth middleware asks there
    std::uint16_t table = 0;                 ///< the number of its table of routes; 0: none

    auto operator<=>(const Record&) const = default;
};

/// The maps `records` and `records_epoch` of bpf/maps.h. The descriptors are the caller's.
struct RecordMaps {
    int records = -1;
    int epoch = -1;
};

/// Every socket looks for its record again.
Result<void> begin_epoch(const RecordMaps& maps);

/// So many of these as there is room for: first those that change what is counted, in turn by zone, so that no Traefik
/// takes another's room. Which ones does not depend on their order.
std::vector<Record> with_room(std::vector<Record> records, std::size_t room);

/// Makes these the records, in place of those that are there, or, where they are not `complete`, beside those, which
/// have no table of routes any more. Sockets
/// notice after the last one is written; `anew`: they are told even where nothing changes, since whoever wrote before
/// may have ended before it told them. Where not all find room, those of with_room are in force, and the error says how
/// many are not.
Result<void> write_records(const RecordMaps& maps, const std::vector<Record>& records, bool complete, bool anew);

}  // namespace upstat::programs
