// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attribute/counts.hpp"
#include "poll/snapshot.hpp"

namespace upstat::history {

/// What is remembered of a server or a backend, by number: responses by class ("2xx"), connects, and each reason why
/// something went wrong ("unanswered.reset", "connect_failures.refused", "unread.tls").
const std::vector<std::string>& field_names();
std::optional<std::uint8_t> field_of(std::string_view name);

/// There is room for so many; fewer are in use.
inline constexpr std::size_t most_fields = 32;
using Amounts = std::array<std::uint64_t, most_fields>;

Amounts amounts_of(const poll::ServerTotals& totals);
/// Of a backend: its responses only.
Amounts amounts_of(const attribute::SeriesCounts& counts);

/// The fields that are responses stand first, by the first digit of the code from 1 to 9.
inline constexpr std::size_t response_fields = 9;
inline std::uint64_t class_of(const Amounts& amounts, int digit) {
    return amounts.at(static_cast<std::size_t>(digit - 1));
}
std::uint64_t responses_in(const Amounts& amounts);
/// Of all reasons of one kind: "unanswered", "connect_failures", "unread".
std::uint64_t sum_of(const Amounts& amounts, std::string_view kind);
std::uint64_t connects_in(const Amounts& amounts);

void add(Amounts& to, const Amounts& what);

}  // namespace upstat::history
