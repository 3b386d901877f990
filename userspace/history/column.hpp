// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "history/fields.hpp"

namespace upstat::history {

/// What all servers and backends were counted with between two moments. It is packed, since there are hundreds of
/// columns of thousands of servers: for each subject with anything its number (the step from the one before), how many
/// fields it has, and each field with its count; all as LEB128, steps in zigzag.
struct Column {
    Time begin;
    Time end;
    std::string backends;  ///< apart, since most readers want them alone
    std::string servers;
};
using SharedColumn = std::shared_ptr<const Column>;

/// Packs counts.
class Packer {
  public:
    void add(std::uint32_t subject, const Amounts& amounts);
    [[nodiscard]] std::string take();

  private:
    std::string packed_;
    std::uint32_t last_ = 0;
};

/// Unpacks them again, one subject at a time. What is no such text ends it early: `broken()`.
class Unpacker {
  public:
    explicit Unpacker(std::string_view packed) : left_(packed) {}

    /// False at the end.
    bool next();
    [[nodiscard]] std::uint32_t subject() const { return subject_; }
    [[nodiscard]] const Amounts& amounts() const { return amounts_; }
    [[nodiscard]] bool broken() const { return broken_; }

  private:
    std::uint64_t number();

    std::string_view left_;
    std::uint32_t subject_ = 0;
    Amounts amounts_{};
    bool broken_ = false;
};

/// One column for several that follow on each other; at least one.
SharedColumn merged(std::span<const SharedColumn> columns);

}  // namespace upstat::history
