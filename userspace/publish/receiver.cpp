// SPDX-License-Identifier: Apache-2.0
#include "publish/receiver.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/printable.hpp"
#include "base/url.hpp"

namespace upstat::publish {

Result<std::string> receiver_url(const std::string& base, std::string_view path) {
    const auto url = parse_http_url(base);
    if (!url) {
        return std::unexpected(url.error());
    }
    const auto whole = with_path(*url, path);
    if (!whole) {
        return std::unexpected(whole.error());
    }
    return whole->text;
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
                       said.empty() ? "" : ": ", printable(said));
}

}  // namespace upstat::publish
