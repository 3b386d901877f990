// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net.hpp"

namespace soak {

enum class Method : std::uint8_t { get, head, post, put, delete_ };
constexpr std::array<std::string_view, 5> method_names{"GET", "HEAD", "POST", "PUT", "DELETE"};

/// How the request's body goes.
enum class Upload : std::uint8_t {
    none,
    length,
    chunked,
    expect,   ///< after the server's 100
    refused,  ///< Expect: 100-continue, and the final answer comes at once: no body is sent, and the client closes
    early,    ///< answered before its body was sent; the rest of the body comes after the answer
};

/// What the server does when it has read the request. Each is a certain end: the client knows what it must see.
enum class End : std::uint8_t {
    keep,
    close,       ///< answers with Connection: close
    idle_close,  ///< answers, and then closes without a word: the next request may cross the FIN
    reset,       ///< resets instead of answering
    silent,      ///< closes instead of answering
    never,       ///< does nothing: the client gives up
    cut_reset,   ///< resets within the body
    cut_close,   ///< closes within the body
    tunnel,      ///< 101
};

/// One request and what becomes of it. The client draws it and the request's path carries it, so that the server needs
/// no mind of its own.
struct Plan {
    Method method = Method::get;
    std::uint16_t code = 200;
    End end = End::keep;
    Upload upload = Upload::none;
    std::uint8_t interims = 0;  ///< 1xx answers before the final one; the first one is a segment of its own
    std::uint8_t split = 0;     ///< the status line's first bytes are a segment of their own; 0: they are not
    std::uint8_t looks = 0;     ///< what the bodies look like, see body_text
    std::uint32_t body = 0;     ///< bytes of the answer's body
    std::uint32_t uploaded = 0;

    [[nodiscard]] bool has_body() const { return method != Method::head && code != 204 && code != 304 && code != 101; }
    [[nodiscard]] std::uint32_t answer_bytes() const { return has_body() ? body : 0; }
};

/// Random numbers, the same for the same seed (splitmix64).
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next();
    /// 0 to limit - 1.
    std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>((next() >> 32) * limit >> 32); }
    bool one_in(std::uint32_t n) { return below(n) == 0; }

  private:
    std::uint64_t state_;
};

constexpr std::uint32_t most_body = 20 * 1024;

Plan draw(Random& random);

/// The request's head, with the plan in its path; `filler` bytes of a header that says nothing.
void append_head(Output& out, const Plan& plan, std::uint32_t filler);
/// The request's body as it stands on the wire, and its size.
void append_upload(Output& out, const Plan& plan);
std::uint32_t upload_bytes(const Plan& plan);
/// The plan of a request's head.
Plan read_plan(std::string_view head);

/// The interim answers alone, and the final one behind them, or its beginning where the plan cuts it.
void append_interims(Output& out, const Plan& plan);
void append_answer(Output& out, const Plan& plan);

constexpr std::string_view continue_answer = "HTTP/1.1 100 Continue\r\n\r\n";
/// What is said in a tunnel looks like HTTP, and is none.
constexpr std::string_view tunnel_ask = "GET /tunnel HTTP/1.1\r\nHost: soak\r\n\r\n";
constexpr std::string_view tunnel_say = "HTTP/1.1 500 Tunnel\r\nContent-Length: 0\r\n\r\n";

}  // namespace soak
