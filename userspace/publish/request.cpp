// SPDX-License-Identifier: Apache-2.0
#include "publish/request.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <optional>
#include <ranges>
#include <string_view>

namespace upstat {

namespace {

constexpr std::size_t longest_line = 8192;

/// One line without its end; nothing when the connection ends before it does.
std::optional<std::string> read_line(Connection& connection) {
    std::string line;
    for (char byte = 0; connection.read(&byte, 1) == 1;) {
        if (byte == '\n') {
            if (line.ends_with('\r')) {
                line.pop_back();
            }
            return line;
        }
        line += byte;
    }
    return std::nullopt;
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](unsigned char byte) { return std::tolower(byte); });
    return out;
}

bool is_method(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char byte) { return byte >= 'A' && byte <= 'Z'; });
}

std::expected<WebRequest, int> parse_first_line(std::string_view line) {
    const auto first = line.find(' ');
    const auto second = line.rfind(' ');
    if (first == second || first == std::string_view::npos || !is_method(line.substr(0, first))) {
        return std::unexpected(400);
    }
    const auto target = line.substr(first + 1, second - first - 1);
    const auto version = line.substr(second + 1);
    if (!target.starts_with('/') || target.contains(' ') || (version != "HTTP/1.1" && version != "HTTP/1.0")) {
        return std::unexpected(400);
    }
    if (target.size() > longest_line) {
        return std::unexpected(414);
    }
    return WebRequest{.method = std::string(line.substr(0, first)),
                      .path = std::string(target.substr(0, target.find_first_of("?#"))),
                      .chunks = version == "HTTP/1.1"};
}

/// Ranges are ignored: a few bytes of them could ask for gigabytes. But their numbers have to be some.
bool is_sane_range(std::string_view value) {
    return std::ranges::all_of(value | std::views::split(','), [](auto&& part) {
        const std::string_view text(part.begin(), part.end());
        const auto digits = text.substr(std::min(text.size(), text.find_first_of("0123456789")));
        std::uint64_t number = 0;
        return std::from_chars(digits.data(), digits.data() + digits.size(), number).ec == std::errc{};
    });
}

/// Whether an Accept-Encoding has gzip in it, other than to refuse it.
bool takes_gzip(std::string_view value) {
    return std::ranges::any_of(value | std::views::split(','), [](auto&& part) {
        const std::string_view text(part.begin(), part.end());
        return text.contains("gzip") && !text.ends_with("q=0");
    });
}

}  // namespace

std::expected<WebRequest, int> read_request(Connection& connection) {
    const auto first = read_line(connection);
    if (!first) {
        return std::unexpected(0);
    }
    auto request = parse_first_line(*first);
    for (auto line = read_line(connection); !line || !line->empty(); line = read_line(connection)) {
        if (!line) {
            return std::unexpected(0);
        }
        const auto colon = std::min(line->find(':'), line->size());
        const auto name = lower(std::string_view(*line).substr(0, colon));
        const auto value = lower(std::string_view(*line).substr(std::min(colon + 1, line->size())));
        if (request && name == "accept-encoding") {
            request->gzip = takes_gzip(value);
        } else if (name == "range" && !is_sane_range(value)) {
            request = std::unexpected(416);
        }
    }
    return request;
}

const char* reason_phrase(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 400:
            return "Bad Request";
        case 404:
            return "Not Found";
        case 414:
            return "URI Too Long";
        case 416:
            return "Range Not Satisfiable";
        case 503:
            return "Service Unavailable";
        default:
            return "Error";
    }
}

}  // namespace upstat
