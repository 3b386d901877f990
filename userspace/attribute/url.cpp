// SPDX-License-Identifier: Apache-2.0
#include "attribute/url.hpp"

#include <curl/curl.h>

#include <charconv>
#include <memory>
#include <utility>

namespace upstat::attribute {

namespace {

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

std::optional<std::string> part(CURLU* url, CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(url, which, &text, 0) != CURLUE_OK) {
        return std::nullopt;
    }
    const std::unique_ptr<char, decltype(&curl_free)> owner(text, curl_free);
    return std::string(text);
}

std::optional<std::uint16_t> default_port(const std::string& scheme) {
    if (scheme == "http" || scheme == "h2c") {
        return 80;
    }
    return scheme == "https" ? std::optional<std::uint16_t>(443) : std::nullopt;
}

}  // namespace

std::optional<poll::Server> Endpoint::numeric() const {
    return poll::parse_server(host, port);
}

std::optional<Endpoint> endpoint_of(const std::string& url) {
    const Url parsed(curl_url(), curl_url_cleanup);
    // h2c is no scheme of curl's
    if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        return std::nullopt;
    }
    const auto scheme = part(parsed.get(), CURLUPART_SCHEME);
    auto host = part(parsed.get(), CURLUPART_HOST);
    const auto preset = scheme ? default_port(*scheme) : std::nullopt;
    if (!preset || !host || host->empty()) {
        return std::nullopt;
    }
    if (host->starts_with('[') && host->ends_with(']')) {
        host = host->substr(1, host->size() - 2);
    }
    Endpoint endpoint{.scheme = *scheme, .host = *std::move(host), .port = *preset};
    if (const auto port = part(parsed.get(), CURLUPART_PORT)) {
        std::from_chars(port->data(), port->data() + port->size(), endpoint.port);  // curl checked its range
    }
    return endpoint;
}

Listed listed_at(std::string url, bool up) {
    Listed listed{.url = std::move(url), .up = up, .servers = {}};
    if (const auto endpoint = endpoint_of(listed.url)) {
        if (const auto server = endpoint->numeric()) {
            listed.servers.insert(*server);
        }
    }
    return listed;
}

}  // namespace upstat::attribute
