// SPDX-License-Identifier: Apache-2.0
#include "history/column.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace upstat::history {

namespace {

void append_number(std::string& text, std::uint64_t number) {
    for (; number >= 0x80U; number >>= 7U) {
        text += static_cast<char>((number & 0x7FU) | 0x80U);
    }
    text += static_cast<char>(number);
}

/// Small numbers of either sign as small ones without: 0, -1, 1, -2, ...
std::uint64_t zigzag(std::int64_t step) {
    return (static_cast<std::uint64_t>(step) << 1U) ^ static_cast<std::uint64_t>(step < 0 ? -1 : 0);
}

/// The number that is such a step away; nothing where it is none.
std::optional<std::uint32_t> stepped(std::uint32_t from, std::uint64_t zigzagged) {
    const auto size = zigzagged >> 1U;
    const bool back = (zigzagged & 1U) != 0;
    constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
    if (back ? size >= from : size > most - from) {
        return std::nullopt;
    }
    return back ? from - 1 - static_cast<std::uint32_t>(size) : from + static_cast<std::uint32_t>(size);
}

}  // namespace

void Packer::add(std::uint32_t subject, const Amounts& amounts) {
    const auto fields = std::ranges::count_if(amounts, [](auto amount) { return amount != 0; });
    if (fields == 0) {
        return;
    }
    append_number(packed_, zigzag(static_cast<std::int64_t>(subject) - static_cast<std::int64_t>(last_)));
    append_number(packed_, static_cast<std::uint64_t>(fields));
    for (std::size_t field = 0; field < amounts.size(); ++field) {
        if (amounts.at(field) != 0) {
            append_number(packed_, field);
            append_number(packed_, amounts.at(field));
        }
    }
    last_ = subject;
}

std::string Packer::take() {
    packed_.shrink_to_fit();
    last_ = 0;
    return std::exchange(packed_, {});
}

std::uint64_t Unpacker::number() {
    constexpr unsigned bits = 64;
    std::uint64_t number = 0;
    for (unsigned shift = 0; shift < bits && !left_.empty(); shift += 7) {
        const auto byte = static_cast<unsigned char>(left_.front());
        left_.remove_prefix(1);
        number |= std::uint64_t{byte & 0x7FU} << shift;
        if (byte < 0x80U) {
            return number;
        }
    }
    broken_ = true;
    return 0;
}

bool Unpacker::next() {
    if (left_.empty() || broken_) {
        return false;
    }
    const auto subject = stepped(subject_, number());
    const auto fields = number();
    amounts_.fill(0);
    broken_ = broken_ || !subject || fields > amounts_.size();
    for (std::uint64_t i = 0; i < fields && !broken_; ++i) {
        const auto field = number();
        const auto amount = number();
        broken_ = broken_ || field >= amounts_.size();
        if (!broken_) {
            amounts_.at(field) = amount;
        }
    }
    subject_ = subject.value_or(0);
    return !broken_;
}

namespace {

std::string merged(std::span<const SharedColumn> columns, std::string Column::* packed) {
    std::map<std::uint32_t, Amounts> sums;
    for (const auto& column : columns) {
        auto hint = sums.begin();
        for (Unpacker unpacker((*column).*packed); unpacker.next();) {
            hint = sums.try_emplace(hint, unpacker.subject());
            add(hint->second, unpacker.amounts());
        }
    }
    Packer packer;
    for (const auto& [subject, amounts] : sums) {
        packer.add(subject, amounts);
    }
    return packer.take();
}

}  // namespace

SharedColumn merged(std::span<const SharedColumn> columns) {
    if (columns.size() == 1) {
        return columns.front();
    }
    return std::make_shared<const Column>(Column{.begin = columns.front()->begin,
                                                 .end = columns.back()->end,
                                                 .backends = merged(columns, &Column::backends),
                                                 .servers = merged(columns, &Column::servers)});
}

}  // namespace upstat::history
