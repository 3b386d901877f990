// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "publish/report.hpp"

namespace upstat::publish {

/// What the web's pages other than /metrics say. Times are RFC 3339 strings or null; counts are numbers.

/// /api/v1/status: {at, ready, not_ready, build{}, traefiks[{pid, cgroup, api, version, attached, problem}], last_poll,
/// poll_seconds, config_reloaded, results{polls, push, alertmanager, traefik_api: {success, failure, last_error}},
/// maps[{map, entries, capacity}], programs[{program, runs, seconds}], kernel_errors{place: n},
/// left_out_servers["ip:port"]: of TCP and UDP services}
std::string status_json(const Report& report);

/// /api/v1/alerts: {at, rules[{name, share, codes, window_seconds, for_seconds, threshold_percent, min_rate, severity,
/// labels{}, annotations{}}], alerts[{alert, backend, state, percent, ratio, rate, worst{server, code, count},
/// sentence, explanation, active_since, firing_since, resolved_at}]}. `ratio` is the alert's own, 0 to 1, `rate` that
/// of all responses; `sentence` is empty while an alert is inactive.
std::string alerts_json(const Report& report);

/// /api/v1/backends: {at, backends{NAME: {provider, outage, ratio, matching_rate, rate, requests, codes{"404": n},
/// alerts{ALERT: {state, ratio}}, listed[{url, up, servers["ip:port"]}]}}, servers{LABEL: {requests, connects,
/// outstanding, window{seconds, codes{}}, codes{}, methods{}, unanswered{}, unread{}, connect_failures{}}}}. `ratio` is
/// of 4xx; it and the rates (per second) may be null. `outage` says what is wrong before all else ("no responses for
/// 38s, ..."), or is empty. `window` is what a server gave since one or two of the longest windows ago.
std::string backends_json(const Report& report);

}  // namespace upstat::publish
