// SPDX-License-Identifier: Apache-2.0
#include "reference.hpp"

#include <http_parser.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace upstat::fuzz {

namespace {

/// What the parser told while it read one byte, and where it was.
struct Message {
    std::size_t at = 0;  // of the byte that is read
    std::size_t begin = 0, head = 0, end = 0;
};

Message& message_of(http_parser* parser) {
    return *static_cast<Message*>(parser->data);
}

/// Parses one message from `at` on, byte by byte, so that each callback's place is known; until `done` says so.
/// False where the message is not accepted or not whole.
template <typename Done>
bool parse_message(http_parser& parser, Message& message, std::string_view stream, Done done) {
    http_parser_settings settings;
    http_parser_settings_init(&settings);
    settings.on_message_begin = [](http_parser* p) {
        message_of(p).begin = message_of(p).at;
        return 0;
    };
    settings.on_headers_complete = [](http_parser* p) {
        message_of(p).head = message_of(p).at + 1;
        return 0;
    };
    settings.on_message_complete = [](http_parser* p) {
        message_of(p).end = message_of(p).at + 1;
        return 0;
    };
    parser.data = &message;
    for (; message.at < stream.size(); message.at++) {
        http_parser_execute(&parser, &settings, stream.data() + message.at, 1);
        if (HTTP_PARSER_ERRNO(&parser) != HPE_OK) {
            return false;
        }
        if (done(message)) {
            return true;
        }
    }
    return false;
}

bool has_lone_cr(std::string_view bytes) {
    for (std::size_t at = bytes.find('\r'); at != std::string_view::npos; at = bytes.find('\r', at + 1)) {
        if (bytes.substr(at + 1, 1) != "\n") {
            return true;
        }
    }
    return false;
}

bool has_space_in_name(std::string_view head) {
    for (std::size_t at = head.find('\n'); at != std::string_view::npos; at = head.find('\n', at + 1)) {
        const std::string_view line = head.substr(at + 1, head.find('\n', at + 1) - at - 1);
        if (line.substr(0, line.find(':')).contains(' ') && !line.starts_with(' ') && !line.starts_with('\t')) {
            return true;
        }
    }
    return false;
}

bool has_version(std::string_view head) {
    std::string_view line = head.substr(0, head.find('\n'));
    line = line.substr(0, line.find('\r'));
    return line.ends_with(" HTTP/1.0") || line.ends_with(" HTTP/1.1");
}

/// Go ends a chunk's line at a bare LF, as the programs do; the parser reads on to the next CR.
bool has_lone_lf(std::string_view bytes) {
    for (std::size_t at = bytes.find('\n'); at != std::string_view::npos; at = bytes.find('\n', at + 1)) {
        if (at == 0 || bytes[at - 1] != '\r') {
            return true;
        }
    }
    return false;
}

bool has_high_byte(std::string_view bytes) {
    return std::ranges::any_of(bytes, [](char byte) { return static_cast<unsigned char>(byte) >= 128; });
}

/// Each chunk has a size of at most 15 digits: more are not read, by decision, since Go never writes them. Behind its
/// data a line ends, where the parser takes any two bytes.
bool has_strict_chunks(std::string_view chunks) {
    while (true) {
        std::uint64_t size = 0;
        const char* const end = chunks.data() + std::min<std::size_t>(chunks.size(), 16);
        if (std::from_chars(chunks.data(), end, size, 16).ptr - chunks.data() > 15) {
            return false;
        }
        if (size == 0) {
            return true;
        }
        const std::size_t behind = chunks.find('\n') + 1 + size;
        if (behind > chunks.size() || chunks.substr(behind, 2) != "\r\n") {
            return false;
        }
        chunks.remove_prefix(behind + 2);
    }
}

/// Debian builds the parser without HTTP_PARSER_STRICT: it takes any byte behind a CR for the LF, spaces in names, and
/// any bytes for the letters of HTTP. What the strict one refuses is refused here.
/// Besides, a request of HTTP/0.9, which has no version, is none; and a byte of 128 or more in a chunk's size, which
/// the parser takes for a digit 0, is none, nor is a bare LF there (nor are these in a chunk's data, for simplicity).
bool is_strict_request(std::string_view head, std::string_view chunks) {
    return has_version(head) && !has_lone_cr(head) && !has_space_in_name(head) && !has_lone_cr(chunks) &&
           !has_lone_lf(chunks) && !has_high_byte(chunks) && has_strict_chunks(chunks);
}

std::string_view between(std::string_view stream, std::size_t begin, std::size_t end) {
    return stream.substr(begin, end - begin);
}

}  // namespace

std::vector<ReferenceRequest> reference_requests(std::string_view stream) {
    std::vector<ReferenceRequest> requests;
    Message message;
    http_parser parser;
    while (true) {
        http_parser_init(&parser, HTTP_REQUEST);
        message = {.at = message.end};
        if (!parse_message(parser, message, stream, [](const Message& m) { return m.end != 0; })) {
            return requests;
        }
        const bool chunked = (parser.flags & F_CHUNKED) != 0;
        if (!is_strict_request(between(stream, message.begin, message.head),
                               chunked ? between(stream, message.head, message.end) : "")) {
            return requests;
        }
        requests.push_back({.begin = message.begin,
                            .head = message.head,
                            .end = message.end,
                            .method = http_method_str(static_cast<http_method>(parser.method)),
                            .chunked = chunked});
    }
}

}  // namespace upstat::fuzz
