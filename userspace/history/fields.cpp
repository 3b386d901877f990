// SPDX-License-Identifier: Apache-2.0
#include "history/fields.hpp"

#include <algorithm>
#include <numeric>

namespace upstat::history {

namespace {

constexpr std::size_t connects_field = response_fields;

/// One kind of reasons: where its fields begin, and their names without the kind. The last one takes what is no other.
struct Kind {
    std::string_view name;
    std::size_t first = 0;
    std::vector<std::string> reasons;
};

std::vector<Kind> make_kinds() {
    std::vector<Kind> kinds{{.name = "unanswered", .reasons = poll::unanswered_reasons()},
                            {.name = "connect_failures", .reasons = poll::connect_failure_reasons()},
                            {.name = "unread", .reasons = poll::unread_reasons()}};
    auto next = connects_field + 1;
    for (auto& kind : kinds) {
        kind.reasons.push_back(poll::unknown_reason);
        kind.first = next;
        next += kind.reasons.size();
    }
    return kinds;
}

const std::vector<Kind>& kinds() {
    static const auto all = make_kinds();
    return all;
}

void add_reasons(Amounts& amounts, const Kind& kind, const poll::Reasons& counts) {
    for (const auto& [reason, count] : counts) {
        const auto found = std::ranges::find(kind.reasons, reason);
        const auto place = found == kind.reasons.end() ? kind.reasons.size() - 1
                                                       : static_cast<std::size_t>(found - kind.reasons.begin());
        amounts.at(kind.first + place) += count;
    }
}

void add_responses(Amounts& amounts, const auto& counts) {
    for (const auto& [key, count] : counts) {
        amounts.at(std::clamp<std::size_t>(key.code / 100U, 1, response_fields) - 1) += count;
    }
}

}  // namespace

const std::vector<std::string>& field_names() {
    static const auto names = [] {
        std::vector<std::string> all;
        for (std::size_t digit = 1; digit <= response_fields; ++digit) {
            all.push_back(std::to_string(digit) + "xx");
        }
        all.emplace_back("connects");
        for (const auto& kind : kinds()) {
            for (const auto& reason : kind.reasons) {
                all.push_back(std::string(kind.name).append(".").append(reason));
            }
        }
        return all;
    }();
    return names;
}

std::optional<std::uint8_t> field_of(std::string_view name) {
    const auto found = std::ranges::find(field_names(), name);
    return found == field_names().end() ? std::nullopt
                                        : std::optional(static_cast<std::uint8_t>(found - field_names().begin()));
}

Amounts amounts_of(const poll::ServerTotals& totals) {
    Amounts amounts{};
    add_responses(amounts, totals.responses);
    amounts.at(connects_field) = totals.connects;
    add_reasons(amounts, kinds()[0], totals.unanswered);
    add_reasons(amounts, kinds()[1], totals.connect_failures);
    add_reasons(amounts, kinds()[2], totals.unread);
    return amounts;
}

Amounts amounts_of(const attribute::SeriesCounts& counts) {
    Amounts amounts{};
    add_responses(amounts, counts);
    return amounts;
}

std::uint64_t responses_in(const Amounts& amounts) {
    return std::accumulate(amounts.begin(), amounts.begin() + response_fields, std::uint64_t{0});
}

std::uint64_t connects_in(const Amounts& amounts) {
    return amounts.at(connects_field);
}

std::uint64_t sum_of(const Amounts& amounts, std::string_view kind) {
    const auto found = std::ranges::find(kinds(), kind, &Kind::name);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; found != kinds().end() && i < found->reasons.size(); ++i) {
        sum += amounts.at(found->first + i);
    }
    return sum;
}

void add(Amounts& to, const Amounts& what) {
    std::ranges::transform(to, what, to.begin(), std::plus());
}

}  // namespace upstat::history
