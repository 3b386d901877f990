// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/temporary_directory.hpp"

namespace upstat::traefik {

struct FakeProcess {
    pid_t pid = 0;
    std::string exe = "/usr/bin/traefik";
    std::string comm = "traefik";
    std::string cgroup = "/";
    pid_t parent = 1;
    char state = 'S';
    std::vector<std::string> arguments{"traefik"};
    std::vector<std::string> environment{};
    std::string cwd = "/";
    uid_t user = 0;
    std::optional<std::string> package{};  ///< of its executable; without one it is Traefik's if it is called so
    std::vector<std::uint16_t> listens{};  ///< on every address, with sockets of its own
};

/// An ELF file with one section of this name and content, stripped of all else.
inline std::string elf_file(const std::string& name, const std::string& content) {
    const auto names = std::string(1, '\0') + name + '\0';
    const auto bytes = [](const auto& value) {
        std::string text(sizeof value, '\0');
        std::memcpy(text.data(), &value, sizeof value);
        return text;
    };
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_version = EV_CURRENT;
    header.e_shoff = sizeof header;
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 3;
    header.e_shstrndx = 2;
    Elf64_Shdr strings{};
    strings.sh_type = SHT_STRTAB;
    strings.sh_offset = sizeof header + 3 * sizeof strings;
    strings.sh_size = names.size();
    Elf64_Shdr section{};
    section.sh_name = 1;
    section.sh_type = SHT_PROGBITS;
    section.sh_offset = strings.sh_offset + names.size();
    section.sh_size = content.size();
    return bytes(header) + bytes(Elf64_Shdr{}) + bytes(section) + bytes(strings) + names + content;
}

/// What Go 1.18 and later write.
inline std::string build_info(const std::string& package) {
    const auto with_size = [](const std::string& text) {
        return std::string{static_cast<char>(0x80U | (text.size() & 0x7FU)), static_cast<char>(text.size() >> 7U)} +
               text;
    };
    return std::string("\xff Go buildinf:\x08\x02") + std::string(16, '\0') + with_size("go1.24.1") +
           with_size(std::string(16, '0') + "path\t" + package + "\nmod\tx\t(devel)\n" + std::string(16, '0'));
}

/// A file-system root with a /proc and a cgroup v2 tree, as the kernel would show them.
class FakeHost {
  public:
    explicit FakeHost(const std::string& mount = "/sys/fs/cgroup", const std::string& of = "/") : mount_(mount) {
        write("/proc/self/mountinfo", "22 1 0:20 / /proc rw - proc proc rw\n41 31 0:38 " + of + " " + mount +
                                          " rw,relatime shared:9 - cgroup2 cgroup2 rw\n");
        write(mount + "/cgroup.controllers", "cpu io");
        write(mount + "/cgroup.procs", "");
    }

    [[nodiscard]] const std::filesystem::path& root() const { return directory_.path(); }
    [[nodiscard]] std::filesystem::path at(const std::string& absolute) const {
        return root() / std::filesystem::path(absolute).relative_path();
    }

    void write(const std::string& absolute, const std::string& text) const {
        std::filesystem::create_directories(at(absolute).parent_path());
        std::ofstream(at(absolute), std::ios::binary) << text;
    }

    /// A cgroup with these processes in it.
    void cgroup(const std::string& path, const std::vector<pid_t>& pids) const {
        std::string procs;
        for (const auto pid : pids) {
            procs += std::to_string(pid) + "\n";
        }
        write(mount_ + path + "/cgroup.controllers", "cpu io");
        write(mount_ + path + "/cgroup.procs", procs);
        if (path != "/") {
            write(mount_ + path + "/cgroup.events", "populated 1\n");
        }
    }

    void process(const FakeProcess& process) const {
        const auto proc = "/proc/" + std::to_string(process.pid);
        std::string stat = std::to_string(process.pid) + " (" + process.comm + ") " + process.state + " " +
                           std::to_string(process.parent);
        for (int field = 5; field < 22; ++field) {
            stat += " 0";
        }
        write(proc + "/stat", stat + " " + std::to_string(1000 + process.pid) + " 0 0\n");
        write(proc + "/cgroup", "9:name=systemd:/x\n0::" + process.cgroup + "\n");
        write(proc + "/cmdline", strings(process.arguments));
        write(proc + "/environ", strings(process.environment));
        write(proc + "/ns/net", "");
        std::filesystem::create_directories(at(proc + "/root"));
        std::filesystem::create_symlink(process.cwd, at(proc + "/cwd"));
        std::string table = "  sl  local_address rem_address st\n";
        for (const auto port : process.listens) {
            table += listener("00000000000000000000000000000000", port, 7000UL + port);
            own_socket(process.pid, 7000UL + port);
        }
        write(proc + "/net/tcp6", table);
        const auto user = std::to_string(process.user);
        write(proc + "/status", "Name:\t" + process.comm + "\nUid:\t0\t" + user + "\t0\t0\n");
        if (!process.exe.empty()) {
            const std::string own = process.exe.contains("traefik") ? "github.com/traefik/traefik/v3/cmd/traefik" : "";
            write(process.exe, elf_file(".go.buildinfo", build_info(process.package.value_or(own))));
            std::filesystem::create_symlink(at(process.exe), at(proc + "/exe"));
        }
    }

    /// A line of net/tcp.
    static std::string listener(const std::string& address, std::uint16_t port, std::uint64_t inode) {
        return fmt::format(
            "   0: {}:{:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 {} 1\n", address,
            port, inode);
    }
    /// The process has it among its descriptors.
    void own_socket(pid_t pid, std::uint64_t inode) const {
        const auto descriptors = at(fmt::format("/proc/{}/fd", pid));
        std::filesystem::create_directories(descriptors);
        std::filesystem::create_symlink(fmt::format("socket:[{}]", inode), descriptors / std::to_string(inode));
    }

  private:
    static std::string strings(const std::vector<std::string>& all) {
        std::string text;
        for (const auto& one : all) {
            text += one + '\0';
        }
        return text;
    }

    TemporaryDirectory directory_;
    std::string mount_;
};

inline std::string fixture(const std::string& name) {
    const auto file = std::filesystem::path(__FILE__).parent_path() / "fixtures" / name;
    std::ifstream in(file, std::ios::binary);
    EXPECT_TRUE(in) << file;
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace upstat::traefik
