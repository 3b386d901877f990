// SPDX-License-Identifier: Apache-2.0
#include "cli/top_view.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cwchar>
#include <functional>
#include <ranges>
#include <tuple>

#include "base/printable.hpp"
#include "cli/ask.hpp"
#include "cli/servers.hpp"
#include "cli/socket_rows.hpp"

namespace upstat::cli {

namespace {

using nlohmann::json;
using Style = TopLine::Style;

constexpr std::size_t spark_columns = 20;

/// Responses in one stretch of a backend's history.
struct Stretch {
    double all = 0;
    double client_errors = 0;
    double server_errors = 0;
};

/// A backend as a row shows it.
struct BackendRow {
    std::string name;
    double rate = 0;
    double client_errors = 0;   ///< the share of 4xx
    double server_errors = 0;   ///< the share of 5xx
    int state = 0;              ///< 0 quiet, 1 pending, 2 firing, 3 no responses
    std::vector<Stretch> past;  ///< the newest last
};

/// The columns of the rule's window, as the counts of one backend.
std::vector<Stretch> past_of(const json& history, const json& series, double window) {
    const auto& ends = history.at("columns").at("end");
    std::vector<Stretch> past;
    for (std::size_t i = 0; i < ends.size(); ++i) {
        if (ends[i].get<double>() <= ends.back().get<double>() - window) {
            continue;
        }
        Stretch stretch;
        for (const auto& [field, counts] : series.items()) {
            const auto count = counts.at(i).get<double>();
            stretch.all += count;
            stretch.client_errors += field == "4xx" ? count : 0;
            stretch.server_errors += field == "5xx" ? count : 0;
        }
        past.push_back(stretch);
    }
    return past;
}

double window_of(const json& alerts) {
    const auto& rules = alerts.at("rules");
    return rules.empty() ? 180 : rules.front().at("window_seconds").get<double>();
}

/// How long the columns of the window are, together.
double length_of(const json& history, std::size_t columns) {
    const auto& ends = history.at("columns").at("end");
    const auto& begins = history.at("columns").at("begin");
    return columns == 0 ? 0 : ends.back().get<double>() - begins.at(ends.size() - columns).get<double>();
}

int state_of(const json& backend) {
    int worst = shown(backend.at("outage")).empty() ? 0 : 3;
    for (const auto& [name, alert] : backend.at("alerts").items()) {
        worst = std::max(worst, alert.at("state") == "firing" ? 2 : alert.at("state") == "pending" ? 1 : 0);
    }
    return worst;
}

std::string_view state_text(int state) {
    constexpr std::array<std::string_view, 4> texts{"", "pending", "FIRING", "NO RESPONSES"};
    return texts.at(static_cast<std::size_t>(state));
}

Style style_of(int state) {
    return state >= 2 ? Style::bad : state == 1 ? Style::warning : Style::plain;
}

BackendRow backend_row(const TopData& data, const std::string& name, const json& backend) {
    BackendRow row{.name = name, .state = state_of(backend), .past = {}};
    const auto& all = data.history.at("backends");
    const auto found = all.find(name);
    row.past = past_of(data.history, found == all.end() ? json::object() : *found, window_of(data.alerts));
    Stretch sum;
    for (const auto& stretch : row.past) {
        sum.all += stretch.all;
        sum.client_errors += stretch.client_errors;
        sum.server_errors += stretch.server_errors;
    }
    const auto seconds = length_of(data.history, row.past.size());
    row.rate = seconds > 0 ? sum.all / seconds : 0;
    row.client_errors = sum.all > 0 ? sum.client_errors / sum.all : 0;
    row.server_errors = sum.all > 0 ? sum.server_errors / sum.all : 0;
    return row;
}

bool comes_before(const BackendRow& one, const BackendRow& two, TopSort sort) {
    const auto key = [sort](const BackendRow& row) {
        switch (sort) {
            case TopSort::rate:
                return std::tuple(0, row.rate);
            case TopSort::client_errors:
                return std::tuple(0, row.client_errors);
            case TopSort::server_errors:
                return std::tuple(0, row.server_errors);
            case TopSort::name:
                return std::tuple(0, 0.0);
            case TopSort::badness:
                break;
        }
        return std::tuple(row.state, row.client_errors + row.server_errors);
    };
    return key(one) != key(two) ? key(one) > key(two) : one.name < two.name;
}

std::vector<BackendRow> backend_rows(const TopData& data, const TopState& state) {
    std::vector<BackendRow> rows;
    for (const auto& [name, backend] : data.backends.at("backends").items()) {
        if (name.contains(state.filter)) {
            rows.push_back(backend_row(data, name, backend));
        }
    }
    std::ranges::sort(rows, [&](const auto& one, const auto& two) { return comes_before(one, two, state.sort); });
    return rows;
}

/// The share of errors in each part of the window; a full bar is the greatest, or twice the usual threshold of 5 %.
std::string sparkline(const std::vector<Stretch>& past, bool unicode) {
    constexpr std::array<std::string_view, 9> blocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    constexpr std::array<std::string_view, 9> signs{" ", ".", ":", "-", "=", "+", "*", "%", "#"};
    constexpr double least = 0.1;
    std::vector<double> shares;
    const auto count = std::min(past.size(), spark_columns);
    for (std::size_t i = 0; i < count; ++i) {
        Stretch sum;
        for (auto at = past.size() * i / count; at < past.size() * (i + 1) / count; ++at) {
            sum.all += past[at].all;
            sum.client_errors += past[at].client_errors + past[at].server_errors;
        }
        shares.push_back(sum.all > 0 ? sum.client_errors / sum.all : 0);
    }
    const auto most = shares.empty() ? least : std::max(least, std::ranges::max(shares));
    std::string text(spark_columns - count, ' ');
    for (const auto share : shares) {
        const auto level = share <= 0 ? 0 : std::max<std::size_t>(1, static_cast<std::size_t>(share / most * 8));
        text += unicode ? blocks.at(level) : signs.at(level);
    }
    return text;
}

std::string percent(double share) {
    return fmt::format("{:.1f} %", share * 100);
}

/// What is left for names beside columns of a fixed width.
std::size_t name_width(const TopSize& size, std::size_t others) {
    return size.columns > others + 12 ? size.columns - others : 12;
}

using Lines = std::vector<TopLine>;

struct Body {
    TopLine head;
    Lines rows;
};

Body backends_body(const TopData& data, const TopState& state, const TopSize& size) {
    const auto width = name_width(size, 9 + 9 + 9 + 1 + 12 + 1 + spark_columns);
    Body body{.head = {.text = fmt::format("{}{:>9}{:>9}{:>9} {:<12} {}", padded("BACKEND", width), "PER SEC", "4XX",
                                           "5XX", "ALERT", "ERRORS OVER TIME"),
                       .style = Style::head},
              .rows = {}};
    for (const auto& row : backend_rows(data, state)) {
        body.rows.push_back({.text = fmt::format("{}{:>9.1f}{:>9}{:>9} {:<12} {}", padded(printable(row.name), width),
                                                 row.rate, percent(row.client_errors), percent(row.server_errors),
                                                 state_text(row.state), sparkline(row.past, size.unicode)),
                             .style = style_of(row.state)});
    }
    return body;
}

/// "404:12 500:1": the codes with their counts.
std::string counts_text(const json& counts) {
    std::string text;
    for (const auto& [name, count] : counts.items()) {
        if (count != 0) {
            text += fmt::format("{}{}:{}", text.empty() ? "" : " ", printable(name), count.get<std::uint64_t>());
        }
    }
    return text;
}

std::uint64_t sum_of(const json& counts) {
    std::uint64_t sum = 0;
    for (const auto& [name, count] : counts.items()) {
        sum += count.get<std::uint64_t>();
    }
    return sum;
}

std::vector<ListedServer> servers_of(const TopData& data, const TopState& state) {
    const auto found = data.backends.at("backends").find(state.backend);
    return found == data.backends.at("backends").end() ? std::vector<ListedServer>()
                                                       : worst_first(*found, data.backends.at("servers"));
}

Body servers_body(const TopData& data, const TopState& state, const TopSize& size) {
    const auto width = std::min<std::size_t>(name_width(size, 10 + 8 + 8 + 10 + 2 + 22), 40);
    Body body{.head = {.text = fmt::format("{}{:>10}{:>8}{:>8}{:>10}  {}", padded("SERVER", width), "RESPONSES",
                                           "ERRORS", "UNANSW.", "CONN.FAIL", "CODES IN THE WINDOW"),
                       .style = Style::head},
              .rows = {}};
    for (const auto& server : servers_of(data, state)) {
        const auto& codes = server.counts->at("window").at("codes");
        body.rows.push_back(
            {.text = fmt::format("{}{:>10}{:>8}{:>8}{:>10}  {}{}", padded(printable(server.label), width),
                                 sum_of(codes), server.errors, sum_of(server.counts->at("unanswered")),
                                 sum_of(server.counts->at("connect_failures")), server.up ? "" : "DOWN ",
                                 counts_text(codes)),
             .style = !server.up || server.errors * 2 > sum_of(codes) ? Style::bad
                      : server.errors != 0                            ? Style::warning
                                                                      : Style::plain});
    }
    return body;
}

/// The server's connections, the worst first, as many as the screen has room for.
void add_sockets(const TopData& data, const TopState& state, Body& body) {
    if (!data.sockets.is_object() || data.sockets_server != state.server) {
        return;
    }
    if (const auto problem = shown(data.sockets.at("problem")); !problem.empty()) {
        body.rows.push_back({.text = problem, .style = Style::dim});
        return;
    }
    body.rows.push_back({.text = socket_states(data.sockets)});
    body.rows.push_back({.text = socket_columns_head(), .style = Style::head});
    for (const auto& socket : data.sockets.at("sockets")) {
        body.rows.push_back({.text = socket_columns(socket)});
    }
}

Body server_body(const TopData& data, const TopState& state) {
    Body body{.head = {.text = "SERVER " + printable(state.server), .style = Style::head}, .rows = {}};
    const auto found = data.backends.at("servers").find(state.server);
    if (found == data.backends.at("servers").end()) {
        body.rows.push_back({.text = "it is no longer there", .style = Style::warning});
        return body;
    }
    const auto add = [&body](std::string_view what, const std::string& text) {
        body.rows.push_back({.text = fmt::format("{:<28} {}", what, text.empty() ? "none" : text)});
    };
    add(fmt::format("codes, last {:.0f} s", found->at("window").at("seconds").get<double>()),
        counts_text(found->at("window").at("codes")));
    add("codes since it is counted", counts_text(found->at("codes")));
    add("methods", counts_text(found->at("methods")));
    add("requests", shown(found->at("requests")));
    add("waiting for a response", shown(found->at("outstanding")));
    add("unanswered", counts_text(found->at("unanswered")));
    add("connections", shown(found->at("connects")));
    add("connections that failed", counts_text(found->at("connect_failures")));
    add("connections not readable", counts_text(found->at("unread")));
    add_sockets(data, state, body);
    return body;
}

/// What is said of the open backend: its alerts, and why.
Lines sentences(const TopData& data, const TopState& state) {
    Lines lines;
    for (const auto& alert : data.alerts.at("alerts")) {
        if (alert.at("backend") == state.backend && alert.at("state") != "inactive") {
            lines.push_back({.text = shown(alert.at("explanation")), .style = Style::bad});
            break;
        }
    }
    return lines;
}

Lines help() {
    Lines lines{{.text = "upstat top: what a key does", .style = Style::head}};
    for (const auto* const text :
         {"  up, down, k, j     the next row; also Page Up, Page Down, Home, End",
          "  Enter, right       open a backend, then a server", "  Esc, left          back",
          "  s                  sort: by badness, name, rate, 4xx, 5xx",
          "  /                  show only names that contain what is typed; Enter ends it, Esc clears it",
          "  p, space           pause", "  h, ?               this help", "  q                  quit", "",
          "  ERRORS OVER TIME: the share of 4xx and 5xx over the rule's window; a full bar is the",
          "  greatest of them, at least 10 %. NO RESPONSES: it is asked and gives none."}) {
        lines.push_back({.text = text});
    }
    return lines;
}

std::string status_line(const TopData& data, const TopState& state) {
    constexpr std::array<std::string_view, 5> sorts{"badness", "name", "rate", "4xx", "5xx"};
    auto text = fmt::format("upstat {}", data.backends.is_object() ? shown(data.backends.at("at")) : "");
    text += data.problem.empty() ? "" : " STALE: " + printable(data.problem);
    text += state.paused ? " PAUSED" : "";
    text += state.backend.empty() ? fmt::format(" sort: {}", sorts.at(static_cast<std::size_t>(state.sort)))
                                  : " " + printable(state.backend);
    text += state.filter.empty() && !state.typing
                ? ""
                : fmt::format(" filter: {}{}", printable(state.filter), state.typing ? "_" : "");
    return text;
}

Body body_of(const TopData& data, const TopState& state, const TopSize& size) {
    if (!state.server.empty()) {
        return server_body(data, state);
    }
    return state.backend.empty() ? backends_body(data, state, size) : servers_body(data, state, size);
}

/// The rows around the cursor that there is room for.
void add_rows(Lines& screen, Lines rows, TopState& state, std::size_t room) {
    state.cursor = rows.empty() ? 0 : std::min(state.cursor, rows.size() - 1);
    const auto first = state.cursor >= room ? state.cursor - room + 1 : 0;
    for (std::size_t i = first; i < rows.size() && i < first + room; ++i) {
        rows[i].selected = i == state.cursor && state.server.empty();
        screen.push_back(std::move(rows[i]));
    }
}

std::size_t count_of(const TopData& data, const TopState& state) {
    if (!data.backends.is_object() || !state.server.empty()) {
        return 0;
    }
    return state.backend.empty() ? backend_rows(data, state).size() : servers_of(data, state).size();
}

void open(const TopData& data, TopState& state) {
    if (count_of(data, state) <= state.cursor) {
        return;
    }
    if (state.backend.empty()) {
        state.backend = backend_rows(data, state)[state.cursor].name;
    } else {
        state.server = servers_of(data, state)[state.cursor].label;
    }
    state.cursor = 0;
}

/// False: there is nothing to go back to.
bool go_back(TopState& state) {
    state.cursor = 0;
    for (auto* const open : {&state.server, &state.backend, &state.filter}) {
        if (!open->empty()) {
            open->clear();
            return true;
        }
    }
    return false;
}

void type(TopState& state, TopKey key, std::string_view letter) {
    state.cursor = 0;
    if (key == TopKey::erase && !state.filter.empty()) {
        state.filter.pop_back();
    } else if (key == TopKey::back) {
        state.filter.clear();
        state.typing = false;
    } else if (key == TopKey::open) {
        state.typing = false;
    } else if (!letter.empty() && state.filter.size() < 100) {
        state.filter += letter;
    }
}

void move(TopState& state, TopKey key, std::size_t count) {
    constexpr std::size_t page = 10;
    const auto last = count == 0 ? 0 : count - 1;
    const auto back = [&](std::size_t by) { return state.cursor > by ? state.cursor - by : 0; };
    switch (key) {
        case TopKey::up:
            state.cursor = back(1);
            break;
        case TopKey::page_up:
            state.cursor = back(page);
            break;
        case TopKey::down:
            state.cursor = std::min(state.cursor + 1, last);
            break;
        case TopKey::page_down:
            state.cursor = std::min(state.cursor + page, last);
            break;
        case TopKey::home:
            state.cursor = 0;
            break;
        case TopKey::end:
            state.cursor = last;
            break;
        default:
            break;
    }
}

}  // namespace

std::string clipped(std::string_view text, std::size_t columns) {
    std::string out;
    std::size_t taken = 0;
    std::mbstate_t shift{};
    while (!text.empty()) {
        wchar_t wide = 0;
        const auto bytes = std::mbrtowc(&wide, text.data(), text.size(), &shift);
        const bool is_character =
            bytes != static_cast<std::size_t>(-1) && bytes != static_cast<std::size_t>(-2) && bytes != 0;
        const int width = is_character ? ::wcwidth(wide) : 1;
        const auto size = is_character ? bytes : 1;
        if (taken + static_cast<std::size_t>(std::max(width, 0)) > columns) {
            break;
        }
        if (width >= 0) {
            out += is_character ? std::string(text.substr(0, size)) : "?";
            taken += static_cast<std::size_t>(width);
        }
        if (!is_character) {
            shift = {};
        }
        text.remove_prefix(size);
    }
    return out;
}

std::string padded(std::string_view text, std::size_t columns) {
    auto out = clipped(text, columns);
    std::size_t taken = 0;
    for (; taken < columns && clipped(out, taken).size() < out.size(); ++taken) {
    }
    return out + std::string(columns - taken, ' ');
}

std::vector<TopLine> top_screen(const TopData& data, TopState& state, const TopSize& size) {
    Lines screen{{.text = status_line(data, state), .style = data.problem.empty() ? Style::dim : Style::warning}};
    if (state.help) {
        std::ranges::move(help(), std::back_inserter(screen));
    } else if (data.backends.is_object()) {
        if (!state.backend.empty()) {
            std::ranges::move(sentences(data, state), std::back_inserter(screen));
        }
        auto body = body_of(data, state, size);
        screen.push_back(std::move(body.head));
        const auto used = screen.size() + 1;
        add_rows(screen, std::move(body.rows), state, size.rows > used ? size.rows - used : 1);
    }
    screen.resize(size.rows > 0 ? size.rows - 1 : 0);
    screen.push_back({.text = state.typing ? "type a part of a name, then Enter; Esc clears it"
                                           : "Enter open  Esc back  s sort  / filter  p pause  h help  q quit",
                      .style = Style::dim});
    for (auto& line : screen) {
        line.text = clipped(line.text, size.columns);
    }
    return screen;
}

bool take_key(const TopData& data, TopState& state, TopKey key, std::string_view letter) {
    if (state.typing) {
        type(state, key, letter);
        return true;
    }
    if (state.help) {
        state.help = false;
        return key != TopKey::quit;
    }
    switch (key) {
        case TopKey::quit:
            return false;
        case TopKey::open:
            open(data, state);
            break;
        case TopKey::back:
            go_back(state);
            break;
        case TopKey::sort:
            state.sort = static_cast<TopSort>((static_cast<int>(state.sort) + 1) % 5);
            break;
        case TopKey::filter:
            state.typing = state.backend.empty();
            break;
        case TopKey::pause:
            state.paused = !state.paused;
            break;
        case TopKey::help:
            state.help = true;
            break;
        default:
            move(state, key, count_of(data, state));
    }
    return true;
}

}  // namespace upstat::cli
