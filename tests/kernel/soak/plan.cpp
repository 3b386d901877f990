// SPDX-License-Identifier: Apache-2.0
#include "plan.hpp"

#include <algorithm>
#include <string>

namespace soak {

namespace {

constexpr std::array<std::uint16_t, 18> codes{200, 201, 204, 206, 301, 302, 304, 400, 401,
                                              403, 404, 418, 429, 500, 502, 503, 504, 599};
constexpr std::string_view early_hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
constexpr std::uint32_t chunk = 3000;

std::string repeated(std::string_view piece) {
    std::string text;
    while (text.size() < most_body) {
        text += piece;
    }
    return text;
}

/// Plain text, or what begins (and goes on) like requests, or like answers.
std::string_view body_text(const Plan& plan) {
    static const std::array<std::string, 3> texts{repeated("the quick brown fox jumps over the lazy dog "),
                                                  repeated("DELETE /body HTTP/1.1\r\nHost: body\r\n\r\n"),
                                                  repeated("HTTP/1.1 500 Body\r\nContent-Length: 0\r\n\r\n")};
    return texts.at(plan.looks % texts.size());
}

/// Mostly tiny.
std::uint32_t draw_size(Random& random) {
    switch (random.below(64)) {
        case 0:
            return random.below(most_body);
        case 1:
        case 2:
        case 3:
            return random.below(3000);
        case 4:
            return 0;
        default:
            return random.below(64);
    }
}

Method draw_method(Random& random) {
    constexpr std::string_view weights = "0000000001122234";
    return static_cast<Method>(weights.at(random.below(weights.size())) - '0');
}

Upload draw_upload(Random& random) {
    using enum Upload;
    constexpr std::array weights{length,  length,  length,  length, length, length, length, length,
                                 chunked, chunked, chunked, expect, expect, early,  early,  refused};
    return weights.at(random.below(weights.size()));
}

/// One request in 128 ends its connection.
End draw_end(Random& random) {
    using enum End;
    constexpr std::array weights{close,  close, close, close,     idle_close, idle_close, idle_close, reset,
                                 silent, never, never, cut_reset, cut_reset,  cut_close,  cut_close,  tunnel};
    return random.one_in(128) ? weights.at(random.below(weights.size())) : keep;
}

bool cuts(const Plan& plan) {
    return plan.end == End::cut_reset || plan.end == End::cut_close;
}

/// A plan's numbers in its path, and how many digits each has.
constexpr std::array<std::size_t, 8> widths{3, 1, 1, 1, 2, 1, 5, 5};

void append_fields(Output& out, const Plan& plan) {
    const std::array<std::uint32_t, widths.size()> values{plan.code,
                                                          static_cast<std::uint32_t>(plan.end),
                                                          static_cast<std::uint32_t>(plan.upload),
                                                          plan.interims,
                                                          plan.split,
                                                          plan.looks,
                                                          plan.body,
                                                          plan.uploaded};
    std::array<char, 19> text{};
    std::size_t at = 0;
    for (std::size_t i = 0; i < widths.size(); i++) {
        at += widths.at(i);
        auto value = values.at(i);
        for (std::size_t digit = 1; digit <= widths.at(i); digit++, value /= 10) {
            text.at(at - digit) = static_cast<char>('0' + value % 10);
        }
    }
    out.append(std::string_view(text.data(), text.size()));
}

std::uint32_t read_field(std::string_view& text, std::size_t width) {
    std::uint32_t value = 0;
    for (const char digit : text.substr(0, width)) {
        value = value * 10 + static_cast<std::uint32_t>(digit - '0');
    }
    text.remove_prefix(width);
    return value;
}

void append_final_head(Output& out, const Plan& plan) {
    constexpr std::string_view line = "HTTP/1.1 ";
    constexpr std::size_t status_bytes = 13;
    std::array<char, status_bytes> status{};
    std::copy(line.begin(), line.end(), status.begin());
    status[9] = static_cast<char>('0' + plan.code / 100);
    status[10] = static_cast<char>('0' + plan.code / 10 % 10);
    status[11] = static_cast<char>('0' + plan.code % 10);
    status[12] = ' ';
    const std::string_view whole(status.data(), status.size());
    out.append(whole.substr(0, plan.split));
    if (plan.split) {
        out.stop();
    }
    out.append(whole.substr(plan.split));
    out.append("Soak\r\n");
    if (plan.code != 101 && plan.code != 204) {
        out.append("Content-Length: ");
        out.append(plan.body);
        out.append("\r\n");
    }
    out.append(plan.end == End::close ? "Connection: close\r\n\r\n" : "\r\n");
}

}  // namespace

std::uint64_t Random::next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

Plan draw(Random& random) {
    Plan plan;
    plan.method = draw_method(random);
    plan.code = codes.at(random.below(codes.size()));
    plan.end = draw_end(random);
    plan.looks = static_cast<std::uint8_t>(random.below(3));
    plan.body = draw_size(random);
    if (random.one_in(16)) {
        plan.interims = static_cast<std::uint8_t>(1 + random.below(3));
    }
    if (random.one_in(16)) {
        plan.split = static_cast<std::uint8_t>(1 + random.below(12));
    }
    const bool uploads = plan.method == Method::post || plan.method == Method::put;
    if (uploads && plan.end == End::keep) {
        plan.upload = draw_upload(random);
    } else if (uploads) {
        plan.upload = Upload::length;  // the others need an answer
    }
    plan.uploaded = uploads ? draw_size(random) : 0;
    if (plan.end == End::tunnel) {
        plan.code = 101;
        plan.interims = 0;
    }
    if (cuts(plan)) {  // there must be a body to be cut
        plan.method = plan.method == Method::head ? Method::get : plan.method;
        plan.code = 200;
        plan.body += 100;
    }
    return plan;
}

void append_head(Output& out, const Plan& plan, std::uint32_t filler) {
    out.append(method_names.at(static_cast<std::size_t>(plan.method)));
    out.append(" /");
    append_fields(out, plan);
    out.append(" HTTP/1.1\r\nHost: soak\r\nUser-Agent: Go-http-client/1.1\r\n");
    if (plan.upload == Upload::chunked) {
        out.append("Transfer-Encoding: chunked\r\n");
    } else if (plan.upload != Upload::none) {
        out.append("Content-Length: ");
        out.append(plan.uploaded);
        out.append("\r\n");
    }
    if (plan.upload == Upload::expect || plan.upload == Upload::refused) {
        out.append("Expect: 100-continue\r\n");
    }
    if (filler) {
        out.append("X-Filler: ");
        static const std::string text(1024, 'x');
        out.append(std::string_view(text).substr(0, filler));
        out.append("\r\n");
    }
    out.append("X-Forwarded-For: 10.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n");
}

void append_upload(Output& out, const Plan& plan) {
    auto text = body_text(plan).substr(0, plan.uploaded);
    if (plan.upload != Upload::chunked) {
        out.append(text);
        return;
    }
    for (; !text.empty(); text.remove_prefix(std::min<std::size_t>(chunk, text.size()))) {
        const auto piece = text.substr(0, chunk);
        out.append(static_cast<std::uint32_t>(piece.size()), 16);
        out.append("\r\n");
        out.append(piece);
        out.append("\r\n");
    }
    out.append("0\r\n\r\n");
}

std::uint32_t upload_bytes(const Plan& plan) {
    if (plan.upload == Upload::none || plan.upload == Upload::refused) {
        return 0;
    }
    if (plan.upload != Upload::chunked) {
        return plan.uploaded;
    }
    std::uint32_t bytes = 5;
    for (std::uint32_t left = plan.uploaded; left > 0; left -= std::min(chunk, left)) {
        const auto piece = std::min(chunk, left);
        bytes += piece + 4 + (piece < 16 ? 1 : piece < 256 ? 2 : 3);
    }
    return bytes;
}

Plan read_plan(std::string_view head) {
    Plan plan;
    const auto space = head.find(' ');
    const auto* const method = std::ranges::find(method_names, head.substr(0, space));
    if (space == std::string_view::npos || method == method_names.end()) {
        fail("not a request of the soak's: " + std::string(head));
    }
    plan.method = static_cast<Method>(method - method_names.begin());
    auto text = head.substr(space + 2);
    plan.code = static_cast<std::uint16_t>(read_field(text, widths[0]));
    plan.end = static_cast<End>(read_field(text, widths[1]));
    plan.upload = static_cast<Upload>(read_field(text, widths[2]));
    plan.interims = static_cast<std::uint8_t>(read_field(text, widths[3]));
    plan.split = static_cast<std::uint8_t>(read_field(text, widths[4]));
    plan.looks = static_cast<std::uint8_t>(read_field(text, widths[5]));
    plan.body = read_field(text, widths[6]);
    plan.uploaded = read_field(text, widths[7]);
    return plan;
}

void append_interims(Output& out, const Plan& plan) {
    for (std::uint8_t i = 0; i < plan.interims; i++) {
        out.append(i % 2 == 0 ? early_hints : "HTTP/1.1 102 Processing\r\n\r\n");
        if (i == 0) {
            out.stop();
        }
    }
}

void append_answer(Output& out, const Plan& plan) {
    append_interims(out, plan);
    append_final_head(out, plan);
    const auto bytes = cuts(plan) ? plan.body / 2 : plan.answer_bytes();
    out.append(body_text(plan).substr(0, bytes));
}

}  // namespace soak
