// SPDX-License-Identifier: Apache-2.0
#include "publish/push.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "publish/sample.hpp"

namespace upstat::publish {
namespace {

using namespace std::chrono_literals;

std::string group(const std::string& url, const std::string& job, const std::string& instance) {
    PushTarget target;
    target.url = url;
    target.job = job;
    target.instance = instance;
    auto out = group_url(target).value_or("error");
    // Versions of libcurl differ in how they spell the digits of an escape.
    for (auto at = out.find('%'); at != std::string::npos; at = out.find('%', at + 1)) {
        std::ranges::transform(out.substr(at, 3), out.begin() + static_cast<std::ptrdiff_t>(at), ::tolower);
    }
    return out;
}

TEST(Push, TheGroupIsJobAndInstance) {
    EXPECT_EQ(group("http://127.0.0.1:9091", "upstat", "host"),
              "http://127.0.0.1:9091/metrics/job/upstat/instance/host");
    EXPECT_EQ(group("http://h:1/prefix/", "a b", "h:9100"), "http://h:1/prefix/metrics/job/a%20b/instance/h%3a9100");
    EXPECT_EQ(group("https://me:pw@h/", "j\xc3\xa9", "i"), "https://me:pw@h/metrics/job/j%c3%a9/instance/i");
}

TEST(Push, WhatAPathCannotHoldGoesAsBase64) {
    EXPECT_EQ(group("http://h", "a/b", ""), "http://h/metrics/job@base64/YS9i/instance@base64/=");
    EXPECT_EQ(group("http://h", "j", "/"), "http://h/metrics/job/j/instance@base64/Lw==");
    EXPECT_EQ(group("http://h", "j", "/\xff\xfe/"), "http://h/metrics/job/j/instance@base64/L__-Lw==");
    EXPECT_EQ(group("http://h", "j", ".."), "http://h/metrics/job/j/instance@base64/Li4=");
}

TEST(Push, AnUnusableTargetIsAUsageError) {
    PushTarget target;
    for (const auto* url : {"", "gateway", "ftp://h", "http://me:secret@[::1"}) {
        target.url = url;
        const auto result = group_url(target);
        ASSERT_FALSE(result) << url;
        EXPECT_EQ(result.error().kind, Error::Kind::usage);
        EXPECT_FALSE(result.error().message.contains("secret"));
    }
    target.url = "http://h";
    target.job = "";
    EXPECT_EQ(group_url(target).error().message, "the job to push under is empty");
}

TEST(Push, PutsThePageAndDeletesTheGroup) {
    PushTarget target;
    target.interval = 3s;
    const auto put = push_request(target, "http://h/group", "page 1\n");
    EXPECT_EQ(put.method, "PUT");
    EXPECT_EQ(put.url, "http://h/group");
    EXPECT_EQ(put.body, "page 1\n");
    EXPECT_EQ(put.headers, std::vector<std::string>{"Content-Type: text/plain; version=0.0.4; charset=utf-8"});
    EXPECT_EQ(put.timeout, 3s);
    const auto away = delete_request("http://h/group", 2s);
    EXPECT_EQ(away.method, "DELETE");
    EXPECT_EQ(away.url, "http://h/group");
    EXPECT_EQ(away.timeout, 2s);
    EXPECT_EQ(away.body, "");
}

HttpDone answer(std::uint64_t ticket, long status, std::string body = "") {
    return {.ticket = ticket, .result = HttpResponse{.status = status, .body = std::move(body)}};
}

TEST(Pusher, PushesAtOnceAndThenEveryInterval) {
    Pusher pusher(15s);
    EXPECT_TRUE(pusher.due(at(100)));
    pusher.started(at(100), 1, 7);
    EXPECT_FALSE(pusher.due(at(200))) << "one is under way";
    EXPECT_FALSE(pusher.done(answer(2, 200))) << "not ours";
    const auto pushed = pusher.done(answer(1, 200));
    ASSERT_TRUE(pushed);
    EXPECT_EQ(pushed->page, 7U);
    EXPECT_EQ(pushed->problem, "");
    EXPECT_FALSE(pusher.due(at(114)));
    EXPECT_TRUE(pusher.due(at(115)));
    EXPECT_EQ(pusher.results().success, 1U);
}

TEST(Pusher, AFailureIsCountedAndNothingPilesUp) {
    Pusher pusher(15s);
    pusher.started(at(100), 1, 7);
    const auto refused = pusher.done(answer(1, 400, "bad\nname"));
    EXPECT_EQ(refused->problem, "the Pushgateway answered with status 400: bad name");
    EXPECT_EQ(pusher.results().failure, 1U);
    EXPECT_EQ(pusher.results().last_error, refused->problem);
    EXPECT_FALSE(pusher.due(at(114)));
    pusher.started(at(160), 2, 8);  // three intervals were missed: one push makes up for them
    EXPECT_EQ(pusher.done({.ticket = 2, .result = std::unexpected("PUT x: connection refused")})->problem,
              "PUT x: connection refused");
    EXPECT_FALSE(pusher.due(at(174)));
    pusher.started(at(175), 3, 9);
    EXPECT_EQ(pusher.done(answer(3, 202))->page, 9U);
    EXPECT_EQ(pusher.results().failure, 2U);
    EXPECT_EQ(pusher.results().last_error, "");
}

}  // namespace
}  // namespace upstat::publish
