// SPDX-License-Identifier: Apache-2.0
#include "symbols/probe_site.hpp"

#include <elf.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/printable.hpp"
#include "base/regular_file.hpp"
#include "symbols/build_info.hpp"
#include "symbols/elf.hpp"
#include "symbols/line_table.hpp"

namespace upstat::symbols {

namespace {

using namespace std::string_view_literals;

constexpr auto function = "net/http/httputil.(*ReverseProxy).modifyResponse"sv;
constexpr auto hint = "TLS and HTTP/2 servers stay uncounted; use a release of Traefik that upstat knows";

/// Of Go's minor versions: those whose Response, Request and URL are known to lie as the probe reads them.
constexpr int oldest_go = 22;
constexpr int newest_go = 26;

/// What the probe tells a constant from the heap by: a constant of the program lies below, the heap above.
constexpr std::uint64_t constants_end = std::uint64_t{1} << 32;

std::unexpected<Error> refused(std::string why) {
    return fail(Error::Kind::runtime, "responses of TLS and HTTP/2 servers cannot be counted: " + std::move(why), hint);
}

/// 26 of "go1.26.9"; a version that is no release's is none.
std::optional<int> minor_of(std::string_view go) {
    constexpr auto prefix = "go1."sv;
    int minor = 0;
    if (!go.starts_with(prefix)) {
        return std::nullopt;
    }
    const auto digits = go.substr(prefix.size());
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), minor);
    return error == std::errc() ? std::optional(minor) : std::nullopt;
}

/// Skips one of these beginnings; none is there where the code has another.
template <std::size_t count>
std::optional<std::string_view> skip(std::string_view code, const std::array<std::string_view, count>& beginnings) {
    const auto* const found =
        std::ranges::find_if(beginnings, [code](std::string_view one) { return code.starts_with(one); });
    return found == beginnings.end() ? std::nullopt : std::optional(code.substr(found->size()));
}

/// How far behind a function's first byte its frame is made: what Go's compiler puts before is the check of the stack.
std::optional<std::size_t> frame_at(std::string_view code) {
    constexpr std::array small{"\x49\x3b\x66\x10"sv};   // cmp 0x10(%r14),%rsp
    constexpr std::array large{"\x4d\x3b\x66\x10"sv};   // cmp 0x10(%r14),%r12
    constexpr auto short_frame = "\x4c\x8d\x64\x24"sv;  // lea -N(%rsp),%r12, N in a byte
    constexpr auto long_frame = "\x4c\x8d\xa4\x24"sv;   // the same, N in four bytes
    constexpr auto grow = "\x0f\x86"sv;                 // jbe, to where the stack is made to grow
    constexpr auto frame = "\x55\x48\x89\xe5"sv;        // push %rbp; mov %rsp,%rbp
    constexpr std::size_t distance = 4;
    auto rest = skip(code, small);
    if (!rest && (code.starts_with(short_frame) || code.starts_with(long_frame))) {
        rest = skip(code.substr(std::min(code.size(), code.starts_with(short_frame) ? short_frame.size() + 1
                                                                                    : long_frame.size() + distance)),
                    large);
    }
    if (!rest || !rest->starts_with(grow) || rest->size() < grow.size() + distance + frame.size()) {
        return std::nullopt;
    }
    rest->remove_prefix(grow.size() + distance);
    return rest->starts_with(frame) ? std::optional(code.size() - rest->size()) : std::nullopt;
}

/// What speaks against a program before its code is looked for; empty where nothing does.
std::string objection(const ElfFile& elf, const std::optional<BuildInfo>& info) {
    if (elf.machine != EM_X86_64) {
        return "the program is not built for amd64, the only processor on which this was tried";
    }
    if (!info) {
        return "the program has no build information of Go's: it is packed, or no Go program";
    }
    const auto minor = minor_of(info->go);
    if (!minor || *minor < oldest_go || *minor > newest_go) {
        return fmt::format("the program was built by {}, and upstat knows Go 1.{} to 1.{}", printable(info->go),
                           oldest_go, newest_go);
    }
    const bool low = std::ranges::all_of(elf.segments, [](const Segment& segment) {
        return segment.address < constants_end && segment.memory < constants_end - segment.address;
    });
    return elf.type == ET_EXEC && low ? std::string() : "the program is position independent, which was not tried";
}

}  // namespace

Result<ProbeSite> find_probe_site(const Fd& file) {
    constexpr std::size_t longest_check = 32;
    const auto elf = read_elf(file);
    if (!elf) {
        return refused("the program is no ELF file, or a damaged one");
    }
    const auto info = read_build_info(file, *elf);
    if (auto against = objection(*elf, info); !against.empty()) {
        return refused(std::move(against));
    }
    const LineTable table(file, *elf);
    if (!table.problem().empty()) {
        return refused("the program cannot be read: " + table.problem());
    }
    const auto address = table.address_of(function);
    if (address == 0) {
        return refused(fmt::format("the program has no function {}", function));
    }
    const auto offset = elf->code_offset(address);
    const auto frame = offset ? frame_at(read_at(file, *offset, longest_check)) : std::nullopt;
    if (!frame) {
        return refused(fmt::format("the code of {} does not begin as Go's compiler begins functions", function));
    }
    return ProbeSite{.offset = *offset + *frame, .go = info->go};
}

}  // namespace upstat::symbols
