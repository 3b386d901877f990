// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/http_files.hpp"
#include "base/names.hpp"
#include "base/time.hpp"
#include "base/url.hpp"
#include "judge/alert.hpp"

namespace upstat::config {

/// The rules beside the built-in one about codes. They have its window, `for`, min-rate and labels.
inline constexpr std::string_view connect_failures_rule = "UpstatBackendConnectFailures";
inline constexpr std::string_view unanswered_rule = "UpstatBackendUnanswered";

/// Everything that a user can set; the names, defaults and meanings are those of `options()`.
struct Settings {
    std::vector<Url> traefik_api;
    std::string traefik_api_username;
    std::string traefik_api_password_file;
    std::string traefik_api_ca_file;
    std::string traefik_api_host;
    bool traefik_api_insecure_skip_verify = false;
    int traefik_pid = 0;
    std::string traefik_cgroup;
    std::vector<std::string> traefik_allow;
    std::string backends_file;
    Millis poll_interval{};
    judge::Rule rule;  ///< the built-in one
    double connect_failures_percent = 0;
    double unanswered_percent = 0;
    std::vector<judge::Rule> rules;  ///< more, from the file's alert.rules
    std::vector<std::string> web_listen_address;
    std::string web_config_file;
    Millis metrics_zero_for{};
    Names metrics_names = Names::backend;
    std::optional<Url> web_external_url;
    std::optional<Url> push_url;  ///< none: nothing is pushed
    std::string push_job;
    std::string push_instance;
    Millis push_interval{};
    HttpFiles push_files;
    std::vector<Url> alertmanager_url;
    HttpFiles alertmanager_files;
    std::string state_path;
    Millis forget_after{};  ///< 0: never
    std::string bpf_pin_path;
    std::uint32_t bpf_totals_size = 0;
    std::uint32_t bpf_requests_size = 0;
    std::uint32_t samples = 0;  ///< of each server; 0: none are taken
    std::string probe_tls;      ///< auto, on or off
    std::string log_level;
    std::string log_format;

    /// The built-in rule, those about requests without a response that are not off, and those of the file.
    [[nodiscard]] std::vector<judge::Rule> all_rules() const;
};

/// Values by option name, from one source.
using Given = std::map<std::string, std::vector<std::string>>;

/// Where the settings come from, beside the environment. A reload reads the same sources again.
struct Sources {
    std::string file;  ///< empty: none
    Given flags;
};

/// Default < file < variables of the environment < flags: all of the settings, or each mistake with where it stands.
std::expected<Settings, std::vector<Error>> load(const Sources& sources);

/// What is wrong with the files that both sides of a connection know each other by. They are read for that, so only who
/// sends by them asks: a user who calls `upstat status` may not read a key.
std::vector<Error> file_mistakes(const Settings& settings);

/// The options that differ and that a running agent cannot change: they wait for its restart.
std::vector<std::string> unreloadable_changes(const Settings& now, const Settings& next);

/// `next`, but for what a running agent cannot change: that is as in `now`.
Settings with_unreloadable(Settings next, const Settings& now);

/// The variables of the environment that name an option. Values of repeatable ones are separated by commas.
Given read_environment();

struct FileSettings;

/// load() with each source at hand. Each mistake says where its value came from.
std::expected<Settings, std::vector<Error>> merge(const FileSettings& file, const std::string& file_name,
                                                  const Given& variables, const Given& flags);

}  // namespace upstat::config
