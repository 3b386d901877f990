// SPDX-License-Identifier: Apache-2.0
#include "traefik/proc.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <system_error>

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
    const auto text = read_file(proc_of(root, pid) / "stat").value_or("");
    // a process may have any name, ") Z 1" too: the last parenthesis ends it
    const auto open = text.find('(');
    const auto close = text.rfind(')');
    if (open == std::string::npos || close == std::string::npos || close < open) {
        return std::nullopt;
    }
    ProcessStat stat{.comm = text.substr(open + 1, close - open - 1)};
    std::istringstream rest(text.substr(close + 1));
    std::string skipped;
    rest >> stat.state >> stat.parent;
    for (int field = 5; field < 22; ++field) {  // proc(5): starttime is the 22nd
        rest >> skipped;
    }
    rest >> stat.start_time;
    return rest ? std::optional(stat) : std::nullopt;
}

std::vector<std::string> strings_of(const fs::path& file) {
    std::vector<std::string> strings;
    std::istringstream text(read_file(file).value_or(""));
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
