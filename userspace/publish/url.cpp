// SPDX-License-Identifier: Apache-2.0
#include "publish/url.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace upstat::publish {

namespace {

struct FreeUrl {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct FreeText {
    void operator()(char* text) const { curl_free(text); }
};

std::string part(CURLU* url, CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(url, which, &text, 0) != CURLUE_OK) {
        return {};
    }
    const std::unique_ptr<char, FreeText> owned(text);
    return text;
}

}  // namespace

Result<std::string> url_with_path(const std::string& base, std::string_view path) {
    const std::unique_ptr<CURLU, FreeUrl> url(curl_url());
    const auto parsed = curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0);
    const auto scheme = part(url.get(), CURLUPART_SCHEME);
    if (parsed != CURLUE_OK || (scheme != "http" && scheme != "https")) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not an http or https URL", without_password(base)),
                    "write it as http://host:port");
    }
    auto own = part(url.get(), CURLUPART_PATH);
    own.erase(own.find_last_not_of('/') + 1);
    if (curl_url_set(url.get(), CURLUPART_PATH, own.append(path).c_str(), 0) != CURLUE_OK) {
        return fail(Error::Kind::usage, fmt::format("\"{}\" is not a path", own));
    }
    return part(url.get(), CURLUPART_URL);
}

std::string refusal(const std::string& url, const std::expected<HttpResponse, std::string>& result) {
    if (!result) {
        return result.error();
    }
    if (result->status >= 200 && result->status < 300) {
        return {};
    }
    constexpr std::size_t enough = 200;
    auto said = result->body.substr(0, enough);
    std::ranges::replace_if(said, [](unsigned char byte) { return byte < 0x20; }, ' ');
    said.erase(said.find_last_not_of(' ') + 1);
    return fmt::format("{} answered with status {}{}{}", without_password(url), result->status,
                       said.empty() ? "" : ": ", said);
}

}  // namespace upstat::publish
