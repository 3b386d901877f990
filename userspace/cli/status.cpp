// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <iostream>

#include "base/printable.hpp"
#include "cli/ask.hpp"
#include "cli/commands.hpp"

namespace upstat::cli {

namespace {

using nlohmann::json;

std::string or_dash(const json& value) {
    const auto text = value.is_null() ? "" : shown(value);
    return text.empty() ? "-" : text;
}

std::string traefik_text(const json& traefik) {
    auto text = fmt::format(
        "traefik    pid {} version {} {} in {}\n", or_dash(traefik.at("pid")), or_dash(traefik.at("version")),
        traefik.at("attached").get<bool>() ? "counted" : "NOT COUNTED", or_dash(traefik.at("cgroup")));
    if (const auto name = traefik.value("name", ""); !name.empty()) {  // an older agent does not say, nor one of one
        text += fmt::format("           in its series: traefik={}\n", shown(name));
    }
    text += fmt::format("           api {}\n", or_dash(traefik.at("api")));
    if (traefik.contains("shared") && or_dash(traefik.at("shared")) != "-") {
        text += fmt::format("           shares its cgroup with {}: only its own connections count\n",
                            or_dash(traefik.at("shared")));
    }
    if (const auto company = traefik.value("company", ""); !company.empty()) {
        text += fmt::format("           counted together with {}\n", shown(company));
    }
    if (traefik.contains("tls")) {  // an older agent does not say
        text += fmt::format("           responses of TLS and HTTP/2 servers: {}\n", or_dash(traefik.at("tls")));
    }
    if (or_dash(traefik.at("problem")) != "-") {
        text += fmt::format("           problem: {}\n", or_dash(traefik.at("problem")));
    }
    return text;
}

/// The kernel counts a program's runs only where kernel.bpf_stats_enabled is set.
std::string program_text(const json& program) {
    const auto name = shown(program.at("program"));
    return program.at("runs").get<std::uint64_t>() == 0
               ? fmt::format("program    {}\n", name)
               : fmt::format("program    {}: {} runs, {} s\n", name, shown(program.at("runs")),
                             shown(program.at("seconds")));
}

std::string result_text(const std::string& name, const json& result) {
    const auto last = or_dash(result.at("last_error"));
    return fmt::format("{:<26} {} good, {} failed{}\n", printable(name), or_dash(result.at("success")),
                       or_dash(result.at("failure")), last == "-" ? "" : ", last: " + last);
}

/// The servers of TCP and UDP services, as many as a line takes.
std::string left_out_text(const json& servers) {
    constexpr std::size_t shown_most = 8;
    std::string text;
    for (std::size_t i = 0; i < std::min(servers.size(), shown_most); ++i) {
        text += (i == 0 ? "" : ", ") + or_dash(servers.at(i));
    }
    return servers.empty()
               ? ""
               : fmt::format("left out   {} server{} of TCP or UDP services: {}{}\n", servers.size(),
                             servers.size() == 1 ? "" : "s", text, servers.size() > shown_most ? ", ..." : "");
}

std::string status_text(const json& status) {
    const bool ready = status.at("ready").get<bool>();
    auto text =
        fmt::format("ready      {}{}\n", ready ? "yes" : "no", ready ? "" : ": " + or_dash(status.at("not_ready")));
    text += fmt::format("last poll  {} ({:.1f} ms)\n", or_dash(status.at("last_poll")),
                        status.at("poll_seconds").get<double>() * 1000);
    for (const auto& traefik : status.at("traefiks")) {
        text += traefik_text(traefik);
    }
    for (const auto& map : status.at("maps")) {
        text += fmt::format("map        {}: {} of {} ({:.0f} %)\n", or_dash(map.at("map")), or_dash(map.at("entries")),
                            or_dash(map.at("capacity")),
                            100 * map.at("entries").get<double>() / map.at("capacity").get<double>());
    }
    for (const auto& program : status.at("programs")) {
        text += program_text(program);
    }
    for (const auto& [name, result] : status.at("results").items()) {
        text += result_text(name, result);
    }
    for (const auto& [url, result] : status.at("alertmanagers").items()) {
        text += result_text("alertmanager " + url, result);
    }
    for (const auto& [name, reason] : status.at("unresolved_names").items()) {
        text += fmt::format("name       {} cannot be looked up: {}\n", printable(name), or_dash(reason));
    }
    if (const auto all = status.at("unresolved_count").get<std::uint64_t>(),
        shown = status.at("unresolved_names").size();
        all > shown) {
        text += fmt::format("name       {} more cannot be looked up\n", all - shown);
    }
    if (const auto notice = shown(status.at("notice")); !notice.empty()) {
        text += fmt::format("notice     ready, but {}\n", notice);
    }
    text += left_out_text(status.at("left_out_servers"));
    if (const auto unwatched = status.at("unwatched_cgroups").get<std::uint64_t>(); unwatched != 0) {
        text += fmt::format("cgroups    {} without an inotify watch: raise fs.inotify.max_user_watches\n", unwatched);
    }
    text += fmt::format("threads    that read foreign bytes: {}\n", or_dash(status.at("reading_threads")));
    for (const auto& [place, count] : status.at("kernel_errors").items()) {
        if (count != 0) {
            text += fmt::format("kernel     {}: {}\n", printable(place), or_dash(count));
        }
    }
    return text;
}

}  // namespace

Result<void> show_status(const config::Settings& settings, Output output) {
    const auto status = ask_agent(settings, "/api/v1/status");
    if (!status) {
        return std::unexpected(status.error());
    }
    const auto text = status_text(*status);  // as JSON too: not everything that is JSON is an agent's status
    std::cout << (output == Output::json ? status->dump(2) + "\n" : text);
    return {};
}

}  // namespace upstat::cli
