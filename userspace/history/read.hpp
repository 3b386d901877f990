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

/// What each server was counted with in that time, by its label; or each backend, by its name. Those with nothing are
/// not among them.
std::map<std::string, Amounts> server_sums(const View& view, Span span = {});
std::map<std::string, Amounts> backend_sums(const View& view, Span span = {});

/// The columns of that time.
std::vector<SharedColumn> columns_in(const View& view, Span span = {});

/// From the first column's begin to the last one's end.
Millis length_of(const View& view, Span span = {});

/// What some of them were counted with in each column of that time; a row for each, also for those with nothing.
using Rows = std::map<std::string, std::vector<Amounts>>;
Rows server_rows(const View& view, const std::set<std::string>& labels, Span span = {});
Rows backend_rows(const View& view, const std::set<std::string>& names, Span span = {});

}  // namespace upstat::history
