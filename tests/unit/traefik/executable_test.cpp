// SPDX-License-Identifier: Apache-2.0
#include "traefik/executable.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <random>

#include "base/fd.hpp"
#include "traefik/fake_host.hpp"

namespace upstat::traefik {
namespace {

bool is_one(const std::string& bytes) {
    const Fd file(memfd_create("program", MFD_CLOEXEC));
    EXPECT_EQ(write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return is_traefik_executable(file);
}

bool is_package(const std::string& path) {
    return is_one(elf_file(".go.buildinfo", build_info(path)));
}

TEST(Executable, KnowsTraefikByItsMainPackage) {
    EXPECT_TRUE(is_package("github.com/traefik/traefik/v3/cmd/traefik"));
    EXPECT_TRUE(is_package("github.com/traefik/traefik/v2/cmd/traefik"));
    EXPECT_TRUE(is_package("github.com/containous/traefik/v2/cmd/traefik"));
    EXPECT_TRUE(is_package("github.com/containous/traefik/cmd/traefik"));
    EXPECT_FALSE(is_package("github.com/traefik/traefik-certs-dumper"));
    EXPECT_FALSE(is_package("github.com/traefik/mesh/cmd/traefik"));
    EXPECT_FALSE(is_package("example.org/github.com/traefik/traefik/v3/cmd/traefik"));
    EXPECT_FALSE(is_package(""));
}

/// Traefik 1 and the first of Traefik 2 were built without module information, or with it where it is not looked for.
TEST(Executable, KnowsOldTraefiksByTheirSourceFile) {
    const std::string lines =
        std::string(100, '\0') + "/go/src/github.com/containous/traefik/cmd/traefik/traefik.go" + '\0';
    EXPECT_TRUE(is_one(elf_file(".gopclntab", lines)));
    EXPECT_TRUE(is_one(elf_file(".data.rel.ro.gopclntab", lines)));
    EXPECT_FALSE(is_one(elf_file(".rodata", lines)));
    EXPECT_FALSE(is_one(elf_file(".gopclntab", "/src/cmd/go/main.go")));
}

TEST(Executable, ATextAcrossTwoPiecesIsFound) {
    for (std::size_t cut = 0; cut < 25; ++cut) {
        const auto lines = std::string((1U << 20U) - cut, 'x') + "/cmd/traefik/traefik.go";
        EXPECT_TRUE(is_one(elf_file(".gopclntab", lines))) << cut;
    }
}

TEST(Executable, NoBytesAreBelievedToBeSizes) {
    EXPECT_FALSE(is_one(""));
    EXPECT_FALSE(is_one("#!/usr/bin/perl\n"));
    const auto real = elf_file(".go.buildinfo", build_info("github.com/traefik/traefik/v3/cmd/traefik"));
    for (std::size_t length = 0; length < real.size() - 40; ++length) {
        EXPECT_FALSE(is_one(real.substr(0, length))) << length;
    }
    std::mt19937 random(7);
    for (int round = 0; round < 2000; ++round) {
        auto bytes = real;
        for (int change = 0; change < 8; ++change) {
            bytes[random() % (sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Shdr))] = static_cast<char>(random() % 256);
        }
        static_cast<void>(is_one(bytes));  // whatever it is: no crash, and none of the sanitizers says anything
    }
}

}  // namespace
}  // namespace upstat::traefik
