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

/// Of one or the other kind, by name or label.
using Name = attribute::BackendName;
using Rows = std::map<Name, std::vector<Amounts>>;

std::map<Name, Amounts> sums(const View& view, Part part, Span span) {
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
    std::map<Name, Amounts> sums;
    for (std::size_t number = 0; number < by_number.size(); ++number) {
        if (seen[number]) {
            const auto& subject = (*view.subjects)[number];
            add(sums[{subject.name, subject.zone}], by_number[number]);
        }
    }
    return sums;
}

Rows rows(const View& view, Part part, const std::set<Name>& names, Span span) {
    const auto columns = columns_in(view, span);
    Rows rows;
    for (const auto& name : names) {
        rows[name].resize(columns.size());
    }
    std::vector<std::vector<Amounts>*> by_number(view.subjects->size());
    for (std::size_t number = 0; number < by_number.size(); ++number) {
        const auto& subject = (*view.subjects)[number];
        if (const auto row = rows.find({subject.name, subject.zone}); row != rows.end() && is_of(subject, part)) {
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

std::map<poll::Server, Amounts> server_sums(const View& view, Span span) {
    std::map<poll::Server, Amounts> by_server;
    for (const auto& [name, amounts] : sums(view, &Column::servers, span)) {
        if (const auto server = server_of({.is_backend = false, .name = name.name, .zone = name.zone})) {
            by_server.emplace(*server, amounts);
        }
    }
    return by_server;
}

std::map<attribute::BackendName, Amounts> backend_sums(const View& view, Span span) {
    return sums(view, &Column::backends, span);
}

ServerRows server_rows(const View& view, const std::set<poll::Server>& servers, Span span) {
    std::set<Name> labels;
    for (const auto& server : servers) {
        labels.emplace(to_string(server), server.zone);
    }
    auto by_label = rows(view, &Column::servers, labels, span);
    ServerRows by_server;
    for (const auto& server : servers) {
        by_server.emplace(server, std::move(by_label.at({to_string(server), server.zone})));
    }
    return by_server;
}

BackendRows backend_rows(const View& view, const std::set<attribute::BackendName>& names, Span span) {
    return rows(view, &Column::backends, names, span);
}

}  // namespace upstat::history
