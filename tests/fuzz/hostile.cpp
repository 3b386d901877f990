// SPDX-License-Identifier: Apache-2.0
/// Whatever a client puts into method, target, headers, trailers or body changes nothing that is counted for other
/// requests. The fuzzer chooses these bytes; the requests are framed as Go's client writes them; and each is counted
/// once, with the method that Traefik gives it, and its response with it, however all is cut, sent again, and answered
/// early.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>
#include <string>

#include "input.hpp"

namespace upstat::fuzz {

namespace {

bool is_token(char byte) {
    constexpr std::string_view others = "!#$%&'*+-.^_`|~";
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           others.contains(byte);
}

/// What Go's server lets through in a header's value.
bool is_value(char byte) {
    return byte == '\t' || (static_cast<unsigned char>(byte) >= ' ' && byte != '\x7f');
}

/// In a target, as the request's line has it.
bool is_target(char byte) {
    return static_cast<unsigned char>(byte) > ' ' && byte != '\x7f';
}

std::string only(std::string text, bool (*allowed)(char)) {
    std::erase_if(text, [allowed](char byte) { return !allowed(byte); });
    return text;
}

/// Go writes these itself, and takes none from a client.
bool is_framing(std::string name) {
    std::ranges::transform(name, name.begin(), [](unsigned char byte) { return std::tolower(byte); });
    return name == "content-length" || name == "transfer-encoding" || name == "trailer" || name == "host";
}

upstat_method label_of(const std::string& name) {
    static const std::map<std::string, upstat_method> methods{
        {"GET", UPSTAT_METHOD_GET},     {"HEAD", UPSTAT_METHOD_HEAD},     {"POST", UPSTAT_METHOD_POST},
        {"PUT", UPSTAT_METHOD_PUT},     {"DELETE", UPSTAT_METHOD_DELETE}, {"OPTIONS", UPSTAT_METHOD_OPTIONS},
        {"TRACE", UPSTAT_METHOD_TRACE}, {"PATCH", UPSTAT_METHOD_PATCH}};
    const auto found = methods.find(name);
    return found == methods.end() ? UPSTAT_METHOD_EXTENSION : found->second;
}

struct Request {
    std::string method;
    std::string bytes;
    std::size_t line = 0;  ///< of its request line
};

std::string take_method(FuzzedDataProvider& input) {
    auto method = only(input.ConsumeRandomLengthString(), is_token);
    for (auto n = input.ConsumeIntegral<std::uint8_t>(); n > 250; n--) {
        method += method;  // letters in any number
    }
    return method.empty() || method == "CONNECT" ? "GET" : method;  // Traefik answers a CONNECT itself
}

std::string take_fields(FuzzedDataProvider& input) {
    std::string fields;
    for (auto n = input.ConsumeIntegral<std::uint8_t>() % 8; n > 0; n--) {
        const auto name = only(input.ConsumeRandomLengthString(), is_token);
        const auto field = name + ": " + only(input.ConsumeRandomLengthString(), is_value) + "\r\n";
        const auto times = input.ConsumeIntegral<std::uint8_t>() > 250 ? 1500 : 1;
        for (int time = 0; time < times && !name.empty() && !is_framing(name); time++) {
            fields += field;
        }
    }
    return fields;
}

std::string chunks_of(FuzzedDataProvider& input, std::string_view body) {
    std::string chunks;
    while (!body.empty()) {
        char size[24];
        const auto taken = std::min<std::size_t>(body.size(), 1U + input.ConsumeIntegral<std::uint8_t>());
        std::snprintf(size, sizeof(size), "%zx\r\n", taken);
        chunks += size + std::string(body.substr(0, taken)) + "\r\n";
        body.remove_prefix(taken);
    }
    return chunks + "0\r\n" + take_fields(input) + "\r\n";
}

Request take_request(FuzzedDataProvider& input) {
    Request request{.method = take_method(input), .bytes = {}};
    request.bytes = request.method + " /" + only(input.ConsumeRandomLengthString(), is_target) + " HTTP/1.1\r\n";
    request.line = request.bytes.size();
    request.bytes += "Host: a\r\n" + take_fields(input);
    const auto body = input.ConsumeRandomLengthString();
    if (input.ConsumeBool()) {
        request.bytes += "Transfer-Encoding: chunked\r\n\r\n" + chunks_of(input, body);
    } else if (!body.empty()) {
        request.bytes += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    } else {
        request.bytes += "\r\n";
    }
    return request;
}

/// Requests one after the other on one connection, as a pool of Go's uses it.
class Exchange {
  public:
    Exchange(FuzzedDataProvider& input, const Wire& wire) : input_(input), connection_(wire) {}

    /// Sends a request in up to four segments, some of them twice, and responds to it: at its end, or early, but not
    /// before its line was read. The end of a body whose response came early may leave with the next request.
    void ask(const Request& request, int code) {
        const auto early = input_.ConsumeBool();
        const auto line_end = sent_ + pending_.size() + request.line;
        bool answered = false;
        pending_ += request.bytes;
        for (auto cuts = input_.ConsumeIntegral<std::uint8_t>() % 4; cuts > 0; cuts--) {
            send(input_.ConsumeIntegralInRange<std::size_t>(0, pending_.size()));
            if (early && !answered && sent_ >= line_end) {
                respond(code);
                answered = true;
            }
        }
        if (!answered || input_.ConsumeBool()) {
            send(pending_.size());
        }
        if (!answered) {
            respond(code);
        }
    }

    const Connection& connection() const { return connection_; }

  private:
    void send(std::size_t size) {
        for (auto times = size > 0 ? 1 + input_.ConsumeBool() : 0; times > 0; times--) {
            connection_.send({.at = sent_, .bytes = std::string_view(pending_).substr(0, size)}, received_);
        }
        sent_ += size;
        pending_.erase(0, size);
    }

    void respond(int code) {
        const auto response = "HTTP/1.1 " + std::to_string(code) + "\r\nContent-Length: 0\r\n\r\n";
        connection_.receive({.at = received_, .bytes = response});
        received_ += response.size();
    }

    FuzzedDataProvider& input_;
    Connection connection_;
    std::string pending_;  ///< not sent yet
    std::size_t sent_ = 0;
    std::size_t received_ = 0;
};

void test(FuzzedDataProvider& input) {
    Exchange exchange(input, take_wire(input));
    const auto& connection = exchange.connection();
    std::uint64_t asked = 0;
    for (int code = 200; input.remaining_bytes() > 0 && code < 216; code++) {
        const auto request = code % 2 == 0 ? take_request(input) : Request{"DELETE", "DELETE / HTTP/1.1\r\n\r\n", 19};
        exchange.ask(request, code);
        asked++;
        connection.check_balance();
        if (connection.requests() != asked || connection.answers() != asked ||
            connection.answers(code, label_of(request.method)) != 1 || connection.unread() != 0) {
            fail("request %lu ('%.40s'): %lu requests, %lu responses, %lu with its code and method, %lu unread", asked,
                 request.method.c_str(), connection.requests(), connection.answers(),
                 connection.answers(code, label_of(request.method)), connection.unread());
        }
    }
}

}  // namespace

}  // namespace upstat::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzedDataProvider input(data, size);
    upstat::fuzz::test(input);
    return 0;
}
