// SPDX-License-Identifier: Apache-2.0
/// Requests on one connection, as http_parser tells them apart: each is counted once with its method, and so is its
/// answer, however the requests are cut into segments, and whatever of them is sent again.
#include <algorithm>
#include <array>
#include <map>
#include <regex>
#include <string>
#include <tuple>
#include <utility>

#include "input.hpp"
#include "reference.hpp"

namespace upstat::fuzz {

namespace {

upstat_method method_of(const std::string& name) {
    static const std::map<std::string, upstat_method> methods{
        {"GET", UPSTAT_METHOD_GET},         {"HEAD", UPSTAT_METHOD_HEAD},     {"POST", UPSTAT_METHOD_POST},
        {"PUT", UPSTAT_METHOD_PUT},         {"DELETE", UPSTAT_METHOD_DELETE}, {"CONNECT", UPSTAT_METHOD_CONNECT},
        {"OPTIONS", UPSTAT_METHOD_OPTIONS}, {"TRACE", UPSTAT_METHOD_TRACE},   {"PATCH", UPSTAT_METHOD_PATCH}};
    const auto found = methods.find(name);
    return found == methods.end() ? UPSTAT_METHOD_EXTENSION : found->second;
}

/// What the programs read otherwise, by decision, since Go never writes it:
///   - a header line that is continued on the next one (RFC 9112 forbids it),
///   - a header whose name only begins like Transfer-Encoding: 16 bytes of it are compared,
///   - a Content-Length whose number is not behind the colon and at most one space, or has more than 15 digits,
///   - a CONNECT that says it has a body.
bool is_read_otherwise(std::string_view head, const ReferenceRequest& request) {
    static const std::regex odd("\n[ \t]|\ncontent-length:(?! ?[0-9]{1,15}[^0-9])", std::regex::icase);
    static const std::regex encoding("\ntransfer-encodin", std::regex::icase);
    static const std::regex body("\n(transfer-encoding|content-length):", std::regex::icase);
    const auto has = [head](const std::regex& what) { return std::regex_search(head.begin(), head.end(), what); };
    return has(odd) || (!request.chunked && has(encoding)) || (request.method == "CONNECT" && has(body));
}

/// Whose a request with this head is, at a server that is looked at. `proxies`: a user's was on the connection before.
upstat_whose whose_is(std::string_view head, const std::string& method, bool& proxies) {
    static const std::regex proxied("\nx-forwarded-(server|for):", std::regex::icase);
    static const std::regex by("\nx-forwarded-method:", std::regex::icase);
    static const std::regex of("\nx-forwarded-uri:", std::regex::icase);
    const auto has = [head](const std::regex& what) { return std::regex_search(head.begin(), head.end(), what); };
    const bool may_ask = has(by) && has(of);
    if (may_ask && !proxies) {
        return UPSTAT_PROBE_FORWARD_AUTH;
    }
    if (has(proxied)) {
        proxies = proxies || !may_ask;
        return UPSTAT_USERS;
    }
    return method == "GET" ? UPSTAT_PROBE_HEALTH_CHECK : UPSTAT_PROBE_OTHER;
}

/// Sends a stream of requests, and answers each with a code of its own.
class Exchange {
  public:
    Exchange(std::string_view stream, const Wire& wire) : stream_(stream), connection_(wire) {}

    void send(std::size_t begin, std::size_t end) {
        connection_.send({.at = begin, .bytes = stream_.substr(begin, end - begin)}, received_);
    }

    void answer(int code) {
        const std::string answer = "HTTP/1.1 " + std::to_string(code) + "\r\nContent-Length: 0\r\n\r\n";
        connection_.receive({.at = received_, .bytes = answer});
        received_ += answer.size();
    }

    const Connection& connection() const { return connection_; }

  private:
    std::string_view stream_;
    Connection connection_;
    std::size_t received_ = 0;
};

/// When a request is answered before it is whole, and what becomes of the rest then.
struct Early {
    unsigned segments = 0;  ///< that were sent before the answer; 0: all
    bool joins = false;     ///< the last piece leaves with the next request
};

/// Sends one request, and in front of it what was not `sent` of the last one, cut where the pieces begin; behind each
/// cut, what the piece holds of what was sent before comes again. Answers it, but no server answers a method's first
/// letters. Returns where the bytes begin that are not sent yet, and where they began when it was answered.
std::pair<std::size_t, std::size_t> exchange_one(Exchange& exchange, const ReferenceRequest& request,
                                                 std::span<const Piece> pieces, Early early, std::size_t sent,
                                                 int code) {
    unsigned segments = 0;
    bool answered = false;
    std::size_t answered_at = request.end;
    for (const Piece& piece : pieces) {
        const std::size_t cut = request.begin + piece.begin;
        if (cut > sent && cut < request.end) {
            exchange.send(sent, cut);
            sent = cut;
            if (++segments >= early.segments && early.segments && !answered &&
                sent > request.begin + request.method.size()) {
                exchange.answer(code);
                answered = true;
                answered_at = sent;
            }
        }
        const std::size_t again = std::min(piece.size * 4 / 3 * request.begin / 256, sent);
        if (piece.point && again < sent) {
            exchange.send(again, std::min(again + piece.size, sent));
        }
    }
    if (answered && early.joins) {
        return {sent, answered_at};
    }
    exchange.send(sent, request.end);
    if (!answered) {
        exchange.answer(code);
    }
    return {request.end, answered_at};
}

void test(std::string_view stream, const Wire& wire, std::span<const Piece> pieces, Early early) {
    Exchange exchange(stream, wire);
    const Connection& connection = exchange.connection();
    std::size_t end = 0;
    std::size_t sent = 0;
    int code = 400;
    bool proxies = false;
    std::array<std::uint64_t, UPSTAT_WHOSE> of{};
    for (const ReferenceRequest& request : reference_requests(stream)) {
        if (request.begin != end ||
            is_read_otherwise(stream.substr(request.begin, request.head - request.begin), request)) {
            return;
        }
        const auto head = stream.substr(request.begin, request.head - request.begin);
        std::size_t answered_at = 0;
        std::tie(sent, answered_at) = exchange_one(exchange, request, pieces, early, sent, code);
        of.at(wire.looked_at && answered_at >= request.head ? whose_is(head, request.method, proxies) : UPSTAT_USERS)++;
        const auto method = method_of(request.method);
        const std::uint64_t wanted = code - 399;
        connection.check_balance();
        if (connection.requests() != wanted || connection.answers(code, method) != 1) {
            if (is_read_otherwise(stream.substr(request.begin, request.head - request.begin), request)) {
                return;
            }
            fail(
                "request %lu (%s, %zu to %zu): %lu requests, %lu answers with its code and method, %lu answers, "
                "%lu unanswered, %lu unread",
                wanted, request.method.c_str(), request.begin, request.end, connection.requests(),
                connection.answers(code, method), connection.answers(), connection.unanswered(), connection.unread());
        }
        for (std::size_t whose = 0; whose < of.size(); whose++) {
            if (const auto is = connection.answers_of(static_cast<upstat_whose>(whose)); is != of.at(whose)) {
                fail("request %lu (%s): %lu answers of %zu, not %lu", wanted, request.method.c_str(), is, whose,
                     of.at(whose));
            }
        }
        end = request.end;
        code++;
    }
}

}  // namespace

}  // namespace upstat::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzedDataProvider input(data, size);
    const auto wire = upstat::fuzz::take_wire(input);
    const auto pieces = upstat::fuzz::take_pieces(input);
    const auto early = input.ConsumeIntegral<std::uint8_t>();
    upstat::fuzz::test(input.ConsumeRemainingBytesAsString(), wire, pieces,
                       {.segments = early % 128U, .joins = early >= 128});
    return 0;
}
