// SPDX-License-Identifier: Apache-2.0
#include "publish/exposition.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <deque>
#include <initializer_list>
#include <set>
#include <utility>

#include "attribute/kubernetes.hpp"
#include "publish/text.hpp"

namespace upstat::publish {

namespace {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// Writes the lines of one page.
class Writer {
  public:
    explicit Writer(const Sink& sink) : sink_(&sink) { text_.reserve(2 * piece); }

    /// Begins a metric; its samples follow until the next one.
    void metric(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        text_.append("# HELP ").append(name).append(" ").append(help);
        text_.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
    }

    void sample(Labels labels, auto value) { sample("", labels, value); }

    /// `ready` are labels that stand as they are: `server="..."`.
    void sample(std::string_view ready, Labels labels, auto value) {
        text_ += name_;
        char before = '{';
        if (!ready.empty()) {
            text_ += '{';
            text_ += ready;
            before = ',';
        }
        for (const auto& [label, text] : labels) {
            text_ += before;
            text_.append(label).append("=\"");
            append_label_value(text_, text);
            text_ += '"';
            before = ',';
        }
        text_ += before == '{' ? " " : "} ";
        number(value);
        end_line();
    }

    /// A sample of a metric that has no labels.
    void sample(auto value) { sample(Labels{}, value); }

    /// A line from two pieces that stand as they are.
    void line(std::string_view beginning, std::string_view ending, std::uint64_t value) {
        const auto size = text_.size();
        const auto room = size + beginning.size() + ending.size() + most_digits + 1;
        text_.resize_and_overwrite(room, [&](char* data, std::size_t /*room*/) {
            auto* end = data + size;
            end += beginning.copy(end, beginning.size());
            end += ending.copy(end, ending.size());
            end = std::to_chars(end, end + most_digits, value).ptr;
            *end++ = '\n';
            return static_cast<std::size_t>(end - data);
        });
        hand_over_piece();
    }

    /// Hands over what is left. False when it was not wanted.
    bool finish() {
        if (!text_.empty() && wanted_) {
            wanted_ = (*sink_)(text_);
        }
        text_.clear();
        return wanted_;
    }

  private:
    static constexpr std::size_t piece = std::size_t{1} << 18;
    static constexpr std::size_t most_digits = 20;

    void end_line() {
        text_ += '\n';
        hand_over_piece();
    }
    void hand_over_piece() {
        if (text_.size() >= piece) {
            finish();
        }
    }
    void number(double value) { append_number(text_, value); }
    void number(std::integral auto value) {
        std::array<char, 24> digits{};
        text_.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
    }

    const Sink* sink_;
    bool wanted_ = true;
    std::string text_;
    std::string_view name_;
};

std::string label(std::string_view name, std::string_view value) {
    std::string text(name);
    text += "=\"";
    append_label_value(text, value);
    text += '"';
    return text;
}

/// Behind another label; empty where no Traefik is known.
std::string traefik_label(const Report& report, std::optional<std::uint16_t> zone) {
    const auto name = zone ? traefik_name(report, *zone) : std::string_view();
    return name.empty() ? std::string() : "," + label("traefik", name);
}

std::string labels_of(const Report& report, const attribute::BackendName& backend, std::string_view name = "backend") {
    return label(name, backend.name) + traefik_label(report, backend.zone);
}

/// The counts, and 0 for every usual code of GET that has none; in the order of the series. `take(series, value)` gets
/// them one by one.
void each_with_zeros(const attribute::SeriesCounts& counts, auto&& take) {
    auto next = counts.begin();
    for (const auto code : usual_codes) {
        const attribute::Series zero{.code = code, .method = poll::Method::get};
        for (; next != counts.end() && next->first < zero; ++next) {
            take(next->first, next->second);
        }
        if (next == counts.end() || next->first != zero) {
            take(zero, 0);
        }
    }
    for (; next != counts.end(); ++next) {
        take(next->first, next->second);
    }
}

std::string ending_of(const poll::ResponseKey& response) {
    return std::to_string(response.code) + "\"," + label("method", to_string(response.method)) + "} ";
}

std::string ending_of(const attribute::Series& series) {
    return std::to_string(series.code) + "\"," + label("method", to_string(series.method)) + "," +
           label("protocol", to_string(series.protocol)) + "} ";
}

/// Most of a page are the lines of two metrics. What stands behind `code="` in them, as `200",method="GET"} `, is put
/// together once for all of them.
template <typename Key>
class Endings {
  public:
    /// Keys mostly come in the order in which they came before.
    [[nodiscard]] std::string_view of(const Key& key) {
        ++at_;
        if (at_ >= texts_.size() || texts_[at_].first != key) {
            at_ = place_of(key);
        }
        return texts_[at_].second;
    }

  private:
    std::size_t place_of(const Key& key) {
        auto place = std::ranges::lower_bound(texts_, key, {}, &std::pair<Key, std::string>::first);
        if (place == texts_.end() || place->first != key) {
            place = texts_.emplace(place, key, ending_of(key));
        }
        return static_cast<std::size_t>(place - texts_.begin());
    }

    std::vector<std::pair<Key, std::string>> texts_;  ///< ascending
    std::size_t at_ = 0;                              ///< of the last one
};

/// What a page shows, and since when a series must be there to be shown with its count.
struct Shown {
    const Page* page;
    Time born;
};

/// The series that Traefik has too, by the names of one of its versions.
struct Family {
    std::string_view label;
    std::string_view requests;
    std::string_view requests_help;
    std::string_view ups;
    std::string_view ups_help;
};
constexpr Family of_backends{.label = "backend",
                             .requests = "traefik_backend_requests_total",
                             .requests_help = "Responses of the servers of a Traefik backend, as the kernel saw them.",
                             .ups = "traefik_backend_server_up",
                             .ups_help = "1 if Traefik takes this server of a backend for healthy, 0 if not."};
constexpr Family of_services{.label = "service",
                             .requests = "traefik_service_requests_total",
                             .requests_help = "Responses of the servers of a Traefik service, as the kernel saw them.",
                             .ups = "traefik_service_server_up",
                             .ups_help = "1 if Traefik takes this server of a service for healthy, 0 if not."};

void backend_requests(Writer& out, const Shown& shown, const Family& family) {
    out.metric(family.requests, "counter", family.requests_help);
    Endings<attribute::Series> endings;
    for (const auto& [backend, counts] : shown.page->report->counts.backends) {
        const auto beginning =
            std::string(family.requests) + "{" + labels_of(*shown.page->report, backend, family.label) + ",code=\"";
        const auto write = [&](const attribute::Series& series, std::uint64_t value) {
            out.line(beginning, endings.of(series), value);
        };
        const auto young = shown.page->young->backends.find(backend);
        if (young == shown.page->young->backends.end()) {
            each_with_zeros(counts, write);
        } else {
            each_with_zeros(without_young(counts, young->second, shown.born), write);
        }
    }
}

void backend_ups(Writer& out, const Report& report, const Family& family) {
    out.metric(family.ups, "gauge", family.ups_help);
    for (const auto& [name, backend] : report.catalogue->backends) {
        std::map<std::string_view, bool> ups;  // a url that is listed twice is one series
        for (const auto& listed : backend.listed) {
            ups.emplace(listed.url, listed.up);
        }
        const auto ready = labels_of(report, name, family.label);
        for (const auto& [url, up] : ups) {
            out.sample(ready, {{"url", url}}, up ? 1 : 0);
        }
    }
}

void backends(Writer& out, const Shown& shown, const Family& family) {
    const auto& report = *shown.page->report;
    backend_requests(out, shown, family);
    if (std::ranges::any_of(report.traefiks, &TraefikReport::attached)) {  // else nobody is left who would tell
        backend_ups(out, report, family);
    }
}

/// A server with its labels ready to print.
struct LabelledServer {
    std::string labels;
    const poll::ServerTotals* totals;
    const poll::ServerTotals* shown;  ///< young series at 0
};

void server_counts(Writer& out, const std::vector<LabelledServer>& servers) {
    for (const auto& count : poll::plain_counts) {
        out.metric(count.metric, "counter", count.help);
        for (const auto& server : servers) {
            out.sample(server.labels, {}, server.shown->*count.member);
        }
    }
    out.metric("upstat_server_responses_total", "counter", "Responses of a server by status code and request method.");
    Endings<poll::ResponseKey> endings;
    for (const auto& server : servers) {
        const auto beginning = "upstat_server_responses_total{" + server.labels + ",code=\"";
        for (const auto& [key, value] : server.shown->responses) {
            out.line(beginning, endings.of(key), value);
        }
    }
    out.metric("upstat_server_outstanding_requests", "gauge",
               "Requests that wait for their response: requests - responses - unanswered.");
    for (const auto& server : servers) {
        out.sample(server.labels, {}, server.totals->outstanding());
    }
}

void server_counts_by_reason(Writer& out, const std::vector<LabelledServer>& servers, const poll::ReasonCount& count) {
    constexpr std::string_view end = "\"} ";
    out.metric(count.metric, "counter", count.help);
    for (const auto& server : servers) {
        const auto beginning = std::string(count.metric) + "{" + server.labels + ",reason=\"";
        for (const auto& [reason, value] : server.shown->*count.member) {
            out.line(beginning, reason + std::string(end), value);
        }
    }
}

void servers(Writer& out, const Shown& shown) {
    const auto& report = *shown.page->report;
    std::deque<poll::ServerTotals> with_zeros;  // does not move them
    std::vector<LabelledServer> labelled;
    labelled.reserve(report.servers.servers.size() + 2);
    each_server(report, [&](const ServerSeries& series, const poll::ServerTotals& totals) {
        const auto young = shown.page->young->servers.find(series);
        const auto* const counts = young == shown.page->young->servers.end()
                                       ? &totals
                                       : &with_zeros.emplace_back(without_young(totals, young->second, shown.born));
        labelled.push_back({label("server", series.label) + traefik_label(report, series.zone), &totals, counts});
    });
    server_counts(out, labelled);
    for (const auto& count : poll::reason_counts) {
        server_counts_by_reason(out, labelled, count);
    }
}

/// Calls `take(label, kind, totals)` for each server and kind.
void each_probe(const Report& report, auto&& take) {
    for (const auto& [kind, servers] : report.probes) {
        for (const auto& [server, totals] : servers) {
            const bool is_sum = server == poll::Server{};
            take(label("server", is_sum ? std::string(overflow_label) : to_string(server)) +
                     traefik_label(report, is_sum ? std::nullopt : std::optional(server.zone)),
                 kind, totals);
        }
    }
}

void probes(Writer& out, const Report& report) {
    out.metric("upstat_server_probe_requests_total", "counter",
               "Requests that Traefik made by itself, by kind; they are in no other series.");
    each_probe(report, [&](const std::string& server, const std::string& kind, const poll::ServerTotals& totals) {
        out.sample(server, {{"kind", kind}}, totals.requests);
    });
    out.metric("upstat_server_probe_responses_total", "counter", "Responses to these by status code.");
    each_probe(report, [&](const std::string& server, const std::string& kind, const poll::ServerTotals& totals) {
        for (const auto& [key, count] : totals.responses) {
            out.sample(server, {{"code", std::to_string(key.code)}, {"kind", kind}}, count);
        }
    });
    out.metric("upstat_server_probe_unanswered_total", "counter", "Those that will never have a response, by reason.");
    each_probe(report, [&](const std::string& server, const std::string& kind, const poll::ServerTotals& totals) {
        for (const auto& [reason, count] : totals.unanswered) {
            out.sample(server, {{"kind", kind}, {"reason", reason}}, count);
        }
    });
}

void backend_servers(Writer& out, const Report& report) {
    out.metric("upstat_backend_server_info", "gauge", "1 for each server that Traefik lists for a backend.");
    const auto namespaces = attribute::plain_namespaces(*report.catalogue);
    for (const auto& [name, backend] : report.catalogue->backends) {
        const auto kubernetes = attribute::kubernetes_name(name.name, backend.provider, namespaces);
        std::set<poll::Server> listed;  // two urls may stand for one server
        for (const auto& entry : backend.listed) {
            listed.insert(entry.servers.begin(), entry.servers.end());
        }
        const auto ready = labels_of(report, name);
        for (const auto& server : listed) {
            if (kubernetes != attribute::KubernetesName{}) {
                out.sample(ready,
                           {{"server", to_string(server)},
                            {"provider", backend.provider},
                            {"agent", report.agent},
                            {"namespace", kubernetes.name_space},
                            {"service", kubernetes.service},
                            {"port", kubernetes.port}},
                           1);
                continue;
            }
            out.sample(ready, {{"server", to_string(server)}, {"provider", backend.provider}, {"agent", report.agent}},
                       1);
        }
    }
}

/// A Traefik that is counted while no backend is known leaves every alert of a backend silent.
void known(Writer& out, const Report& report) {
    const auto counted = std::ranges::count_if(report.traefiks, &TraefikReport::attached);
    out.metric("upstat_traefiks", "gauge", "Traefiks of this host, by whether their traffic is counted.");
    out.sample({{"state", "counted"}}, static_cast<std::uint64_t>(counted));
    out.sample({{"state", "not_counted"}}, report.traefiks.size() - static_cast<std::uint64_t>(counted));
    out.metric("upstat_traefik_up", "gauge", "1 while a Traefik that is counted runs on this host.");
    out.sample(counted != 0 ? 1 : 0);
    out.metric("upstat_backends", "gauge", "Backends that Traefik's API or backends.file lists.");
    const auto is_named = [](const auto& entry) { return !attribute::is_nameless(entry.second); };
    out.sample(static_cast<std::uint64_t>(std::ranges::count_if(report.catalogue->backends, is_named)));
}

void judgement(Writer& out, const Report& report) {
    out.metric(
        "upstat_backend_4xx_ratio", "gauge",
        "Share of 4xx in a backend's responses, 0 to 1, over the built-in rule's window; absent without traffic.");
    for (const auto& [backend, ratio] : report.client_errors.backends) {
        if (const auto value = ratio.value(); value && !std::isnan(*value)) {
            out.sample(labels_of(report, backend), {}, *value);
        }
    }
    out.metric("upstat_alert_state", "gauge", "State of an alert for a backend: 0 inactive, 1 pending, 2 firing.");
    for (const auto& alert : report.alerts.alerts) {
        out.sample(label("alert", alert.rule) + "," + labels_of(report, alert.backend), {},
                   static_cast<int>(alert.state));
    }
    out.metric("upstat_alert_ratio", "gauge",
               "Share of a backend's responses that an alert's rule counts, 0 to 1; absent without traffic.");
    for (const auto& alert : report.alerts.alerts) {
        if (const auto value = alert.ratio.value(); value && !std::isnan(*value)) {
            out.sample(label("alert", alert.rule) + "," + labels_of(report, alert.backend), {}, *value);
        }
    }
}

void results(Writer& out, std::string_view name, std::string_view help, const Results& results) {
    out.metric(name, "counter", help);
    out.sample({{"result", "success"}}, results.success);
    out.sample({{"result", "failure"}}, results.failure);
}

void notifications(Writer& out, const std::map<std::string, Results>& alertmanagers) {
    out.metric("upstat_alertmanager_notifications_total", "counter", "Messages to Alertmanagers.");
    for (const auto& [url, results] : alertmanagers) {
        out.sample({{"receiver", url}, {"result", "success"}}, results.success);
        out.sample({{"receiver", url}, {"result", "failure"}}, results.failure);
    }
}

double seconds(Wall time) {
    return static_cast<double>(time.time_since_epoch().count()) / 1000;
}

void work(Writer& out, const Report& report) {
    if (report.last_poll) {
        out.metric("upstat_last_poll_timestamp_seconds", "gauge",
                   "When the last good poll of the kernel's maps began.");
        out.sample(seconds(*report.last_poll));
    }
    out.metric("upstat_poll_duration_seconds", "gauge", "How long the last poll of the kernel's maps took.");
    out.sample(static_cast<double>(report.poll_duration.count()) / 1e6);
    results(out, "upstat_polls_total", "Polls of the kernel's maps.", report.polls);
    results(out, "upstat_push_total", "Pushes to the Pushgateway.", report.push);
    notifications(out, report.alertmanagers);
    results(out, "upstat_traefik_api_requests_total", "Requests to Traefik's API.", report.traefik_api);
    results(out, "upstat_name_lookups_total", "Look-ups of servers' host names.", report.name_lookups);
    out.metric("upstat_unresolved_names", "gauge",
               "Host names of servers whose last look-up failed: their responses are not told apart.");
    out.sample(report.unresolved_names);
    out.metric("upstat_unwatched_cgroups", "gauge",
               "Cgroups without an inotify watch: a Traefik that starts in one is found at the next poll only.");
    out.sample(report.unwatched_cgroups);
}

void kernel(Writer& out, const Report& report) {
    out.metric("upstat_map_entries", "gauge", "Entries in a kernel map.");
    for (const auto& map : report.maps) {
        out.sample({{"map", map.map}}, map.entries);
    }
    out.metric("upstat_map_capacity", "gauge", "Entries that a kernel map can hold.");
    for (const auto& map : report.maps) {
        out.sample({{"map", map.map}}, map.capacity);
    }
    out.metric("upstat_kernel_errors_total", "counter", "Skips and failures of the kernel programs, by place.");
    for (const auto& [place, count] : report.kernel_errors) {
        out.sample({{"place", place}}, count);
    }
    out.metric("upstat_probe_runs_total", "counter", "Runs of a kernel program, while kernel.bpf_stats_enabled is 1.");
    for (const auto& program : report.programs) {
        out.sample({{"program", program.program}}, program.runs);
    }
    out.metric("upstat_probe_run_seconds_total", "counter",
               "Time spent in a kernel program, while kernel.bpf_stats_enabled is 1.");
    for (const auto& program : report.programs) {
        out.sample({{"program", program.program}}, static_cast<double>(program.nanoseconds) / 1e9);
    }
}

void build(Writer& out, const Report& report) {
    out.metric("upstat_config_last_reload_successful", "gauge",
               "1 if the configuration was read without a mistake the last time, 0 if not.");
    out.sample(report.config_reloaded ? 1 : 0);
    out.metric("upstat_build_info", "gauge", "1, with what this agent is built from as labels.");
    std::string labels;
    for (const auto& [name, value] : report.build) {
        labels += (labels.empty() ? "" : ",") + label(name, value);
    }
    out.sample(labels, {}, 1);
}

void optional_sample(Writer& out, std::string_view name, std::string_view type, std::string_view help,
                     const auto& value) {
    if (value) {
        out.metric(name, type, help);
        out.sample(*value);
    }
}

void process(Writer& out, const ProcessStats& stats) {
    optional_sample(out, "process_cpu_seconds_total", "counter", "User and system CPU time of the agent.",
                    stats.cpu_seconds);
    optional_sample(out, "process_open_fds", "gauge", "Open file descriptors of the agent.", stats.open_fds);
    optional_sample(out, "process_max_fds", "gauge", "File descriptors that the agent may open.", stats.max_fds);
    optional_sample(out, "process_virtual_memory_bytes", "gauge", "Virtual memory of the agent.", stats.virtual_bytes);
    optional_sample(out, "process_virtual_memory_max_bytes", "gauge", "Virtual memory that the agent may have.",
                    stats.max_virtual_bytes);
    optional_sample(out, "process_resident_memory_bytes", "gauge", "Resident memory of the agent.",
                    stats.resident_bytes);
    optional_sample(out, "process_start_time_seconds", "gauge", "When the agent started, in seconds since 1970.",
                    stats.start_time_seconds);
}

}  // namespace

namespace {

void write_lasting(Writer& out, const Page& page, Time born) {
    const auto& report = *page.report;
    const Shown shown{.page = &page, .born = born};
    if (say_backend(report.names)) {
        backends(out, shown, of_backends);
    }
    if (say_service(report.names)) {
        backends(out, shown, of_services);
    }
    servers(out, shown);
    probes(out, report);
    backend_servers(out, report);
    known(out, report);
    judgement(out, report);
    work(out, report);
    kernel(out, report);
    build(out, report);
}

Sink append_to(std::string& text) {
    return [&text](std::string_view piece) {
        text += piece;
        return true;
    };
}

}  // namespace

bool write_page(const Page& page, const Sink& sink) {
    Writer out(sink);
    write_lasting(out, page, page.scraped_since);
    process(out, page.report->process);
    return out.finish();
}

std::string page_text(const Page& page) {
    std::string text;
    write_page(page, append_to(text));
    return text;
}

std::string pushed_text(const Page& page, std::string_view owner) {
    std::string text;
    const auto sink = append_to(text);
    Writer out(sink);
    write_lasting(out, page, page.pushed_since);
    out.metric(owner_metric, "gauge", "1, with the upstat agent that pushes this group.");
    out.sample({{"owner", owner}}, 1);
    out.finish();
    return text;
}

}  // namespace upstat::publish
