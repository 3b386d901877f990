// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "poll/keys.hpp"

namespace upstat {

/// A kernel map that counts: a per-CPU hash of 64-bit numbers. The descriptor is the caller's.
class CountingMap {
  public:
    /// A map of the layout that this agent is built with.
    CountingMap(int fd, const KeyFields& fields);

    /// A map of any layout. The error is one sentence without the map's name.
    using FindFields = std::expected<KeyFields, std::string> (*)(const btf*, std::uint32_t);
    static std::expected<CountingMap, std::string> translated(int fd, FindFields find_fields);

    /// Every entry, its CPUs added up.
    [[nodiscard]] Result<std::vector<Total>> read() const;

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] std::uint32_t capacity() const { return capacity_; }

  private:
    [[nodiscard]] Error failed(int error) const;

    int fd_;
    KeyFields fields_;
    std::string name_;
    std::uint32_t key_size_ = 0;
    std::uint32_t capacity_ = 0;
};

/// The numbers of a per-CPU array by index, its CPUs added up: at most `most` of them, and none of a map that is no
/// such array.
Result<std::vector<std::uint64_t>> read_array(int fd, std::uint32_t most);

}  // namespace upstat
