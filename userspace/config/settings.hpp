// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "judge/alert.hpp"

namespace upstat::config {

/// Everything that a user can set; the names, defaults and meanings are those of `options()`.
struct Settings {
    std::vector<std::string> traefik_api;
    std::string traefik_api_username;
    std::string traefik_api_password_file;
    std::string traefik_api_ca_file;
    int traefik_pid = 0;
    std::string traefik_cgroup;
    std::string backends_file;
    Millis poll_interval{};
    judge::Rule rule;                ///< the built-in one
    std::vector<judge::Rule> rules;  ///< more, from the file's alert.rules
    std::vector<std::string> web_listen_address;
    std::string push_url;
    std::string push_job;
    std::string push_instance;
    Millis push_interval{};
    std::vector<std::string> alertmanager_url;
    std::string state_path;
    std::string bpf_pin_path;
    std::uint32_t bpf_totals_size = 0;
    std::uint32_t bpf_requests_size = 0;
    std::string log_level;
    std::string log_format;

    /// The built-in rule and those of the file.
    [[nodiscard]] std::vector<judge::Rule> all_rules() const;
};

/// One flag, which is also a key of the file and a variable: poll.interval, --poll.interval, UPSTAT_POLL_INTERVAL.
struct Option {
    std::string_view name;
    std::string_view value;  ///< what the help calls its value
    std::string_view initial;
    std::string_view help;
    bool repeatable = false;
    Result<void> (*set)(Settings&, const std::vector<std::string>&);
};

std::span<const Option> options();

/// UPSTAT_POLL_INTERVAL for poll.interval.
std::string variable_of(std::string_view name);

/// Values by option name, from one source.
using Given = std::map<std::string, std::vector<std::string>>;

/// What a file says, and each mistake in it, as "file:line: ..." with a hint.
struct FileSettings {
    Given given;
    std::vector<judge::Rule> rules;
    std::vector<Error> errors;
};
FileSettings read_settings_file(const std::string& path);

/// The variables of the environment that name an option. Values of repeatable ones are separated by commas.
Given read_environment();

/// Default < file < variables < flags. Each mistake says where its value came from.
std::expected<Settings, std::vector<Error>> merge(const FileSettings& file, const std::string& file_name,
                                                  const Given& variables, const Given& flags);

/// Prometheus's durations: 5s, 1m30s, 200ms, 1h, 1d. Zero only as "0s" or "0".
Result<Millis> parse_duration(std::string_view text);

}  // namespace upstat::config
