// SPDX-License-Identifier: Apache-2.0
/// Without chance: named answers and requests in every cut. Exits 1 at the first difference.
#include <array>
#include <cstdio>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "connection.hpp"
#include "delivery.hpp"

namespace upstat::fuzz {

namespace {

std::size_t checked = 0;

struct AnswerCase {
    const char* name;
    std::string stream;
    Verdict verdict;
};

const std::string continued = "HTTP/1.1 100 Continue\r\n\r\n";

Verdict answered(int code) {
    return {.kind = Verdict::Kind::answered, .code = code};
}

const Verdict malformed{.kind = Verdict::Kind::malformed};
const Verdict waiting{};

const std::vector<AnswerCase> answers{
    {"plain", "HTTP/1.1 200 OK\r\n\r\n", answered(200)},
    {"1.0, no reason", "HTTP/1.0 404\r\n\r\n", answered(404)},
    {"thirteen bytes", "HTTP/1.1 200 ", waiting},
    {"lowest final", "HTTP/1.1 200 \r", answered(200)},
    {"highest", "HTTP/1.1 999 X\r\n\r\n", answered(999)},
    {"body like an answer", "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 X\r\n\r\n", answered(200)},
    {"switching", "HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", answered(101)},
    {"continue", continued + "HTTP/1.1 404 Not Found\r\n\r\n", answered(404)},
    {"continue twice", continued + continued + "HTTP/1.1 200 OK\r\n\r\n", answered(200)},
    {"empty interim head", "HTTP/1.1 102\r\n\r\nHTTP/1.1 503 \r\n\r\n", answered(503)},
    {"bare LF in interim heads", "HTTP/1.1 103 H\nA: b\n\nHTTP/1.1 100 \n\r\nHTTP/1.1 201 \r\n", answered(201)},
    {"hints", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 302 Found\r\n\r\n", answered(302)},
    {"answer in an interim head", "HTTP/1.1 103 H\r\nA: HTTP/1.1 500 \r\n\r\nHTTP/1.1 200 \r\n", answered(200)},
    {"interim head that ends where the window wraps",
     "HTTP/1.1 103 E\r\nA: " + std::string(47, 'a') + "\r\n\r\nHTTP/1.1 410 Gone\r\n\r\n", answered(410)},
    {"long hints", "HTTP/1.1 103 Early Hints\r\nLink: <" + std::string(130, 'a') + ">\r\n\r\nHTTP/1.1 410 Gone\r\n\r\n",
     answered(410)},
    {"only interim", continued, waiting},
    {"incomplete", "HTTP/1.1 200", waiting},
    {"code 099", "HTTP/1.1 099 X\r\n\r\n", malformed},
    {"four digits", "HTTP/1.1 2000 X\r\n\r\n", malformed},
    {"two digits", "HTTP/1.1 20 OK\r\n\r\n", malformed},
    {"letters", "HTTP/1.1 2x0 OK\r\n\r\n", malformed},
    {"two spaces", "HTTP/1.1  200 OK\r\n\r\n", answered(200)},
    {"spaces and bare LF in interim heads", "HTTP/1.1   103\nA: b\n\nHTTP/1.1    200\n\n", answered(200)},
    {"spaces beyond the window", "HTTP/1.1" + std::string(70, ' ') + "200\r\n\r\n", answered(200)},
    {"spaces, and no code", "HTTP/1.1   2O0 OK\r\n\r\n", malformed},
    {"version 2.0", "HTTP/2.0 200 OK\r\n\r\n", answered(200)},
    {"version 1.2", "HTTP/1.2 200 OK\r\n\r\n", answered(200)},
    {"two digits of version", "HTTP/1.10 200 OK\r\n\r\n", malformed},
    {"no LF behind the CR", "HTTP/1.1 200\rOK\r\n\r\n", malformed},
    {"lower case", "http/1.1 200 OK\r\n\r\n", malformed},
    {"empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", malformed},
    {"LF behind the code", "HTTP/1.1 200\nA: b\r\n\r\n", answered(200)},
    {"TLS alert", "\x15\x03\x01\x02\x02\x46HTTP/1.1 200 OK\r\n\r\n", malformed},
    {"malformed behind an interim", continued + "HTTP/1.1 2OO OK\r\n\r\n", malformed},
};

/// The sequence numbers at which the answers begin: also so that they wrap within.
const std::array<std::uint32_t, 3> beginnings{1000, 0U - 7, 0U - 40};

void check(const AnswerCase& each, std::uint32_t beginning, std::span<const Piece> pieces) {
    Connection connection({.answer_seq = beginning});
    connection.send({.at = 0, .bytes = "GET / HTTP/1.1\r\n\r\n"}, 0);
    const bool all_kept = deliver(connection, each.stream, 0, pieces);
    const Verdict verdict = verdict_of(connection);
    checked++;
    if (verdict != each.verdict && (all_kept || verdict.kind != Verdict::Kind::unparsed)) {
        fail("answer '%s', %zu pieces: %s, but expected: %s", each.name, pieces.size(), to_string(verdict).c_str(),
             to_string(each.verdict).c_str());
    }
}

/// Two cuts: three pieces, in each order.
void check_three(const AnswerCase& each, std::uint32_t beginning, std::size_t first, std::size_t second) {
    const std::array<Piece, 3> pieces{Piece{.begin = 0, .size = first}, Piece{.begin = first, .size = second - first},
                                      Piece{.begin = second, .size = each.stream.size() - second}};
    constexpr std::array<std::array<int, 3>, 6> orders{
        {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}};
    for (const auto& order : orders) {
        check(each, beginning, std::array{pieces[order[0]], pieces[order[1]], pieces[order[2]]});
    }
}

/// One cut: two segments at once on two CPUs, the second coming in at each point of the first.
void check_two_cpus(const AnswerCase& each, std::uint32_t beginning, std::size_t cut) {
    constexpr unsigned points = 24;
    for (unsigned point = 1; point < points; point++) {
        const Piece front{.begin = 0, .size = cut, .point = point};
        const Piece back{.begin = cut, .size = each.stream.size() - cut, .point = point};
        check(each, beginning, std::array{front, back});
        check(each, beginning, std::array{back, front});
        const Piece whole{.begin = 0, .size = each.stream.size(), .point = point};
        check(each, beginning, std::array{whole, whole});
        check(each, beginning, std::array{whole, back});
        check(each, beginning, std::array{front, front});
    }
}

void check_answer(const AnswerCase& each, std::uint32_t beginning) {
    const std::size_t size = each.stream.size();
    std::vector<Piece> bytes;
    for (std::size_t i = 0; i < size; i++) {
        bytes.push_back({.begin = i, .size = 1});
    }
    check(each, beginning, {});
    check(each, beginning, bytes);
    const std::size_t stride = size > 80 ? 5 : 1;
    for (std::size_t first = 0; first <= size; first++) {
        check_two_cpus(each, beginning, first);
        for (std::size_t second = first; second <= size; second += stride) {
            check_three(each, beginning, first, second);
        }
    }
}

struct RequestCase {
    const char* name;
    std::string stream;
    upstat_method method;
};

const std::vector<RequestCase> requests{
    {"GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", UPSTAT_METHOD_GET},
    {"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", UPSTAT_METHOD_HEAD},
    {"OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", UPSTAT_METHOD_OPTIONS},
    {"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", UPSTAT_METHOD_CONNECT},
    {"extension", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", UPSTAT_METHOD_EXTENSION},
    {"15 letters", "ABCDEFGHIJKLMNO / HTTP/1.1\r\nHost: a\r\n\r\n", UPSTAT_METHOD_EXTENSION},
    {"16 letters", "ABCDEFGHIJKLMNOP / HTTP/1.1\r\nHost: a\r\n\r\n", UPSTAT_METHOD_EXTENSION},
    {"40 letters", "ABCDEFGHIJKLMNOPQRSTABCDEFGHIJKLMNOPQRST /a HTTP/1.1\r\n\r\n", UPSTAT_METHOD_EXTENSION},
    {"any token", "!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n", UPSTAT_METHOD_EXTENSION},
    {"a method called PRI", "PRI * HTTP/1.1\r\nHost: a\r\n\r\n", UPSTAT_METHOD_EXTENSION},
    {"no body", "DELETE / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", UPSTAT_METHOD_DELETE},
    {"body", "POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\nhello world", UPSTAT_METHOD_POST},
    {"body like a request", "PUT / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n", UPSTAT_METHOD_PUT},
    {"GET with a body", "GET / HTTP/1.1\r\nContent-Length: 15\r\n\r\nDELETE / HTTP/1", UPSTAT_METHOD_GET},
    {"chunks", "PATCH / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\na;b=c\r\n world !\r\n\r\n0\r\n\r\n",
     UPSTAT_METHOD_PATCH},
    {"trailers", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nA: b\r\n\r\n",
     UPSTAT_METHOD_POST},
    {"chunk like the last one",
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n0\r\n\r\n",
     UPSTAT_METHOD_POST},
};

/// One request in pieces, each sent twice, then its answer; then the same again on the same connection, uncut. Each is
/// counted once. With `early`, the answer comes behind the first piece that ends the request's line, and with `joined`
/// the last piece then leaves with the next request.
void check(const RequestCase& each, std::span<const std::size_t> cuts, bool early, bool joined = false) {
    const std::string answer = "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n";
    const std::size_t size = each.stream.size();
    Connection connection({.request_seq = 0U - 20, .answer_seq = 0U - 20});
    std::size_t sent = 0;
    std::size_t received = 0;
    const auto send_to = [&](std::size_t end) {
        const Segment segment{.at = sent, .bytes = std::string_view(each.stream).substr(sent, end - sent)};
        connection.send(segment, received);
        connection.send(segment, received);
        sent = end;
        const bool has_line = each.stream.find('\n') < sent;
        if (!received && (sent == size || (early && has_line))) {
            connection.receive({.at = 0, .bytes = answer});
            received = answer.size();
        }
    };
    for (const std::size_t cut : cuts) {
        if (cut > sent && cut < size) {
            send_to(cut);
        }
    }
    if (joined && received) {
        const auto both = each.stream.substr(sent) + each.stream;
        connection.send({.at = sent, .bytes = both}, received);
    } else {
        send_to(size);
        connection.send({.at = size, .bytes = each.stream}, received);
    }
    connection.receive({.at = received, .bytes = answer});
    checked++;
    if (connection.requests() != 2 || connection.answers() != 2 || connection.answers(404, each.method) != 2 ||
        connection.unanswered() || connection.unread()) {
        fail(
            "request '%s', %zu cuts, answered %s: %lu requests, %lu answers, %lu with its method, %lu unanswered, "
            "%lu unread, but expected: 2, 2, 2, 0, 0",
            each.name, cuts.size(), early ? "early" : "at its end", connection.requests(), connection.answers(),
            connection.answers(404, each.method), connection.unanswered(), connection.unread());
    }
}

void check_request(const RequestCase& each, bool early) {
    const std::size_t size = each.stream.size();
    std::vector<std::size_t> bytes;
    for (std::size_t i = 1; i < size; i++) {
        bytes.push_back(i);
    }
    check(each, bytes, early);
    for (std::size_t first = 0; first <= size; first++) {
        for (std::size_t second = first; second <= size; second++) {
            check(each, std::array{first, second}, early);
            check(each, std::array{first, second}, early, true);
        }
    }
}

}  // namespace

}  // namespace upstat::fuzz

int main() {
    using namespace upstat::fuzz;
    for (const AnswerCase& each : answers) {
        for (const std::uint32_t beginning : beginnings) {
            check_answer(each, beginning);
        }
    }
    const std::size_t of_answers = std::exchange(checked, 0);
    for (const RequestCase& each : requests) {
        check_request(each, false);
        check_request(each, true);
    }
    std::printf("%zu deliveries of %zu answers, %zu of %zu requests\n", of_answers, answers.size(), checked,
                requests.size());
}
