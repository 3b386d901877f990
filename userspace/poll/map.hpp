// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "poll/keys.hpp"

namespace upstat {

/// A kernel map that counts: a per-CPU hash of 64-bit numbers. The descriptor is the caller's. The kernel walks over a
/// map that got no new keys in the same order each time, so what a reading found is kept: a reader who knows where each
/// count goes need not look at the keys again.
class CountingMap {
  public:
    /// A map of the layout that this agent is built with.
    CountingMap(int fd, const KeyFields& fields);

    /// A map of any layout. The error is one sentence without the map's name.
    using FindFields = std::expected<KeyFields, std::string> (*)(const btf*, std::uint32_t);
    static std::expected<CountingMap, std::string> translated(int fd, FindFields find_fields);

    /// What is otherwise than in the reading before.
    struct Changed {
        bool keys = false;  ///< or their order
        bool counts = false;
    };
    /// Reads every entry, its CPUs added up.
    Result<Changed> read();

    /// What the last reading found.
    [[nodiscard]] std::size_t size() const { return counts_.size(); }
    [[nodiscard]] std::span<const std::uint64_t> counts() const { return counts_; }
    [[nodiscard]] Total total(std::size_t entry) const;

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] std::uint32_t capacity() const { return capacity_; }

  private:
    [[nodiscard]] Error failed(int error) const;
    Changed take(std::size_t first, std::span<const std::byte> keys, std::span<const std::uint64_t> per_cpu);

    int fd_;
    KeyFields fields_;
    std::string name_;
    std::uint32_t key_size_ = 0;
    std::uint32_t capacity_ = 0;
    std::vector<std::byte> keys_;
    std::vector<std::uint64_t> counts_;
};

/// The numbers of a per-CPU array by index, its CPUs added up: at most `most` of them, and none of a map that is no
/// such array.
Result<std::vector<std::uint64_t>> read_array(int fd, std::uint32_t most);

}  // namespace upstat
