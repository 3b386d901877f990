// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "poll/keys.hpp"

namespace upstat::poll {

/// Kernel maps that count by key. What a reading found is kept: a reader who knows where each count goes need not look
/// at the keys again.
class CountingMap {
  public:
    CountingMap(const CountingMap&) = delete;
    CountingMap& operator=(const CountingMap&) = delete;
    CountingMap(CountingMap&&) = delete;
    CountingMap& operator=(CountingMap&&) = delete;
    virtual ~CountingMap() = default;

    /// What is otherwise than in the reading before.
    struct Changed {
        bool keys = false;  ///< or their order
        bool counts = false;
    };
    /// Reads every entry, its CPUs added up.
    virtual Result<Changed> read() = 0;

    /// What the last reading found.
    [[nodiscard]] std::size_t size() const { return counts_.size(); }
    [[nodiscard]] std::span<const std::uint64_t> counts() const { return counts_; }
    [[nodiscard]] Total total(std::size_t entry) const;

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] std::uint32_t capacity() const { return capacity_; }

  protected:
    /// The descriptor of the map that has the keys is the caller's.
    CountingMap(int fd, const KeyFields& fields);

    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] std::uint32_t key_size() const { return key_size_; }
    [[nodiscard]] Error failed(int error) const;
    void resize(std::size_t entries);

    std::vector<std::byte> keys_;
    std::vector<std::uint64_t> counts_;

  private:
    int fd_;
    KeyFields fields_;
    std::string name_;
    std::uint32_t key_size_ = 0;
    std::uint32_t capacity_ = 0;
};

/// The descriptors of one table: a map of its keys, and where their values are slots, the map of its counts and the
/// map `slots` of bpf/maps.h with the table's number there. All are the caller's.
struct TableMaps {
    int keys = -1;
    int counts = -1;
    int slots = -1;
    std::uint32_t number = 0;  ///< enum upstat_table
};

/// A table of the layout that this agent is built with.
std::unique_ptr<CountingMap> own_table(const TableMaps& maps, const KeyFields& fields);
/// A map of its own that counts: the overflow.
std::unique_ptr<CountingMap> own_hash(int fd, const KeyFields& fields);

/// A table of any layout. The error is one sentence without the map's name.
using FindFields = std::expected<KeyFields, std::string> (*)(const btf*, std::uint32_t);
std::expected<std::unique_ptr<CountingMap>, std::string> translated(const TableMaps& maps, FindFields find_fields);

/// The numbers of a per-CPU array by index, its CPUs added up: at most `most` of them, and none of a map that is no
/// such array.
Result<std::vector<std::uint64_t>> read_array(int fd, std::uint32_t most);

}  // namespace upstat::poll
