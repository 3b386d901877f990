// SPDX-License-Identifier: Apache-2.0
#include "symbols/probe_site.hpp"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include "base/regular_file.hpp"
#include "symbols/build_info.hpp"
#include "symbols/go_program.hpp"

namespace upstat::symbols {
namespace {

using testing::HasSubstr;

Fd file_of(const std::string& bytes) {
    Fd file(memfd_create("program", MFD_CLOEXEC));
    EXPECT_EQ(write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return file;
}

Result<ProbeSite> find_in(const std::string& bytes) {
    return find_probe_site(file_of(bytes));
}

std::string refusal(const std::string& bytes) {
    const auto found = find_in(bytes);
    return found ? "found" : found.error().message;
}

TEST(ProbeSite, IsThePushBehindTheCheckOfTheStack) {
    const auto found = find_in(go_program({}));
    ASSERT_TRUE(found) << found.error().text();
    EXPECT_EQ(*found, (ProbeSite{.offset = code_at + 10, .go = "go1.26.9"}));
}

TEST(ProbeSite, LargeFramesAreCheckedInAnotherWay) {
    GoProgram program;
    program.code = std::string("\x4c\x8d\x64\x24\xf8\x4d\x3b\x66\x10\x0f\x86\0\x02\0\0\x55\x48\x89\xe5", 19);
    EXPECT_EQ(find_in(go_program(program)).value().offset, code_at + 15);
    program.code = std::string("\x4c\x8d\xa4\x24\0\xff\xff\xff\x4d\x3b\x66\x10\x0f\x86\0\x02\0\0\x55\x48\x89\xe5", 22);
    EXPECT_EQ(find_in(go_program(program)).value().offset, code_at + 18);
}

/// Go 1.25 and earlier wrote the address into the table's header too.
TEST(ProbeSite, TheModuleSaysWhereTheTextIs) {
    GoProgram program;
    program.go = "go1.22.4";
    program.header_text = 0x401000;
    EXPECT_TRUE(find_in(go_program(program)));
}

TEST(ProbeSite, EachRefusalSaysWhy) {
    const auto refused = [](auto change) {
        GoProgram program;
        change(program);
        return refusal(go_program(program));
    };
    EXPECT_THAT(refused([](GoProgram& p) { p.function = "net/http/httputil.(*ReverseProxy).ServeHTTP"; }),
                HasSubstr("has no function net/http/httputil.(*ReverseProxy).modifyResponse"));
    EXPECT_THAT(refused([](GoProgram& p) { p.only_inlined = true; }), HasSubstr("has no function"));
    EXPECT_THAT(refused([](GoProgram& p) { p.code[0] = '\x90'; }), HasSubstr("does not begin as Go's compiler"));
    EXPECT_THAT(refused([](GoProgram& p) { p.code[10] = '\x53'; }), HasSubstr("does not begin as Go's compiler"));
    EXPECT_THAT(refused([](GoProgram& p) { p.go = "go1.27.1"; }), HasSubstr("built by go1.27.1, and upstat knows"));
    EXPECT_THAT(refused([](GoProgram& p) { p.go = "devel go1.27-abc"; }), HasSubstr("built by devel"));
    EXPECT_THAT(refused([](GoProgram& p) { p.go = ""; }), HasSubstr("has no build information"));
    EXPECT_THAT(refused([](GoProgram& p) { p.machine = EM_AARCH64; }), HasSubstr("not built for amd64"));
    EXPECT_THAT(refused([](GoProgram& p) { p.type = ET_DYN; }), HasSubstr("position independent"));
    EXPECT_THAT(refused([](GoProgram& p) { p.table_section = ".rodata"; }), HasSubstr("no table of Go's functions"));
    EXPECT_THAT(refused([](GoProgram& p) { p.magic = 0xfffffff7; }), HasSubstr("of a form that upstat does not know"));
    EXPECT_THAT(refused([](GoProgram& p) { p.functions = 1U << 30U; }), HasSubstr("contradicts itself"));
    EXPECT_THAT(refused([](GoProgram& p) { p.module_table = 1; }), HasSubstr("description of its Go module"));
    EXPECT_THAT(refusal("#!/usr/bin/perl"), HasSubstr("no ELF file"));
    EXPECT_THAT(refusal(""), HasSubstr("no ELF file"));
}

/// No section at all.
TEST(ProbeSite, WhatUpxLeavesIsRefused) {
    auto bytes = go_program({});
    std::memset(bytes.data() + offsetof(Elf64_Ehdr, e_shoff), 0, sizeof(Elf64_Off));
    std::memset(bytes.data() + offsetof(Elf64_Ehdr, e_shentsize), 0, 3 * sizeof(Elf64_Half));
    EXPECT_THAT(refusal(bytes), HasSubstr("it is packed, or no Go program"));
}

TEST(ProbeSite, NoDamagedFileIsFollowedOutOfItself) {
    const auto real = go_program({});
    for (std::size_t length = 0; length < real.size() - headers_at_end; ++length) {
        EXPECT_FALSE(find_in(real.substr(0, length))) << length;
    }
    std::mt19937 random(7);
    for (int round = 0; round < 20000; ++round) {
        auto bytes = real;
        for (int change = 0; change < 3; ++change) {
            bytes[random() % bytes.size()] = static_cast<char>(random() % 256);
        }
        static_cast<void>(find_in(bytes));  // whatever it is: no crash, and none of the sanitizers says anything
    }
}

/// A real one, where the tests have it: UPSTAT_TRAEFIK names others.
TEST(ProbeSite, IsFoundInARealTraefik) {
    const char* const named = std::getenv("UPSTAT_TRAEFIK");
    const auto file = open_regular(named == nullptr ? "venv/bin/traefik" : named);
    if (!file.fd) {
        GTEST_SKIP() << "no Traefik here: scripts/test installs one";
    }
    const auto found = find_probe_site(file.fd);
    ASSERT_TRUE(found) << found.error().text();
    EXPECT_EQ(read_at(file.fd, found->offset, 1), "\x55");
}

TEST(ProbeSite, AForeignProgramIsRefused) {
    const auto file = open_regular("/proc/self/exe");
    EXPECT_THAT(find_probe_site(file.fd).error().message, HasSubstr("no build information"));
}

}  // namespace
}  // namespace upstat::symbols
