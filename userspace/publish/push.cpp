// SPDX-License-Identifier: Apache-2.0
#include "publish/push.hpp"

#include <algorithm>

#include "base/url.hpp"
#include "publish/exposition.hpp"

namespace upstat::publish {

namespace {

/// RFC 4648's alphabet for URLs, padded. "=" stands for nothing at all, as the Pushgateway wants it.
std::string base64url(std::string_view text) {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (text.empty()) {
        return "=";
    }
    std::string out;
    for (; !text.empty(); text.remove_prefix(std::min<std::size_t>(text.size(), 3))) {
        std::uint32_t bits = 0;
        for (std::size_t i = 0; i < 3; ++i) {
            bits = (bits << 8U) | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0U);
        }
        for (std::size_t i = 0; i < 4; ++i) {
            out += i <= text.size() ? alphabet[(bits >> (18 - 6 * i)) & 63U] : '=';
        }
    }
    return out;
}

/// "/job/NAME". What a path cannot hold, nothing, a slash or a dot segment, goes as base64.
std::string path_part(const std::string& label, const std::string& value) {
    if (value.empty() || value == "." || value == ".." || value.contains('/')) {
        return "/" + label + "@base64/" + base64url(value);
    }
    return "/" + label + "/" + percent_encoded(value);
}

}  // namespace

Result<std::string> group_url(const PushTarget& target) {
    if (target.job.empty()) {
        return fail(Error::Kind::usage, "the job to push under is empty", "give --push.job a name");
    }
    return receiver_url(target.url, "/metrics" + path_part("job", target.job) + path_part("instance", target.instance));
}

HttpRequest push_request(const PushTarget& target, const std::string& group, std::string page) {
    HttpRequest request;
    request.method = "PUT";
    request.url = group;
    request.headers = {"Content-Type: " + std::string(exposition_content_type)};
    request.body = std::move(page);
    request.timeout = std::min(target.timeout, target.interval);
    request.files = target.files;
    request.redirects = true;
    return request;
}

HttpRequest delete_request(const PushTarget& target, const std::string& group, Millis patience) {
    HttpRequest request;
    request.method = "DELETE";
    request.url = group;
    request.timeout = patience;
    request.files = target.files;
    request.redirects = true;
    return request;
}

bool Pusher::due(Time now) const {
    if (ticket_) {
        return false;
    }
    if (!last_start_) {
        return true;
    }
    return tries_.failing() ? tries_.ready(now) : now - *last_start_ >= interval_;
}

void Pusher::started(Time now, std::uint64_t ticket) {
    last_start_ = now;
    ticket_ = ticket;
}

std::optional<Tried> Pusher::done(const HttpDone& done, Time now) {
    if (done.ticket != ticket_) {
        return std::nullopt;
    }
    ticket_.reset();
    return tries_.take(done.result, now);
}

Tried Pusher::withheld(std::string reason, Time now) {
    return tries_.take(std::unexpected(std::move(reason)), now);
}

void Pusher::succeed(const Pusher& previous) {
    tries_.succeed(previous.tries_);
}

}  // namespace upstat::publish
