// SPDX-License-Identifier: Apache-2.0
/// A server's bytes behind a request: however they are cut, repeated, reordered and spread over two CPUs, the verdict
/// is that of the uncut stream; and the final code is the one that http_parser reads.
///
/// Where the two differ, and what holds there. http_parser reads more lines as status lines than the programs, which by
/// decision (bpf/README.md) take exactly `HTTP/1.0` or `HTTP/1.1`, SP, three digits 100-599, SP or CR:
///   - empty lines before the status line,
///   - any HTTP/d.d, more than one space before the code, any number of digits up to 999,
///   - LF alone behind the code.
/// There the programs must say `malformed`, never a code. What http_parser does not accept (control bytes in a header,
/// CR without LF, ...) or what ends before its head does is compared only with itself: the programs look at 13 bytes of
/// a final head, and at nothing but the end of an interim one.
#include <optional>

#include "input.hpp"
#include "reference.hpp"

namespace upstat::fuzz {

namespace {

constexpr std::string_view request = "GET / HTTP/1.1\r\n\r\n";
constexpr std::string_view second_answer = "HTTP/1.1 299 Second\r\n\r\n";
constexpr std::size_t status_bytes = 13;

bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

/// Whether a status line is one by the programs' own narrow definition; written again, not shared.
bool is_strict(std::string_view line) {
    return (line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 ")) && line[9] >= '1' && line[9] <= '5' &&
           is_digit(line[10]) && is_digit(line[11]) && (line[12] == ' ' || line[12] == '\r');
}

/// What the programs must say by what the reference read; nothing where it read no final head.
std::optional<Verdict> expected(std::string_view stream) {
    std::size_t at = 0;
    for (const ReferenceAnswer& answer : reference_answers(stream)) {
        if (stream.size() - at < status_bytes) {
            return Verdict{};
        }
        if (answer.begin != at || !is_strict(stream.substr(at))) {
            return Verdict{.kind = Verdict::Kind::malformed};
        }
        if (answer.code >= 200 || answer.code == 101) {
            return Verdict{.kind = Verdict::Kind::answered, .code = answer.code};
        }
        at = answer.end;
    }
    return std::nullopt;
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
