// SPDX-License-Identifier: Apache-2.0
#include "base/url.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <memory>

namespace upstat {

namespace {

struct FreeUrl {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct FreeText {
    void operator()(char* text) const { curl_free(text); }
};
using Parts = std::unique_ptr<CURLU, FreeUrl>;

/// No parts where libcurl does not take the text for a URL.
Parts parts_of(const std::string& text) {
    Parts parts(curl_url());
    // A server's url may be of the scheme h2c, which libcurl does not speak.
    if (curl_url_set(parts.get(), CURLUPART_URL, text.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        parts.reset();
    }
    return parts;
}

/// Empty where the URL has no such part.
std::string part(const Parts& parts, CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(parts.get(), which, &text, 0) != CURLUE_OK) {
        return {};
    }
    const std::unique_ptr<char, FreeText> owned(text);
    return text;
}

/// As it was written, unless it holds a name or a password. Changes `parts` then.
std::string shown(const Parts& parts, const std::string& text) {
    if (part(parts, CURLUPART_USER).empty() && part(parts, CURLUPART_PASSWORD).empty()) {
        return text;
    }
    curl_url_set(parts.get(), CURLUPART_USER, nullptr, 0);
    curl_url_set(parts.get(), CURLUPART_PASSWORD, nullptr, 0);
    return part(parts, CURLUPART_URL);
}

std::uint16_t port_of(const Parts& parts, const std::string& scheme) {
    std::uint16_t port = scheme == "https" ? 443 : scheme == "http" || scheme == "h2c" ? 80 : 0;
    const auto digits = part(parts, CURLUPART_PORT);
    std::from_chars(digits.data(), digits.data() + digits.size(), port);  // libcurl has checked its range
    return port;
}

}  // namespace

std::optional<Url> parse_url(const std::string& text) {
    const auto parts = parts_of(text);
    if (!parts) {
        return std::nullopt;
    }
    auto scheme = part(parts, CURLUPART_SCHEME);
    auto host = part(parts, CURLUPART_HOST);
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    }
    // libcurl forgives "http:/host"
    if (host.empty() || !text.substr(scheme.size()).starts_with("://")) {
        return std::nullopt;
    }
    const auto port = port_of(parts, scheme);
    return Url{.text = text,
               .shown = shown(parts, text),
               .scheme = std::move(scheme),
               .address = {.host = std::move(host), .port = port}};
}

Result<Url> parse_http_url(const std::string& text) {
    auto url = parse_url(text);
    if (!url || (url->scheme != "http" && url->scheme != "https")) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not an http or https URL", without_password(text)),
                    "write it as http://HOST:PORT or https://HOST:PORT");
    }
    return *std::move(url);
}

std::string percent_encoded(const std::string& text) {
    const std::unique_ptr<char, decltype(&curl_free)> encoded(
        curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size())), &curl_free);
    return encoded ? encoded.get() : std::string();
}

bool is_request_uri(std::string_view text) {
    const auto hexadecimal = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool encoded = i + 2 < text.size() && hexadecimal(text[i + 1]) && hexadecimal(text[i + 2]);
        if (std::isgraph(static_cast<unsigned char>(text[i])) == 0 || (text[i] == '%' && !encoded)) {
            return false;
        }
    }
    return !text.empty() && parse_http_url(std::string(text)).has_value();
}

Result<Url> with_path(const Url& url, std::string_view path) {
    const auto parts = parts_of(url.text);
    auto whole = part(parts, CURLUPART_PATH);
    whole.erase(whole.find_last_not_of('/') + 1);
    if (curl_url_set(parts.get(), CURLUPART_PATH, whole.append(path).c_str(), 0) != CURLUE_OK) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a path", whole));
    }
    auto text = part(parts, CURLUPART_URL);
    return Url{.text = text, .shown = shown(parts, text), .scheme = url.scheme, .address = url.address};
}

std::string without_password(const std::string& url) {
    const auto parts = parts_of(url);
    return parts ? shown(parts, url) : url.substr(url.rfind('@') + 1);  // all of it where there is no @
}

}  // namespace upstat
