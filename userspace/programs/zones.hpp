// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/error.hpp"
#include "programs/root.hpp"

namespace upstat::programs {

/// By number: the names of those whose counts are told apart in the maps.
using ZoneNames = std::map<std::uint16_t, std::string>;

/// Gives each name a number of its own, which stands in the keys of the maps (`zone` in bpf/layout.h). What was counted
/// before there were zones is 0, and so is the first name's.
///
/// The numbers live where the maps do and as long: each is a symbolic link in the directory of the pins, `zone-3`,
/// whose text is the name. So a lost state file cannot give a number to another name.
class Zones {
  public:
    /// The numbers that were given away. `root` is to outlive this.
    explicit Zones(const Root& root);

    /// The number of a name, a new one where it has none. No number is given away twice, even if its owner is long
    /// gone. A name is not empty and has at most 4,095 bytes.
    Result<std::uint16_t> number_of(const std::string& name);

    /// Gives names the numbers that they had with other maps. Fails, and changes nothing, where that contradicts what
    /// is given away.
    Result<void> adopt(const ZoneNames& names);

    /// The number that the next new name will get.
    [[nodiscard]] std::uint32_t next() const { return names_.empty() ? 0U : names_.rbegin()->first + 1U; }

    [[nodiscard]] const ZoneNames& names() const { return names_; }

  private:
    Result<void> give(std::uint16_t number, const std::string& name);

    const Root* root_;
    ZoneNames names_;
};

/// Whether a file below --bpf.pin-path is such a link.
bool is_zone(const std::filesystem::path& file);

}  // namespace upstat::programs
