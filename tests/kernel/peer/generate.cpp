// SPDX-License-Identifier: Apache-2.0
#include "generate.hpp"

#include <rapidcheck.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "play.hpp"
#include "schedule.hpp"

namespace upstat::peer {

namespace {

/// Random decisions. Each of them taken as 0 is the plainest; so a failing schedule shrinks by making the numbers fewer
/// and smaller.
class Choices {
  public:
    explicit Choices(std::span<const std::uint16_t> numbers) : numbers_(numbers) {}

    /// 0 to below - 1.
    std::size_t next(std::size_t below) {
        if (at_ == numbers_.size() || below == 0) {
            return 0;
        }
        return numbers_[at_++] % below;
    }

    bool one_in(std::size_t n) { return next(n) == n - 1; }

    template <typename T, std::size_t N>
    const T& of(const std::array<T, N>& all) {
        return all.at(next(N));
    }

  private:
    std::span<const std::uint16_t> numbers_;
    std::size_t at_ = 0;
};

constexpr std::array<std::string_view, 5> methods{"GET", "POST", "HEAD", "PUT", "DELETE"};
constexpr std::array<int, 12> codes{200, 404, 204, 500, 301, 413, 503, 599, 401, 226, 600, 999};

/// What only a hostile client takes for a method: any token of RFC 9110, of any length.
constexpr std::array<std::string_view, 8> odd_methods{
    "PROPFIND", "PRI", "A#B", "HTTP", "SSH-2.0-OpenSSH_9.2p1", "BASELINE-CONTROL", "Content-Length", "!#$%&'*+-.^_`|~"};

/// What bodies are made of: all that a wrong reader would take for something else.
constexpr std::array<std::string_view, 14> fragments{"x",
                                                     "GET /b HTTP/1.1\r\nHost: b\r\n\r\n",
                                                     "HTTP/1.1 500 Oh\r\n\r\n",
                                                     "0\r\n\r\n",
                                                     "\r\n\r\n",
                                                     "\n",
                                                     "HTTP/1.1 100 Continue\r\n\r\n",
                                                     "5\r\nhello\r\n",
                                                     "POST ",
                                                     "Content-Length: 7\r\n",
                                                     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                                     "\x16\x03\x01\x02",
                                                     "UPDATEREDIRECTREF /b HTTP/1.1\r\n\r\n",
                                                     "ABCDEFGHIJKLMNOP"};

/// Where a client may put any byte but these: Go's server refuses them there, or the reader of HTTP/1 ends there.
constexpr std::string_view no_target = " \t\x7f";
constexpr std::string_view no_field = "\x7f";

/// Bytes that nobody thought of; below 32 only a tab where `kept_out` has something.
std::string arbitrary(Choices& choices, std::size_t most, std::string_view kept_out) {
    std::string text;
    for (auto n = choices.next(most + 1); n > 0; n--) {
        const auto byte = static_cast<char>(choices.next(256));
        const bool control = static_cast<unsigned char>(byte) < ' ' && byte != '\t';
        text += !kept_out.empty() && (control || kept_out.contains(byte)) ? '/' : byte;
    }
    return text;
}

std::string body(Choices& choices) {
    std::string text;
    for (auto n = choices.next(6); n > 0; n--) {
        text += choices.of(fragments);
    }
    if (choices.one_in(4)) {
        text += arbitrary(choices, 40, "");
    }
    if (choices.one_in(12)) {
        text += std::string(choices.next(4000), '.');
    }
    return text;
}

std::string chunked(Choices& choices, std::string_view text) {
    std::string all;
    while (!text.empty()) {
        const auto size = 1 + choices.next(text.size());
        const auto* extension = choices.one_in(5) ? ";name=\"value\"" : "";
        all +=
            choices.one_in(2) ? fmt::format("{:x}{}\r\n", size, extension) : fmt::format("{:X}{}\r\n", size, extension);
        all += text.substr(0, size);
        all += "\r\n";
        text.remove_prefix(size);
    }
    return all + (choices.one_in(4) ? "0\r\nTrailer: GET / HTTP/1.1\r\n\r\n" : "0\r\n\r\n");
}

/// As often as not one that Traefik names.
std::string method(Choices& choices) {
    if (!choices.one_in(3)) {
        return std::string(choices.of(methods));
    }
    std::string odd(choices.of(odd_methods));
    while (choices.one_in(3)) {
        odd += choices.of(odd_methods);
    }
    return choices.one_in(8) ? odd + std::string(choices.next(5000), 'M') : odd;
}

std::string label_of(std::string_view method) {
    return std::ranges::find(methods, method) != methods.end() ? std::string(method) : "EXTENSION_METHOD";
}

/// Header lines of a client's choice: many, long, or almost those that frame a request.
std::string fields(Choices& choices) {
    std::string lines;
    if (choices.one_in(10)) {
        lines += "Cookie: " + std::string(choices.next(3000), 'c') + "\r\n";
    }
    if (choices.one_in(10)) {
        for (auto n = choices.next(1500); n > 0; n--) {
            lines += "x12:y\r\n";
        }
    }
    if (choices.one_in(6)) {
        lines += "X: " + arbitrary(choices, 40, no_field) + "\r\n";
    }
    if (choices.one_in(4)) {
        lines +=
            choices.of(std::array<std::string_view, 4>{"Content-Length-Too: 7\r\n", "Transfer-Encodin: chunked\r\n",
                                                       "X: GET / HTTP/1.1\r\n", "PRI: * HTTP/2.0\r\n"});
    }
    return lines;
}

/// A request: the part up to which its server may wait before it answers, and the rest.
struct Request {
    std::string method;
    std::string head;
    std::string body;
};

Request request(Choices& choices) {
    Request made{.method = method(choices), .head = {}, .body = {}};
    std::string target(choices.one_in(8) ? choices.next(5000) : 1, 'a');
    if (choices.one_in(6)) {
        target += arbitrary(choices, 40, no_target);
    }
    made.head = fmt::format("{} /{} HTTP/1.1\r\nHost: a\r\n", made.method, target);
    const auto framing = choices.next(4);
    if (framing == 1 || framing == 3) {
        made.body = body(choices);
    } else if (framing == 2) {
        made.body = chunked(choices, body(choices));
    }
    made.head += fields(choices);
    if (framing == 2) {
        made.head += choices.one_in(2) ? "transfer-encoding: chunked\r\n" : "Transfer-Encoding: chunked\r\n";
    } else if (framing != 0) {
        made.head +=
            fmt::format("{}{}\r\n", choices.one_in(2) ? "content-length:" : "Content-Length: ", made.body.size());
    }
    made.head += "\r\n";
    return made;
}

/// Ascending places at which `size` bytes are cut; the last is `size`.
std::vector<std::size_t> cuts(Choices& choices, std::size_t size, std::size_t most) {
    std::vector<std::size_t> places;
    for (auto n = choices.next(most + 1); n > 0; n--) {
        places.push_back(1 + choices.next(choices.one_in(2) ? std::min<std::size_t>(size, 16) : size));
    }
    places.push_back(size);
    std::ranges::sort(places);
    const auto [first, last] = std::ranges::unique(places);
    places.erase(first, last);
    return places;
}

class Schedule {
  public:
    explicit Schedule(Choices choices) : choices_(choices) {}

    std::string write() {
        settings();
        line("connect");
        for (auto n = 1 + choices_.next(4); n > 0; n--) {
            exchange();
        }
        end();
        return text_ + expectations_;
    }

  private:
    void line(const std::string& what) { text_ += what + "\n"; }

    void settings() {
        if (const auto family = choices_.next(6); family == 4) {
            line("set ipv6");
        } else if (family == 5) {
            line("set mapped");
        }
        if (choices_.one_in(3)) {
            line(fmt::format("set isn {}", 4294967295U - choices_.next(300)));
        }
        if (choices_.one_in(4)) {
            line(fmt::format("set client-first {}", 4294967295U - choices_.next(300)));
        }
        if (choices_.one_in(6)) {
            line(fmt::format("set mss {}", 600 + choices_.next(800)));
        }
    }

    void send(std::string_view data) {
        std::size_t from = 0;
        for (const auto to : cuts(choices_, data.size(), choices_.one_in(3) ? 4 : 1)) {
            if (to > from) {
                line("send " + quote(data.substr(from, to - from)));
            }
            from = to;
        }
    }

    /// The same, but the peer says nothing until all of it was sent twice.
    void send_twice(std::string_view data) {
        line("acks off");
        send(data);
        line("ack 3");
        line("acks on");
        line("ack");
        line("taken");
    }

    void exchange() {
        const auto asked = request(choices_);
        const bool early = !asked.body.empty() && choices_.one_in(4);
        const bool waits = !asked.body.empty() && !early && choices_.one_in(4);
        const auto kept = std::exchange(kept_, {});
        if (early || waits) {
            send(kept + asked.head);
            if (waits) {
                line("reply " + quote("HTTP/1.1 100 Continue\r\n\r\n"));
                line("receive all");
            }
        } else if (choices_.one_in(5)) {
            send_twice(kept + asked.head + asked.body);
        } else {
            send(kept + asked.head + asked.body);
        }
        if (waits) {
            send(asked.body);
        }
        answer(asked.method);
        if (early) {
            keep_some(asked.body);
        }
    }

    /// The rest of an upload that was answered early, the end of which may leave with the next request.
    void keep_some(std::string_view data) {
        const auto now = choices_.one_in(2) ? data.size() : choices_.next(data.size());
        if (now > 0) {
            send(data.substr(0, now));
        }
        kept_ = data.substr(now);
    }

    void answer(std::string_view method) {
        std::string interim;
        for (auto n = choices_.next(6); n > 3; n--) {
            interim +=
                choices_.of(std::array<std::string_view, 3>{"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 \r\n\r\n",
                                                            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"});
            if (choices_.one_in(4)) {
                interim +=
                    fmt::format("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", std::string(choices_.next(700), 'l'));
            }
        }
        const auto code = choices_.of(codes);
        const auto text = interim + status_line(code) + "A: b\r\n\r\n" + body(choices_);
        line("say " + quote(text));
        deliver(text.size());
        line("receive all");
        said_ += text.size();
        expectations_ += fmt::format("expect {} {}\n", code, label_of(method));
    }

    /// In every form that Go's client takes.
    std::string status_line(int code) {
        const auto* version = choices_.of(std::array{"HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0"});
        const auto* reason = choices_.one_in(3) ? "" : " Because";
        const std::string spaces(choices_.one_in(6) ? 1 + choices_.next(90) : 1, ' ');
        return fmt::format("{}{}{}{}{}", version, spaces, code, reason, choices_.one_in(6) ? "\n" : "\r\n");
    }

    /// All of the answer's bytes, in segments of any cut and in any order; some of them more than once, and with them
    /// old ones.
    void deliver(std::size_t size) {
        std::vector<std::pair<long, long>> segments;
        long from = 0;
        for (const auto to : cuts(choices_, size, 5)) {
            segments.emplace_back(from, static_cast<long>(to));
            from = static_cast<long>(to);
        }
        for (std::size_t left = segments.size(); left > 1; left--) {
            std::swap(segments[left - 1], segments[left - 1 - choices_.next(left)]);
        }
        for (auto n = choices_.next(7); n > 4; n--) {
            repeat(segments, static_cast<long>(size));
        }
        for (const auto& [begin, end] : segments) {
            line(fmt::format("seg {} {}", begin, end));
        }
    }

    /// One more segment at a random place: bytes that came before, or will come.
    void repeat(std::vector<std::pair<long, long>>& segments, long size) {
        const auto place = choices_.next(segments.size() + 1);
        const auto back = static_cast<long>(choices_.next(std::min<std::size_t>(said_, 3000) + 1));
        const auto begin = static_cast<long>(choices_.next(static_cast<std::size_t>(size + back))) - back;
        const auto length = 1 + static_cast<long>(choices_.next(static_cast<std::size_t>(size - begin)));
        segments.insert(segments.begin() + static_cast<std::ptrdiff_t>(place), {begin, begin + length});
    }

    /// How the connection ends, perhaps with one more request in flight.
    void end() {
        const auto how = choices_.next(5);
        const auto flying = how != 0 && choices_.one_in(2);
        if (flying) {
            send(kept_ + fmt::format("{} /last HTTP/1.1\r\nHost: a\r\n\r\n", method(choices_)));
        }
        constexpr std::array<std::string_view, 5> ends{"", "rst", "fin", "close", "abort"};
        constexpr std::array<std::string_view, 5> reasons{"", "reset", "closed", "aborted", "aborted"};
        line(std::string(ends.at(how)));
        if (flying) {
            expectations_ += fmt::format("expect unanswered {}\n", reasons.at(how));
        }
    }

    Choices choices_;
    std::string text_;
    std::string expectations_;
    std::size_t said_ = 0;  ///< bytes of the answers before this one
    std::string kept_;      ///< of the last upload, not sent yet
};

using Numbers = std::vector<std::uint16_t>;

std::string schedule_of(const Numbers& numbers) {
    return "case generated\n" + Schedule(Choices(numbers)).write();
}

}  // namespace

bool generate(Wire& wire, Counts& counts, std::uint64_t seed, int count) {
    const auto numbers = rc::gen::resize(
        300, rc::gen::container<Numbers>(rc::gen::map(rc::gen::arbitrary<std::uint32_t>(), [](std::uint32_t number) {
            return static_cast<std::uint16_t>(number);
        })));
    rc::detail::TestParams parameters;
    parameters.seed = seed;
    parameters.maxSuccess = count;
    const auto property = [&] {
        const auto text = schedule_of(*numbers);
        const auto wrong = play(wire, counts, parse_cases(text, "generated").at(0));
        if (!wrong.empty()) {
            RC_FAIL(wrong + "\n" + text);
        }
    };
    const auto result =
        rc::detail::checkTestable(property, rc::detail::TestMetadata{.id = "schedules", .description = {}}, parameters);
    rc::detail::FailureResult failure;
    if (result.match(failure)) {
        fmt::print("FAILED after {} schedules of seed {}; the smallest that fails:\n{}\n", failure.numSuccess, seed,
                   failure.description);
        return false;
    }
    fmt::print("{} schedules of seed {}: 0 missed, 0 doubled\n", count, seed);
    return true;
}

}  // namespace upstat::peer
