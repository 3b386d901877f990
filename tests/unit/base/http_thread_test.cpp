// SPDX-License-Identifier: Apache-2.0
#include "base/http_thread.hpp"

#include <gmock/gmock.h>
#include <sys/eventfd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "base/receiver.hpp"
#include "base/temporary_directory.hpp"

// A request here names only the fields that matter.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace upstat {
namespace {

using namespace std::chrono_literals;

std::map<std::uint64_t, std::expected<HttpResponse, std::string>> all_of(HttpThread& client,
                                                                         std::set<std::uint64_t> wanted) {
    std::map<std::uint64_t, std::expected<HttpResponse, std::string>> results;
    while (!wanted.empty()) {
        for (auto& done : client.wait({}, 1h)) {
            EXPECT_EQ(wanted.erase(done.ticket), 1);
            results.emplace(done.ticket, std::move(done.result));
        }
    }
    return results;
}

std::string body_of(HttpThread& client, const HttpRequest& request) {
    const auto ticket = client.start(request);
    const auto result = all_of(client, {ticket}).at(ticket);
    return result ? result->body : result.error();
}

TEST(HttpThread, EachResponseHasItsRequestsTicket) {
    Receiver receiver;
    receiver.server.Get(R"(/\d+)", [](const httplib::Request& request, httplib::Response& response) {
        response.set_content(request.path, "text/plain");
    });
    const auto url = receiver.start();
    HttpThread client;
    std::map<std::uint64_t, std::string> paths;
    std::set<std::uint64_t> tickets;
    for (int i = 0; i < 20; ++i) {
        const auto path = "/" + std::to_string(i);
        const auto ticket = client.start({.url = url + path});
        paths[ticket] = path;
        tickets.insert(ticket);
    }
    for (const auto& [ticket, result] : all_of(client, tickets)) {
        ASSERT_TRUE(result) << result.error();
        EXPECT_EQ(result->body, paths[ticket]);
    }
}

TEST(HttpThread, WhatCannotBeOpenedIsSaid) {
    HttpThread client;
    EXPECT_EQ(body_of(client, {.url = "http://127.0.0.1:1/", .network_namespace = "/proc/0/ns/net"}),
              "GET http://127.0.0.1:1/: cannot open the network namespace /proc/0/ns/net: no such file or directory");
}

/// The thread that speaks to the others could not read it.
TEST(HttpThread, AFileThatOnlyItsOwnerMayReadIsUsed) {
    Receiver receiver;
    receiver.server.Get("/", [](const httplib::Request& request, httplib::Response& response) {
        response.set_content(request.get_header_value("Authorization"), "text/plain");
    });
    const auto url = receiver.start();
    const TemporaryDirectory directory;
    const auto file = directory.path() / "token";
    std::ofstream(file) << "secret\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_read);
    HttpThread client;
    EXPECT_EQ(body_of(client, {.url = url + "/", .files = {.bearer_token_file = file.string()}}), "Bearer secret");
}

TEST(HttpThread, AReadyDescriptorEndsTheWait) {
    const Fd event(eventfd(1, EFD_CLOEXEC));
    HttpThread client;
    std::array<pollfd, 1> others{{{.fd = event.get(), .events = POLLIN, .revents = 0}}};
    EXPECT_TRUE(client.wait(others, 1h).empty());
    EXPECT_EQ(others[0].revents, POLLIN);
}

}  // namespace
}  // namespace upstat
