// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "history/history.hpp"

namespace upstat::history {

/// A stretch of the past: what ends after `from` and not after `to`.
struct Span {
    Time from = Time::min();
    Time to = Time::max();
};

/// What each server was counted with in that time; or each backend. Those with nothing are not among them.
std::map<poll::Server, Amounts> server_sums(const View& view, Span span = {});
std::map<attribute::BackendName, Amounts> backend_sums(const View& view, Span span = {});

/// The columns of that time.
std::vector<SharedColumn> columns_in(const View& view, Span span = {});

/// From the first column's begin to the last one's end.
Millis length_of(const View& view, Span span = {});

/// What some of them were counted with in each column of that time; a row for each, also for those with nothing.
using ServerRows = std::map<poll::Server, std::vector<Amounts>>;
using BackendRows = std::map<attribute::BackendName, std::vector<Amounts>>;
ServerRows server_rows(const View& view, const std::set<poll::Server>& servers, Span span = {});
BackendRows backend_rows(const View& view, const std::set<attribute::BackendName>& names, Span span = {});

}  // namespace upstat::history
