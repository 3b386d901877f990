// SPDX-License-Identifier: Apache-2.0
#include "cli/top_terminal.hpp"

#define NCURSES_NOMACROS
#include <curses.h>
#include <langinfo.h>

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <map>
#include <string>

namespace upstat::cli {

namespace {

using Style = TopLine::Style;

constexpr int escape = 27;
constexpr int backspace = 127;
constexpr short red = 1;
constexpr short yellow = 2;

void set_up_colours() {
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(red, COLOR_RED, -1);
        init_pair(yellow, COLOR_YELLOW, -1);
    }
}

attr_t attributes_of(const TopLine& line) {
    const bool colours = has_colors();
    const attr_t selected = line.selected ? A_REVERSE : A_NORMAL;
    switch (line.style) {
        case Style::head:
            return selected | A_BOLD;
        case Style::bad:
            return selected | A_BOLD | (colours ? static_cast<attr_t>(COLOR_PAIR(red)) : A_NORMAL);
        case Style::warning:
            return selected | (colours ? static_cast<attr_t>(COLOR_PAIR(yellow)) : A_NORMAL);
        case Style::dim:
            return selected | A_DIM;
        case Style::plain:
            break;
    }
    return selected;
}

/// What typed bytes and named keys mean, but for text.
TopKey key_of(int key) {
    static const std::map<int, TopKey> keys{{KEY_UP, TopKey::up},         {'k', TopKey::up},
                                            {KEY_DOWN, TopKey::down},     {'j', TopKey::down},
                                            {KEY_PPAGE, TopKey::page_up}, {KEY_NPAGE, TopKey::page_down},
                                            {KEY_HOME, TopKey::home},     {KEY_END, TopKey::end},
                                            {KEY_ENTER, TopKey::open},    {'\n', TopKey::open},
                                            {'\r', TopKey::open},         {KEY_RIGHT, TopKey::open},
                                            {KEY_LEFT, TopKey::back},     {escape, TopKey::back},
                                            {'s', TopKey::sort},          {'/', TopKey::filter},
                                            {'p', TopKey::pause},         {' ', TopKey::pause},
                                            {'h', TopKey::help},          {'?', TopKey::help},
                                            {'q', TopKey::quit},          {KEY_BACKSPACE, TopKey::erase},
                                            {backspace, TopKey::erase},   {'\b', TopKey::erase}};
    const auto found = keys.find(key);
    return found == keys.end() ? TopKey::none : found->second;
}

/// While a filter is typed, letters are letters.
bool ends_typing(TopKey key) {
    return key == TopKey::open || key == TopKey::back || key == TopKey::erase;
}

}  // namespace

Terminal::Terminal() {
    std::setlocale(LC_ALL, "");
    unicode_ = std::string_view(nl_langinfo(CODESET)) == "UTF-8";
    set_escdelay(25);  // milliseconds: Esc alone is a key
    screen_ = newterm(nullptr, stdout, stdin);
    if (screen_ == nullptr) {
        return;
    }
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    curs_set(0);
    set_up_colours();
}

Terminal::~Terminal() {
    if (screen_ != nullptr) {
        endwin();
        delscreen(static_cast<SCREEN*>(screen_));
    }
}

TopSize Terminal::size() const {
    return {.rows = static_cast<std::size_t>(std::max(getmaxy(stdscr), 1)),
            .columns = static_cast<std::size_t>(std::max(getmaxx(stdscr), 1)),
            .unicode = unicode_};
}

void Terminal::draw(const std::vector<TopLine>& lines) {
    ::werase(stdscr);
    for (int row = 0; const auto& line : lines) {
        wattrset(stdscr, static_cast<int>(attributes_of(line)));
        mvwaddstr(stdscr, row++, 0, line.text.c_str());
    }
    wattrset(stdscr, A_NORMAL);
    wrefresh(stdscr);
}

std::pair<TopKey, std::string> Terminal::wait(int milliseconds, bool typing) {
    wtimeout(stdscr, milliseconds);
    const int key = wgetch(stdscr);
    const auto meant = key_of(key);
    const bool is_byte = key > ' ' && key < KEY_MIN;
    if (typing && !ends_typing(meant)) {
        return {TopKey::text, is_byte ? std::string(1, static_cast<char>(key)) : std::string()};
    }
    return {meant, {}};
}

}  // namespace upstat::cli
