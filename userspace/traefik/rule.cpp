// SPDX-License-Identifier: Apache-2.0
#include "traefik/rule.hpp"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <utility>

namespace upstat::traefik {

namespace {

constexpr std::size_t longest_rule = 16384;
constexpr std::size_t most_matches = 64;
constexpr int deepest = 32;

using attribute::RouteMatch;
using Matches = std::vector<RouteMatch>;

const Matches anything{RouteMatch{.exact = false}};

std::string in_lower_case(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
    return result;
}

/// Both constraints on the path in one; nothing where no path meets both.
std::optional<RouteMatch> with_path_of(RouteMatch match, const RouteMatch& other) {
    const bool longer =
        other.path.size() > match.path.size() || (other.path.size() == match.path.size() && other.whole);
    const auto& narrow = longer ? other : match;
    const auto& wide = longer ? match : other;
    if (!narrow.path.starts_with(wide.path) || (wide.whole && narrow.path != wide.path)) {
        return std::nullopt;
    }
    match.whole = narrow.whole;
    match.path = std::string(narrow.path);
    return match;
}

std::optional<RouteMatch> both(RouteMatch one, const RouteMatch& other) {
    if (one.host && other.host && one.host != other.host) {
        return std::nullopt;
    }
    one.host = one.host ? one.host : other.host;
    one.exact = one.exact && other.exact;
    return with_path_of(std::move(one), other);
}

Matches both(const Matches& left, const Matches& right) {
    Matches all;
    for (const auto& one : left) {
        for (const auto& other : right) {
            if (auto match = both(one, other)) {
                all.push_back(*std::move(match));
            }
        }
    }
    return all.size() > most_matches ? anything : all;
}

constexpr std::string_view host_bytes = "-.abcdefghijklmnopqrstuvwxyz0123456789_";
/// See http_is_plain_path in bpf/http.h.
constexpr std::string_view path_bytes =
    "/-._~!$&'()*+,;=:@ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

RouteMatch for_host(std::string_view host) {
    auto name = in_lower_case(host);
    if (name.ends_with('.')) {
        name.pop_back();
    }
    const bool plain = name.find_first_not_of(host_bytes) == std::string::npos && !name.empty() && !name.ends_with('.');
    return plain ? RouteMatch{.host = name} : RouteMatch{.exact = false};
}

/// A regular expression that only one host meets: ^shop\.example\.com$. To Traefik 2, and where a rule has its syntax,
/// the same is a template that no host meets, and a rule does not show whose it is: so it takes nothing from others.
RouteMatch for_host_regexp(std::string_view text) {
    if (!text.starts_with('^') || !text.ends_with('$')) {
        return {.exact = false};
    }
    std::string host;
    const auto inside = text.substr(1, text.size() - 2);
    for (std::size_t at = 0; at < inside.size(); ++at) {
        const bool is_dot = inside.substr(at).starts_with("\\.");
        at += is_dot ? 1 : 0;
        if (!host_bytes.contains(inside[at]) || (inside[at] == '.' && !is_dot)) {
            return {.exact = false};
        }
        host += inside[at];
    }
    auto match = host.ends_with('.') ? RouteMatch{} : for_host(host);
    match.exact = false;
    return match;
}

RouteMatch for_path(std::string_view path, bool whole) {
    const auto plain = plain_part(path);
    if (!path.starts_with('/')) {
        return {.exact = false};
    }
    const bool is_plain = plain.size() == path.size();
    return {.path = std::string(plain), .whole = whole && is_plain, .exact = is_plain};
}

/// Reads a rule as Traefik's predicate library does, in Go's syntax of expressions.
class Rule {
  public:
    explicit Rule(std::string_view text) : left_(text) {}

    /// Nothing where it cannot be read.
    std::optional<Matches> read() {
        auto all = alternatives(0);
        skip_spaces();
        return broken_ || !left_.empty() ? std::nullopt : std::optional(std::move(all));
    }

  private:
    void skip_spaces() {
        while (!left_.empty() && std::isspace(static_cast<unsigned char>(left_.front())) != 0) {
            left_.remove_prefix(1);
        }
    }
    bool take(std::string_view what) {
        skip_spaces();
        const bool there = left_.starts_with(what);
        left_.remove_prefix(there ? what.size() : 0);
        return there;
    }
    Matches fail() {
        broken_ = true;
        return {};
    }

    Matches alternatives(int depth) {
        auto all = conjunction(depth);
        while (!broken_ && take("||")) {
            auto more = conjunction(depth);
            all.insert(all.end(), more.begin(), more.end());
        }
        return all.size() > most_matches ? anything : all;
    }
    Matches conjunction(int depth) {
        auto all = operand(depth);
        while (!broken_ && take("&&")) {
            all = both(all, operand(depth));
        }
        return all;
    }
    Matches operand(int depth) {
        if (depth > deepest) {
            return fail();
        }
        if (take("!")) {
            operand(depth + 1);
            return anything;
        }
        if (take("(")) {
            auto all = alternatives(depth + 1);
            return take(")") ? all : fail();
        }
        return matcher();
    }
    Matches matcher() {
        skip_spaces();
        std::string name;
        while (!left_.empty() && std::isalnum(static_cast<unsigned char>(left_.front())) != 0) {
            name += left_.front();
            left_.remove_prefix(1);
        }
        if (name.empty() || !take("(")) {
            return fail();
        }
        std::vector<std::string> words;
        while (!broken_ && !take(")")) {
            if (!words.empty() && !take(",")) {
                return fail();
            }
            words.push_back(word());
        }
        return meaning(in_lower_case(name), words);
    }
    /// `as it is` or "with \escapes", of which only the two that need no table are read.
    std::string word() {
        skip_spaces();
        if (left_.empty() || (left_.front() != '`' && left_.front() != '"')) {
            fail();
            return {};
        }
        const char quote = left_.front();
        std::string text;
        for (std::size_t at = 1; at < left_.size(); ++at) {
            if (left_[at] == quote) {
                left_.remove_prefix(at + 1);
                return text;
            }
            if (quote == '"' && left_[at] == '\\') {
                ++at;
                if (at >= left_.size() || (left_[at] != '\\' && left_[at] != '"')) {
                    break;
                }
            }
            text += left_[at];
        }
        fail();
        return {};
    }
    static Matches meaning(const std::string& name, const std::vector<std::string>& words) {
        Matches all;
        for (const auto& one : words) {
            if (name == "host") {
                all.push_back(for_host(one));
            } else if (name == "hostregexp") {
                all.push_back(for_host_regexp(one));
            } else if (name == "path" || name == "pathprefix") {
                all.push_back(for_path(one, name == "path"));
            } else {
                return anything;
            }
        }
        return all.empty() || all.size() > most_matches ? anything : all;
    }

    std::string_view left_;
    bool broken_ = false;
};

}  // namespace

std::vector<RouteMatch> compile_rule(std::string_view rule) {
    return rule.size() > longest_rule ? anything : Rule(rule).read().value_or(anything);
}

std::string_view plain_part(std::string_view path) {
    return path.substr(0, path.find_first_not_of(path_bytes));
}

}  // namespace upstat::traefik
