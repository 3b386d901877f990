// SPDX-License-Identifier: Apache-2.0
#include "history/read.hpp"

#include <algorithm>
#include <iterator>

namespace upstat::history {

namespace {

/// Of backends or of servers: where a column has them.
using Part = std::string Column::*;

bool is_of(const Subject& subject, Part part) {
    return subject.is_backend == (part == &Column::backends);
}

std::map<std::string, Amounts> sums(const View& view, Part part, Span span) {
    std::vector<Amounts> by_number(view.subjects->size());
    std::vector<bool> seen(by_number.size());
    for (const auto& column : columns_in(view, span)) {
        for (Unpacker unpacker((*column).*part); unpacker.next();) {
            if (const auto number = unpacker.subject(); number < by_number.size()) {
                add(by_number[number], unpacker.amounts());
                seen[number] = true;
            }
        }
    }
    std::map<std::string, Amounts> sums;
    for (std::size_t number = 0; number < by_number.size(); ++number) {
        if (seen[number]) {
            add(sums[(*view.subjects)[number].name], by_number[number]);
        }
    }
    return sums;
}

Rows rows(const View& view, Part part, const std::set<std::string>& names, Span span) {
    const auto columns = columns_in(view, span);
    Rows rows;
    for (const auto& name : names) {
        rows[name].resize(columns.size());
    }
    std::vector<std::vector<Amounts>*> by_number(view.subjects->size());
    for (std::size_t number = 0; number < by_number.size(); ++number) {
        const auto& subject = (*view.subjects)[number];
        if (const auto row = rows.find(subject.name); row != rows.end() && is_of(subject, part)) {
            by_number[number] = &row->second;
        }
    }
    for (std::size_t i = 0; i < columns.size(); ++i) {
        for (Unpacker unpacker((*columns[i]).*part); unpacker.next();) {
            if (const auto number = unpacker.subject(); number < by_number.size() && by_number[number] != nullptr) {
                add((*by_number[number])[i], unpacker.amounts());
            }
        }
    }
    return rows;
}

}  // namespace

std::vector<SharedColumn> columns_in(const View& view, Span span) {
    std::vector<SharedColumn> columns;
    std::ranges::copy_if(view.columns, std::back_inserter(columns),
                         [&](const SharedColumn& column) { return column->end > span.from && column->end <= span.to; });
    return columns;
}

Millis length_of(const View& view, Span span) {
    const auto columns = columns_in(view, span);
    return columns.empty() ? Millis(0) : columns.back()->end - columns.front()->begin;
}

std::map<std::string, Amounts> server_sums(const View& view, Span span) {
    return sums(view, &Column::servers, span);
}

std::map<std::string, Amounts> backend_sums(const View& view, Span span) {
    return sums(view, &Column::backends, span);
}

Rows server_rows(const View& view, const std::set<std::string>& labels, Span span) {
    return rows(view, &Column::servers, labels, span);
}

Rows backend_rows(const View& view, const std::set<std::string>& names, Span span) {
    return rows(view, &Column::backends, names, span);
}

}  // namespace upstat::history
