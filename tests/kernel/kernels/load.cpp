// SPDX-License-Identifier: Apache-2.0
// Loads each program of an object file on its own and says what this kernel's verifier makes of it:
//   load FILE.bpf.o [CONSTANT]       CONSTANT: a byte of the programs' that the agent sets; here it is 1
//   program NAME verified N          N: instructions that the verifier walked through
//   program NAME-CONSTANT ...        the same, with a CONSTANT
//   program NAME refused ERROR       followed by the end of the verifier's log, each line after "| "
// Exit: 0 all verified, 1 one was refused, 2 the file cannot be read.
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t log_bytes = (16U << 20U) - 1;  // the most that 5.10 takes
constexpr std::size_t last_lines = 40;
constexpr std::uint32_t statistics = 4;
constexpr std::uint32_t failing_path = 1;  // what the verifier walked before it refused, not all that it walked

using Object = std::unique_ptr<bpf_object, decltype(&bpf_object__close)>;

struct Verdict {
    int error = 0;
    std::string log;
};

Object open_object(const char* path) {
    return {bpf_object__open_file(path, nullptr), bpf_object__close};
}

std::vector<std::string> names(const bpf_object* object) {
    std::vector<std::string> found;
    const bpf_program* program = nullptr;
    while ((program = bpf_object__next_program(object, const_cast<bpf_program*>(program))) != nullptr) {
        found.emplace_back(bpf_program__name(program));
    }
    return found;
}

/// False where the programs have no such constant.
bool set_constant(const bpf_object* object, std::string_view name) {
    const auto* const types = bpf_object__btf(object);
    const int section = btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC);
    bpf_map* const map = bpf_object__find_map_by_name(object, ".rodata");
    if (section < 0 || map == nullptr) {
        return false;
    }
    std::size_t size = 0;
    auto* const bytes = static_cast<unsigned char*>(const_cast<void*>(bpf_map__initial_value(map, &size)));
    const auto* const type = btf__type_by_id(types, static_cast<std::uint32_t>(section));
    for (std::uint32_t i = 0; i < btf_vlen(type); i++) {
        const auto& variable = btf_var_secinfos(type)[i];
        if (btf__name_by_offset(types, btf__type_by_id(types, variable.type)->name_off) == name) {
            bytes[variable.offset] = 1;
            return true;
        }
    }
    return false;
}

/// A fresh object, so that the maps are this load's own, with this one program.
Verdict load(const char* path, const std::string& name, const std::string& constant, std::uint32_t level) {
    const Object object = open_object(path);
    if (!constant.empty() && !set_constant(object.get(), constant)) {
        return {.error = ENOENT, .log = "no such constant"};
    }
    std::vector<char> log(log_bytes);
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object.get()) {
        bpf_program__set_autoload(program, name == bpf_program__name(program));
        bpf_program__set_log_level(program, level);
        bpf_program__set_log_buf(program, log.data(), log.size());
    }
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object.get()) {
        bpf_map__set_pin_path(map, nullptr);
    }
    const int error = bpf_object__load(object.get());
    return {.error = -error, .log = log.data()};
}

/// From "processed N insns (limit ...".
std::string processed(std::string_view log) {
    constexpr std::string_view before = "processed ";
    const auto at = log.rfind(before);
    if (at == std::string_view::npos) {
        return "?";
    }
    log.remove_prefix(at + before.size());
    return std::string(log.substr(0, log.find(' ')));
}

std::string_view tail(std::string_view text) {
    std::size_t from = text.size();
    for (std::size_t line = 0; line <= last_lines && from != 0 && from != std::string_view::npos; line++) {
        from = text.rfind('\n', from - 1);
    }
    return from == 0 || from == std::string_view::npos ? text : text.substr(from + 1);
}

void print_quoted(std::string_view text) {
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        fmt::print("| {}\n", text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

bool judge(const char* path, const std::string& name, const std::string& constant) {
    const auto verdict = load(path, name, constant, statistics);
    const auto full_name = constant.empty() ? name : fmt::format("{}-{}", name, constant);
    if (verdict.error == 0) {
        fmt::print("program {} verified {}\n", full_name, processed(verdict.log));
        return true;
    }
    const auto again = load(path, name, constant, failing_path);
    fmt::print("program {} refused {}\n", full_name, std::strerror(verdict.error));
    print_quoted(tail(again.log));
    return false;
}

}  // namespace

int main(int count, char** words) {
    if (count != 2 && count != 3) {
        fmt::print(stderr, "use: load FILE.bpf.o [CONSTANT]\n");
        return 2;
    }
    const Object object = open_object(words[1]);
    if (!object) {
        fmt::print(stderr, "load: {}: {}\n", words[1], std::strerror(errno));
        return 2;
    }
    bool all = true;
    for (const auto& name : names(object.get())) {
        all = judge(words[1], name, count == 3 ? words[2] : "") && all;
        std::fflush(stdout);
    }
    return all ? 0 : 1;
}
