// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "config/settings.hpp"

namespace upstat::config {

/// What a source says for one option; one that is not repeatable takes the last.
using Texts = std::vector<std::string>;

/// One flag, which is also a key of the file and a variable: poll.interval, --poll.interval, UPSTAT_POLL_INTERVAL.
struct Option {
    std::string_view name;
    std::string_view value;  ///< what the help calls its value
    std::string_view initial;
    std::string_view help;
    bool repeatable = false;
    bool map = false;        ///< of names to values; as texts, each is NAME=VALUE
    bool of_rule = false;    ///< a rule of the file has it too
    bool reloadable = true;  ///< a running agent takes a new value
    Result<void> (*set)(Settings&, const Texts&) = nullptr;
    bool (*same)(const Settings&, const Settings&) = nullptr;
    void (*copy)(Settings& to, const Settings& from) = nullptr;
};

std::span<const Option> options();

/// Nothing for an unknown name.
const Option* find_option(std::string_view name);

std::vector<std::string_view> option_names();

/// UPSTAT_POLL_INTERVAL for poll.interval.
std::string variable_of(std::string_view name);

/// Prometheus's durations: 5s, 1m30s, 200ms, 1h, 1d. Zero only as "0s" or "0".
Result<Millis> parse_duration(std::string_view text);

}  // namespace upstat::config
