// SPDX-License-Identifier: Apache-2.0
#include "publish/receiver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/printable.hpp"

namespace upstat::publish {

namespace {

/// A URL that loses its password gets the slash of an empty path; both ways it names the same receiver.
std::string name_of(const Url& url) {
    auto text = printable(url.shown);
    text.erase(text.find_last_not_of('/') + 1);
    return text;
}

/// Empty when the receiver took it (any 2xx), else one sentence saying what went wrong.
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
    const auto last = without_password(result->redirected_to);
    return fmt::format("{} answered with status {}{}{}{}", url, result->status,
                       last.empty() ? "" : " after a redirect to ", printable(last),
                       said.empty() ? "" : ": " + printable(said));
}

}  // namespace

Result<std::string> receiver_url(const Url& base, std::string_view path) {
    const auto whole = with_path(base, path);
    if (!whole) {
        return std::unexpected(whole.error());
    }
    return whole->text;
}

Tries::Tries(std::string what, const Url& url, std::uint64_t seed)
    : url_(name_of(url)), backoff_(seed), outage_(std::move(what), url_) {}

void Tries::succeed(const Tries& previous) {
    results_ = previous.results_;
    if (url_ == previous.url_) {
        backoff_ = previous.backoff_;
        outage_ = previous.outage_;
    }
}

Tried Tries::take(const std::expected<HttpResponse, std::string>& result, Time now) {
    auto problem = refusal(url_, result);
    results_.count(problem);
    if (problem.empty()) {
        backoff_.succeeded();
    } else {
        backoff_.failed(now, result ? result->retry_after : std::nullopt);
    }
    auto line = outage_.note(problem, now);
    return {.problem = std::move(problem), .line = std::move(line)};
}

}  // namespace upstat::publish
