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
    target.url = parse_url(url).value();
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
    target.url = parse_url("http://h").value();
    target.job = "";
    EXPECT_EQ(group_url(target).error().message, "the job to push under is empty");
    EXPECT_EQ(group_url(target).error().kind, Error::Kind::usage);
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
    target.files = {.ca_file = "ca", .bearer_token_file = "token", .cert_file = "cert", .key_file = "key"};
    const auto known = push_request(target, "http://h/group", "page 1\n");
    EXPECT_EQ(known.files, target.files);
    EXPECT_TRUE(known.redirects);
    const auto away = delete_request(target, "http://h/group", 2s);
    EXPECT_EQ(away.files, target.files);
    EXPECT_TRUE(away.redirects);
    EXPECT_EQ(away.method, "DELETE");
    EXPECT_EQ(away.url, "http://h/group");
    EXPECT_EQ(away.timeout, 2s);
    EXPECT_EQ(away.body, "");
}

HttpDone answer(std::uint64_t ticket, long status, std::string body = "") {
    return {.ticket = ticket, .result = HttpResponse{.status = status, .body = std::move(body)}};
}

Pusher pusher_to(const std::string& url) {
    PushTarget target;
    target.url = parse_url(url).value();
    return {target, 1};
}

TEST(Pusher, PushesAtOnceAndThenEveryInterval) {
    auto pusher = pusher_to("http://gateway:9091");
    EXPECT_TRUE(pusher.due(at(100)));
    pusher.started(at(100), 1);
    EXPECT_FALSE(pusher.due(at(200))) << "one is under way";
    EXPECT_FALSE(pusher.done(answer(2, 200), at(100))) << "not ours";
    const auto pushed = pusher.done(answer(1, 200), at(100));
    ASSERT_TRUE(pushed);
    EXPECT_EQ(pushed->problem, "");
    EXPECT_FALSE(pushed->line);
    EXPECT_FALSE(pusher.due(at(114)));
    EXPECT_TRUE(pusher.due(at(115)));
    EXPECT_EQ(pusher.results().success, 1U);
}

TEST(Pusher, AFailureIsCountedAndNothingPilesUp) {
    auto pusher = pusher_to("http://me:secret@gateway:9091");
    pusher.started(at(100), 1);
    const auto refused = pusher.done(answer(1, 400, "bad\nname"), at(101));
    EXPECT_EQ(refused->problem, "http://gateway:9091 answered with status 400: bad name");
    EXPECT_EQ(refused->line->text, "Pushgateway: http://gateway:9091 answered with status 400: bad name");
    EXPECT_EQ(pusher.results().failure, 1U);
    EXPECT_EQ(pusher.results().last_error, refused->problem);
    pusher.started(at(160), 2);  // three intervals were missed: one push makes up for them
    EXPECT_EQ(pusher.done({.ticket = 2, .result = std::unexpected("PUT x: connection refused")}, at(160))->problem,
              "PUT x: connection refused");
    pusher.started(at(175), 3);
    const auto pushed = pusher.done(answer(3, 202), at(175));
    EXPECT_EQ(pushed->line->text, "Pushgateway: http://gateway:9091 works again after 74 s; 2 tries failed");
    EXPECT_EQ(pusher.results().failure, 2U);
    EXPECT_EQ(pusher.results().last_error, "");
}

TEST(Pusher, AfterAFailureItWaitsLongerEachTime) {
    auto pusher = pusher_to("http://gateway:9091");
    std::vector<std::int64_t> pushes;
    for (std::int64_t now = 0; now < 600; ++now) {  // ten minutes down
        if (pusher.due(at(1000 + now))) {
            pushes.push_back(now);
            pusher.started(at(1000 + now), 1);
            static_cast<void>(pusher.done(answer(1, 500), at(1000 + now)));
        }
    }
    ASSERT_GE(pushes.size(), 12U);
    EXPECT_LE(pushes.size(), 25U);
    EXPECT_LE(pushes[1] - pushes[0], 5);
    EXPECT_GE(pushes[8] - pushes[7], 30);
    auto now = pushes.back();
    while (!pusher.due(at(1000 + now))) {
        ++now;
    }
    EXPECT_LE(now - pushes.back(), 60) << "a gateway that is back is found within a minute";
    pusher.started(at(2000), 2);
    static_cast<void>(pusher.done(answer(2, 200), at(2000)));
    EXPECT_FALSE(pusher.due(at(2014)));
    EXPECT_TRUE(pusher.due(at(2015)));
}

TEST(Pusher, RetryAfterIsHonoured) {
    auto pusher = pusher_to("http://gateway:9091");
    pusher.started(at(100), 1);
    auto busy = answer(1, 429);
    busy.result->retry_after = 100s;
    static_cast<void>(pusher.done(busy, at(100)));
    EXPECT_FALSE(pusher.due(at(199)));
    EXPECT_TRUE(pusher.due(at(200)));
}

TEST(Pusher, ASuccessorGoesOn) {
    auto pusher = pusher_to("http://gateway:9091");
    pusher.started(at(100), 1);
    EXPECT_TRUE(pusher.done(answer(1, 500), at(100))->line);
    auto same = pusher_to("http://gateway:9091");
    same.succeed(pusher);
    EXPECT_EQ(same.results().failure, 1U);
    same.started(at(110), 1);
    EXPECT_FALSE(same.done(answer(1, 500), at(110))->line) << "it was said";
    auto another = pusher_to("http://another:9091");
    another.succeed(pusher);
    EXPECT_EQ(another.results().failure, 1U) << "counts go on";
    another.started(at(110), 1);
    EXPECT_EQ(another.done(answer(1, 500), at(110))->line->text,
              "Pushgateway: http://another:9091 answered with status 500");
}

}  // namespace
}  // namespace upstat::publish
