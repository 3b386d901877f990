// SPDX-License-Identifier: Apache-2.0
#include "traefik/proc.hpp"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <system_error>

#include "base/regular_file.hpp"

namespace upstat::traefik {

namespace fs = std::filesystem;

fs::path proc_of(const fs::path& root, pid_t pid) {
    return root / "proc" / std::to_string(pid);
}

std::vector<pid_t> all_processes(const fs::path& root) {
    std::vector<pid_t> pids;
    std::error_code error;
    for (fs::directory_iterator entry(root / "proc", error), end; !error && entry != end; entry.increment(error)) {
        const auto name = entry->path().filename().string();
        pid_t pid = 0;
        const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (parsed.ec == std::errc{} && parsed.ptr == name.data() + name.size() && pid > 0) {
            pids.push_back(pid);
        }
    }
    std::ranges::sort(pids);
    return pids;
}

std::optional<ProcessStat> stat_of(const fs::path& root, pid_t pid) {
    return read_process_stat(proc_of(root, pid) / "stat");
}

std::vector<pid_t> processes_in(const fs::path& cgroup) {
    std::vector<pid_t> pids;
    for (const auto& line : split(read_file(cgroup / "cgroup.procs").value_or(""), '\n')) {
        pids.push_back(0);
        std::from_chars(line.data(), line.data() + line.size(), pids.back());
    }
    return pids;
}

std::vector<std::string> strings_of(const fs::path& file) {
    std::vector<std::string> strings;
    constexpr std::size_t longest = std::size_t{256} << 10;  // a process may have megabytes of them
    const Fd opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    std::istringstream text(read_at(opened, 0, longest));
    for (std::string one; std::getline(text, one, '\0');) {
        strings.push_back(one);
    }
    return strings;
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> pieces;
    std::istringstream in{std::string(text)};
    for (std::string one; std::getline(in, one, separator);) {
        if (!one.empty()) {
            pieces.push_back(one);
        }
    }
    return pieces;
}

}  // namespace upstat::traefik
