// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace upstat::cli {

/// What the agent said last, of which `top` shows a part.
struct TopData {
    nlohmann::json backends;       ///< /api/v1/backends
    nlohmann::json history;        ///< /api/v1/history
    nlohmann::json alerts;         ///< /api/v1/alerts
    nlohmann::json sockets{};      ///< /api/v1/sockets of one server; null where nothing is known
    std::string sockets_server{};  ///< of which one
    std::string problem{};         ///< why there is nothing newer; empty when there is
};

enum class TopKey : std::uint8_t {
    up,
    down,
    page_up,
    page_down,
    home,
    end,
    open,
    back,
    sort,
    filter,
    pause,
    help,
    quit,
    erase,
    text,
    none
};
enum class TopSort : std::uint8_t { badness, name, rate, client_errors, server_errors };

/// Where the person is: all backends, the servers of one, or one server.
struct TopState {
    std::string backend{};  ///< that is open; empty: none
    std::string server{};   ///< likewise
    std::size_t cursor = 0;
    TopSort sort = TopSort::badness;
    std::string filter{};  ///< names without it are not shown
    bool typing = false;   ///< the filter is being typed
    bool paused = false;
    bool help = false;
};

/// One line of the screen. Colour says nothing that the text does not say too.
struct TopLine {
    enum class Style : std::uint8_t { plain, head, bad, warning, dim };
    std::string text;
    Style style = Style::plain;
    bool selected = false;
};

struct TopSize {
    std::size_t rows = 24;
    std::size_t columns = 80;
    bool unicode = true;  ///< the terminal shows more than ASCII
};

/// The screen: exactly size.rows lines, each of at most size.columns columns. Where the cursor is beyond the last row,
/// it is put there.
std::vector<TopLine> top_screen(const TopData& data, TopState& state, const TopSize& size);

/// What a key does; `letter` is what was typed where it is text. False: the person wants to leave.
bool take_key(const TopData& data, TopState& state, TopKey key, std::string_view letter = {});

/// As much of a text as takes so many columns of a terminal; what is no character of one takes none.
std::string clipped(std::string_view text, std::size_t columns);
/// The same with spaces up to that width.
std::string padded(std::string_view text, std::size_t columns);

}  // namespace upstat::cli
