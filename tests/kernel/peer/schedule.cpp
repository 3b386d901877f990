// SPDX-License-Identifier: Apache-2.0
#include "schedule.hpp"

#include <spdlog/fmt/fmt.h>

#include <charconv>
#include <map>
#include <sstream>
#include <stdexcept>

namespace upstat::peer {

namespace {

using Names = std::map<std::string, std::string, std::less<>>;

struct Line {
    int number = 0;
    std::string text;
};

/// A case as it is written: before its `each` and `repeat` are carried out.
struct Draft {
    std::string name;
    std::vector<Line> lines;
};

class Reader {
  public:
    explicit Reader(std::string file) : file_(std::move(file)) {}

    std::vector<Case> read(std::string_view text) {
        std::vector<Draft> drafts;
        std::istringstream lines{std::string(text)};
        for (Line line{.number = 1, .text = {}}; std::getline(lines, line.text); line.number++) {
            take(drafts, line);
        }
        std::vector<Case> cases;
        for (const auto& draft : drafts) {
            multiply(draft, names_, 0, cases);
        }
        return cases;
    }

  private:
    [[noreturn]] void fail(int line, const std::string& what) const {
        throw std::runtime_error(fmt::format("{}:{}: {}", file_, line, what));
    }

    void take(std::vector<Draft>& drafts, const Line& line) {
        std::istringstream words(line.text);
        std::string verb;
        words >> verb;
        std::string rest;
        std::getline(words >> std::ws, rest);
        if (verb.empty() || verb.starts_with('#')) {
            return;
        }
        if (verb == "case") {
            drafts.push_back({.name = rest, .lines = {}});
        } else if (verb == "let" && drafts.empty()) {
            const auto space = rest.find(' ');
            names_[rest.substr(0, space)] = substitute(line.number, rest.substr(space + 1), names_);
        } else if (drafts.empty()) {
            fail(line.number, "expected `let NAME VALUE` or `case NAME`");
        } else {
            drafts.back().lines.push_back(line);
        }
    }

    /// Carries out the `each NAME A..B` or `each NAME WORD...` lines that a case begins with.
    void multiply(const Draft& draft, const Names& names, std::size_t at, std::vector<Case>& cases) const {
        if (at < draft.lines.size()) {
            const auto& line = draft.lines[at];
            std::istringstream words(line.text);
            std::string verb;
            std::string name;
            words >> verb >> name;
            if (verb == "each") {
                for (const auto& value : values(line, words)) {
                    auto more = names;
                    more[name] = value;
                    Draft named = draft;
                    named.name += fmt::format(" [{}={}]", name, value);
                    multiply(named, more, at + 1, cases);
                }
                return;
            }
        }
        Case made{.name = draft.name, .steps = {}};
        std::size_t next = at;
        append(draft, names, next, made.steps);
        if (next < draft.lines.size()) {
            fail(draft.lines[next].number, "`end` without `repeat`");
        }
        cases.push_back(std::move(made));
    }

    [[nodiscard]] std::vector<std::string> values(const Line& line, std::istringstream& words) const {
        std::vector<std::string> all;
        for (std::string word; words >> std::ws && words.peek() != EOF;) {
            if (words.peek() == '"') {
                words.get();
                std::getline(words, word, '"');
                all.push_back(word);
                continue;
            }
            words >> word;
            const auto dots = word.find("..");
            if (dots == std::string::npos) {
                all.push_back(word);
                continue;
            }
            for (auto n = number(line.number, word.substr(0, dots)); n <= number(line.number, word.substr(dots + 2));
                 n++) {
                all.push_back(std::to_string(n));
            }
        }
        return all;
    }

    [[nodiscard]] long number(int line, const std::string& word) const {
        long value = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
        if (error != std::errc() || end != word.data() + word.size()) {
            fail(line, "not a number: " + word);
        }
        return value;
    }

    /// Steps from lines[at] on, up to the `end` that closes this block.
    void append(const Draft& draft, const Names& names, std::size_t& at, std::vector<Step>& steps) const {
        for (; at < draft.lines.size(); at++) {
            auto step = parse(draft.lines[at], names);
            if (step.verb == "end") {
                return;
            }
            if (step.verb != "repeat") {
                steps.push_back(std::move(step));
                continue;
            }
            std::vector<Step> block;
            at++;
            append(draft, names, at, block);
            if (at == draft.lines.size()) {
                fail(step.line, "`repeat` without `end`");
            }
            for (long n = step.words.empty() ? 0 : number(step.line, step.words[0]); n > 0; n--) {
                steps.insert(steps.end(), block.begin(), block.end());
            }
        }
    }

    [[nodiscard]] Step parse(const Line& line, const Names& names) const {
        const auto text = substitute(line.number, line.text, names);
        Step step{.line = line.number, .verb = {}, .words = {}};
        std::size_t at = 0;
        bool joined = false;
        std::string piece;  // the quoted word just read; those in a row are one word
        while ((at = text.find_first_not_of(" \t", at)) != std::string::npos) {
            if (text[at] == '#') {
                break;
            }
            if (text[at] == '"') {
                const bool first = !joined;
                piece = unquote(line.number, text, at);
                if (first) {
                    step.words.emplace_back();
                }
                step.words.back() += piece;
                joined = true;
                continue;
            }
            const auto end = std::min(text.find_first_of(" \t", at), text.size());
            auto word = text.substr(at, end - at);
            at = end;
            if (joined && word.starts_with('*')) {
                for (long n = number(line.number, word.substr(1)); n > 1; n--) {
                    step.words.back() += piece;
                }
                continue;
            }
            joined = false;
            if (step.verb.empty()) {
                step.verb = std::move(word);
            } else {
                step.words.push_back(std::move(word));
            }
        }
        return step;
    }

    [[nodiscard]] std::string substitute(int line, const std::string& text, const Names& names) const {
        std::string result;
        for (std::size_t at = 0; at < text.size();) {
            if (text[at] != '$') {
                result += text[at++];
                continue;
            }
            auto end = at + 1;
            while (end < text.size() &&
                   (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_')) {
                end++;
            }
            const auto found = names.find(std::string_view(text).substr(at + 1, end - at - 1));
            if (found == names.end()) {
                fail(line, "no such name: " + text.substr(at, end - at));
            }
            result += found->second;
            at = end;
        }
        return result;
    }

    [[nodiscard]] std::string unquote(int line, const std::string& text, std::size_t& at) const {
        std::string result;
        for (at++; at < text.size() && text[at] != '"'; at++) {
            if (text[at] != '\\') {
                result += text[at];
                continue;
            }
            if (++at == text.size()) {
                break;
            }
            switch (text[at]) {
                case 'r':
                    result += '\r';
                    break;
                case 'n':
                    result += '\n';
                    break;
                case 'd':
                    result += '$';
                    break;
                case 'x':
                    result += static_cast<char>(std::stoi(text.substr(at + 1, 2), nullptr, 16));
                    at += 2;
                    break;
                default:
                    result += text[at];
            }
        }
        if (at >= text.size()) {
            fail(line, "a quote without its end");
        }
        at++;
        return result;
    }

    std::string file_;
    Names names_;
};

}  // namespace

std::vector<Case> parse_cases(std::string_view text, const std::string& file) {
    return Reader(file).read(text);
}

std::string quote(std::string_view text) {
    std::string result = "\"";
    for (const char byte : text) {
        const auto value = static_cast<unsigned char>(byte);
        if (byte == '\r') {
            result += "\\r";
        } else if (byte == '\n') {
            result += "\\n";
        } else if (byte == '$') {
            result += "\\d";
        } else if (byte == '"' || byte == '\\') {
            result += '\\';
            result += byte;
        } else if (value < 0x20 || value > 0x7e) {
            result += fmt::format("\\x{:02x}", value);
        } else {
            result += byte;
        }
    }
    return result + '"';
}

}  // namespace upstat::peer
