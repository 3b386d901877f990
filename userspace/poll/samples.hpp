// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/maps.hpp"
#include "base/time.hpp"
#include "poll/snapshot.hpp"

namespace upstat::poll {

/// A request whose response had a code that is asked for.
struct Sample {
    Server server{};
    std::uint16_t code = 0;
    Method method = Method::extension;
    std::string path;  ///< as a client has sent it, without its query: any bytes
    bool cut = false;  ///< it goes on
    Millis age{};      ///< so long ago came the response
};

/// What the kernel keeps.
struct Samples {
    std::vector<Sample> all{};  ///< the newest first
    std::uint64_t lost = 0;     ///< that found no room
    std::string problem{};      ///< why there are none; empty when all is well
};

/// Status codes, by number.
using Codes = std::bitset<1000>;

/// Errors: the kernel does not take them.
Result<void> ask_for_samples(const SampleMaps& maps, const Codes& codes);

/// Errors: the kernel does not show its map.
Result<Samples> read_samples(const SampleMaps& maps);

}  // namespace upstat::poll
