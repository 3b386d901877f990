// SPDX-License-Identifier: Apache-2.0
/// A server's bytes behind a request: however they are cut, repeated, reordered and spread over two CPUs, the verdict
/// is that of the uncut stream; and the final code is the one that Go's client reads (readTransfer and textproto of
/// Go 1.26, written again here).
///
/// Where the two differ, by decision (bpf/README.md): codes below 100, which Go takes and Traefik never hands on, are
/// malformed; and a response is counted once its status line is known, though its head may turn out to be none.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "input.hpp"

namespace upstat::fuzz {

namespace {

constexpr std::string_view request = "GET / HTTP/1.1\r\n\r\n";
constexpr std::string_view second_answer = "HTTP/1.1 299 Second\r\n\r\n";
/// Bytes that tell a status line, from its beginning or from its code on where more than one space is before that.
constexpr std::size_t status_bytes = 14;
constexpr std::size_t code_bytes = 5;

bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

/// The next line without its end, as textproto reads it; nothing where it has none.
std::optional<std::string_view> take_line(std::string_view& stream) {
    const auto end = stream.find('\n');
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    auto line = stream.substr(0, end);
    stream.remove_prefix(end + 1);
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    return line;
}

/// The code of a status line; 0 where Go finds none, or one below 100.
int code_of(std::string_view line) {
    if (!line.starts_with("HTTP/") || line.size() < 9 || !is_digit(line[5]) || line[6] != '.' || !is_digit(line[7]) ||
        line[8] != ' ') {
        return 0;
    }
    line.remove_prefix(std::min(line.find_first_not_of(' ', 8), line.size()));
    const auto code = line.substr(0, line.find(' '));
    if (code.size() != 3 || !std::ranges::all_of(code, is_digit) || code[0] == '0') {
        return 0;
    }
    return (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
}

/// Whether enough of the stream is there to tell its status line.
bool is_known(std::string_view stream) {
    if (stream.size() < status_bytes) {
        return false;
    }
    const bool spaces = code_of(std::string(stream.substr(0, 9)) + "200") == 200 && stream[9] == ' ';
    const auto code = stream.find_first_not_of(' ', 9);
    return !spaces || (code != std::string_view::npos && stream.size() - code >= code_bytes);
}

/// Skips the rest of an interim head; false where it is not whole.
bool skip_head(std::string_view& stream) {
    while (const auto line = take_line(stream)) {
        if (line->empty()) {
            return true;
        }
    }
    return false;
}

/// What the programs must say; nothing where the stream's last line has no end.
std::optional<Verdict> expected(std::string_view stream) {
    while (true) {
        if (!is_known(stream)) {
            return Verdict{};
        }
        const auto line = take_line(stream);
        if (!line) {
            return std::nullopt;
        }
        const int code = code_of(*line);
        if (code == 0) {
            return Verdict{.kind = Verdict::Kind::malformed};
        }
        if (code >= 200 || code == 101) {
            return Verdict{.kind = Verdict::Kind::answered, .code = code};
        }
        if (!skip_head(stream)) {
            return Verdict{};
        }
    }
}

void check_same(const char* what, Verdict seen, Verdict wanted) {
    if (seen != wanted) {
        fail("%s: %s, but expected: %s", what, to_string(seen).c_str(), to_string(wanted).c_str());
    }
}

/// The connection's next request has its own answer, whatever comes again of the first one's. Pieces may hold bytes of
/// both.
void check_next(Connection& connection, const std::string& stream, std::span<const Piece> pieces) {
    const std::uint64_t before = connection.answers() + connection.unanswered();

    connection.send({.at = request.size(), .bytes = request}, stream.size());
    deliver(connection, stream + std::string(second_answer), stream.size(), pieces);
    connection.check_balance();
    if (connection.answers(299, UPSTAT_METHOD_GET) != 1 ||
        connection.answers() + connection.unanswered() != before + 1) {
        fail("the second request's answer, 299, was counted %lu times; then %lu answers, %lu unanswered",
             connection.answers(299, UPSTAT_METHOD_GET), connection.answers(), connection.unanswered());
    }
}

void test(const std::string& stream, const Wire& wire, std::span<const Piece> pieces) {
    Verdict whole;
    {
        Connection connection(wire);
        connection.send({.at = 0, .bytes = request}, 0);
        deliver(connection, stream, 0, {});
        whole = verdict_of(connection);
    }
    if (const auto wanted = expected(stream)) {
        check_same("by the reference", whole, *wanted);
    }
    Connection connection(wire);
    connection.send({.at = 0, .bytes = request}, 0);
    const bool all_kept = deliver(connection, stream, 0, pieces);
    const Verdict cut = verdict_of(connection);
    // What came too far ahead cannot be read again. Then `unparsed` is right, but no other verdict.
    if (all_kept || cut.kind != Verdict::Kind::unparsed) {
        check_same(all_kept ? "cut" : "cut, with bytes far ahead", cut, whole);
    }
    if (cut.kind != Verdict::Kind::waiting && cut.code != 101 && !stream.contains("299")) {
        check_next(connection, stream, pieces);
    }
}

}  // namespace

}  // namespace upstat::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzedDataProvider input(data, size);
    const auto wire = upstat::fuzz::take_wire(input);
    const auto pieces = upstat::fuzz::take_pieces(input);
    upstat::fuzz::test(input.ConsumeRemainingBytesAsString(), wire, pieces);
    return 0;
}
