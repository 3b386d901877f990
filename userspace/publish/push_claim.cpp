// SPDX-License-Identifier: Apache-2.0
#include "publish/push_claim.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "publish/exposition.hpp"
#include "publish/text.hpp"

namespace upstat::publish {

namespace {

/// What stands before push_time_seconds in the order of the names, with much room for what others push.
constexpr std::size_t longest_look = std::size_t{4} << 20;

/// What stands between `beginning`, at the start of a line, and `end`; empty if there is no such line.
std::string_view found_between(std::string_view page, const std::string& beginning, char end) {
    const auto line = page.find("\n" + beginning);
    if (line == std::string_view::npos) {
        return {};
    }
    const auto rest = page.substr(line + 1 + beginning.size());
    return rest.substr(0, rest.find(end));
}

}  // namespace

HttpRequest look_request(const PushTarget& target, const std::string& gateway) {
    HttpRequest request;
    request.url = gateway;
    request.timeout = std::min(target.timeout, target.interval);
    request.max_bytes = longest_look;
    request.cut = true;
    request.files = target.files;
    request.redirects = true;
    return request;
}

GroupSeen find_group(std::string_view page, const PushTarget& target) {
    std::string group = "{instance=\"";
    append_label_value(group, target.instance);
    group += "\",job=\"";
    append_label_value(group, target.job);
    group += '"';
    return {.owner = std::string(found_between(page, std::string(owner_metric) + group + ",owner=\"", '"')),
            .push_time = std::string(found_between(page, "push_time_seconds" + group + "} ", '\n'))};
}

bool PushClaim::is_ours(Time now) const {
    return other_.owner.empty() && last_push_ && now - *last_push_ < patience_;
}

bool PushClaim::may_push(Time now) const {
    return free_ || (settled_ && is_ours(now));
}

bool PushClaim::look_due(Time now) const {
    return !ticket_ && (other_.owner.empty() || !last_look_ || now - *last_look_ >= patience_);
}

void PushClaim::looking(Time now, std::uint64_t ticket) {
    ticket_ = ticket;
    last_look_ = now;
}

bool PushClaim::done(const HttpDone& done, const PushTarget& target) {
    if (done.ticket != ticket_) {
        return false;
    }
    ticket_.reset();
    if (done.result && done.result->status == 200) {
        saw(find_group(done.result->body, target));
    } else {
        free_ = other_.owner.empty();
    }
    return true;
}

/// A host that was cloned while it pushed has the same earlier owner: its group is pushed on.
bool PushClaim::is_earlier(const GroupSeen& seen) const {
    double pushed = 0;  // seconds, as "1.7958e+09"
    const auto* const end = seen.push_time.data() + seen.push_time.size();
    return !last_push_ && !seen.owner.empty() && seen.owner == identity_.earlier &&
           std::from_chars(seen.push_time.data(), end, pushed).ptr == end &&
           pushed <= std::chrono::duration<double>(identity_.until.time_since_epoch()).count();
}

void PushClaim::saw(const GroupSeen& seen) {
    const bool foreign = !seen.owner.empty() && !is_ours(seen) && !is_earlier(seen);
    if (foreign && seen != other_) {  // it was pushed since the last look
        other_ = seen;
        free_ = settled_ = false;
        return;
    }
    other_ = {};
    free_ = true;
    settled_ = !foreign && (is_ours(seen) || last_push_);
}

void PushClaim::pushed(Time now, bool taken) {
    free_ = false;
    if (taken) {
        last_push_ = now;
    }
}

void PushClaim::go_on_from(const PushClaim& previous) {
    last_look_ = previous.last_look_;
    last_push_ = previous.last_push_;
    free_ = previous.free_;
    settled_ = previous.settled_;
    other_ = previous.other_;
}

}  // namespace upstat::publish
