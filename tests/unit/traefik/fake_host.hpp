// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace upstat::traefik {

/// A directory of the test's own, gone with the test.
class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "upstat-XXXXXX").string();
        path_ = mkdtemp(pattern.data());
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

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
};

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
        if (!process.exe.empty()) {
            std::filesystem::create_symlink(process.exe, at(proc + "/exe"));
        }
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
