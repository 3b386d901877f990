// SPDX-License-Identifier: Apache-2.0
// What was found once, and needs more bytes than a fuzzer or a wire would bring in a minute.
#include <cstdio>
#include <string>
#include <utility>

#include "connection.hpp"

namespace {

using namespace upstat::fuzz;

const std::string get = "GET / HTTP/1.1\r\n\r\n";
const std::string answer = "HTTP/1.1 404 \r\n\r\n";
int wrong = 0;

void expect(const char* what, Connection& connection, std::uint64_t requests, std::uint64_t answers,
            std::uint64_t unanswered) {
    if (connection.requests() == requests && connection.answers() == answers && connection.unanswered() == unanswered &&
        !connection.in_flight()) {
        return;
    }
    std::printf("%s: requests %llu answers %llu unanswered %llu, expected %llu %llu %llu\n", what,
                static_cast<unsigned long long>(connection.requests()),
                static_cast<unsigned long long>(connection.answers()),
                static_cast<unsigned long long>(connection.unanswered()), static_cast<unsigned long long>(requests),
                static_cast<unsigned long long>(answers), static_cast<unsigned long long>(unanswered));
    wrong++;
}

/// A body longer than its head says costs no later request.
void too_short_a_length() {
    Connection connection;
    const std::string post = "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nabc";
    connection.send({0, post}, 0);
    connection.receive({0, answer});
    for (std::size_t n = 0; n < 3; n++) {
        connection.send({post.size() + n * get.size(), get}, (n + 1) * answer.size());
        connection.receive({(n + 1) * answer.size(), answer});
    }
    expect("a length too short", connection, 4, 4, 0);
}

/// An answer behind more of an interim head than is kept is counted as such, when it overtakes.
void too_far_ahead() {
    Connection connection;
    connection.send({0, get}, 0);
    const auto interim = "HTTP/1.1 103 E\r\nA: " + std::string(5000, 'a') + "\r\n\r\n";
    connection.receive({interim.size(), answer});
    for (std::size_t at = 0; at < interim.size(); at += 1000) {
        connection.receive({at, std::string_view(interim).substr(at, 1000)});
    }
    expect("a status line 5000 bytes ahead", connection, 1, 0, 1);
}

/// What is sent behind a head, wherever in it its lines stand: a body that begins like a request is none.
void a_head_of_any_length() {
    const std::string body = "GET /body HTTP/1.1\r\n\r\n";
    const std::string length = "Content-Length: " + std::to_string(body.size()) + "\r\n";
    const std::string chunked = "Transfer-Encoding: chunked\r\n";
    const std::string chunk = "18\r\n" + body + "\r\n0\r\n\r\n";
    for (std::size_t size = 0; size < 5200; size++) {
        const auto field = "Cookie: " + std::string(size, 'a') + "\r\n";
        for (const auto& [lines, rest] : {std::pair(field + length, body), std::pair(length + field, body),
                                          std::pair(field + chunked, chunk), std::pair(chunked + field, chunk)}) {
            Connection connection;
            const auto head = "POST / HTTP/1.1\r\n" + lines + "\r\n";
            connection.send({0, head}, 0);
            connection.receive({0, answer});
            connection.send({head.size(), rest}, answer.size());
            connection.send({head.size() + rest.size(), get}, answer.size());
            connection.receive({answer.size(), answer});
            expect(("a head of " + std::to_string(head.size()) + " bytes").c_str(), connection, 2, 2, 0);
        }
    }
}

/// More than half of all sequence numbers, and more than all of them, in one body.
void long_upload(std::uint64_t length) {
    Connection connection;
    const auto post = "POST / HTTP/1.1\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
    connection.send({0, post}, 0);
    for (std::uint64_t at = 0; at < length; at += 1U << 29) {
        connection.send({post.size() + at, "GET / HTTP/1.1\r\n"}, 0);
    }
    connection.receive({0, answer});
    const auto end = post.size() + length;
    connection.send({end, std::string_view(get).substr(0, 7)}, answer.size());
    connection.send({end + 7, std::string_view(get).substr(7)}, answer.size());
    connection.receive({answer.size(), answer});
    connection.send({end + get.size(), get}, 2 * answer.size());
    connection.receive({2 * answer.size(), answer});
    expect("a long upload", connection, 3, 3, 0);
}

/// Requests that were sent while the programs were away are not counted; those that come after them are.
void away() {
    Connection connection;
    const auto second = get.size(), third = 2 * get.size();
    connection.send({0, get}, 0);
    connection.receive({0, answer});
    connection.send_unseen({second, get});
    connection.receive_unseen({answer.size(), answer});
    connection.send({third, get}, 2 * answer.size());
    connection.receive({2 * answer.size(), answer});
    expect("away for an exchange", connection, 2, 2, 0);
}

void away_in_a_request() {
    Connection connection;
    const std::string post = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", rest = "lo\r\n0\r\n\r\n";
    connection.send({0, post}, 0);
    connection.send_unseen({post.size(), rest});
    connection.receive_unseen({0, answer});
    connection.send({post.size() + rest.size(), get}, answer.size());
    connection.receive({answer.size(), answer});
    expect("away since the middle of a request", connection, 2, 1, 1);
}

/// What was lost in front of the programs is no such thing: it comes again.
void lost_not_away() {
    Connection connection;
    const std::string post = "POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\n", body = get + "0123456789012345678901";
    connection.send({post.size(), body}, 0);
    connection.send({0, post + body}, 0);
    connection.receive({0, answer});
    expect("the beginning of an upload lost", connection, 1, 1, 0);
}

/// Of a connection that sockops does not watch, a RST that crosses the request is the last that comes by.
void reset_before_the_request() {
    Connection connection({}, Connection::Age::old);
    connection.send({0, get}, 0);
    connection.receive({0, answer});
    connection.receive_reset();
    connection.send({get.size(), get}, answer.size());
    expect("a RST that crosses a request", connection, 2, 1, 1);
}

/// While one CPU keeps an old duplicate from behind the window, another one brings the answer to its end, and the next
/// request leaves: its own answer, out of order too, is read all the same.
void old_duplicate(unsigned point) {
    const auto interim = "HTTP/1.1 103 E\r\nA: " + std::string(200, 'a') + "\r\n\r\n";
    const auto whole = interim + answer;
    const auto early = std::string_view(whole).substr(100, 80);
    Connection connection({.answer_seq = 3U << 30});
    connection.send({0, get}, 0);
    connection.receive({100, early});
    connection.receive({100, early}, {0, whole}, {get.size(), get}, whole.size(), point);
    for (const std::size_t at : {100UL, 180UL, 0UL}) {
        connection.receive({whole.size() + at, std::string_view(whole).substr(at, at == 180 ? whole.size() : 100)});
    }
    expect(("an old duplicate, and the next request at call " + std::to_string(point)).c_str(), connection, 2, 2, 0);
}

}  // namespace

int main() {
    away();
    away_in_a_request();
    lost_not_away();
    reset_before_the_request();
    for (unsigned point = 1; point < 60; point++) {
        old_duplicate(point);
    }
    too_short_a_length();
    too_far_ahead();
    a_head_of_any_length();
    long_upload(3'000'000'000);
    long_upload(10'000'000'000);
    return wrong == 0 ? 0 : 1;
}
