// SPDX-License-Identifier: Apache-2.0
#include "publish/process.hpp"

#include <unistd.h>

#include <charconv>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.hpp"
#include "base/process_stat.hpp"

namespace upstat::publish {

namespace {

std::vector<std::string> words(std::string_view text) {
    std::istringstream stream{std::string(text)};
    return {std::istream_iterator<std::string>(stream), {}};
}

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    return parsed.ec == std::errc{} ? std::optional(value) : std::nullopt;
}

/// The word at `index` behind the line's `name`.
std::optional<std::uint64_t> field(const std::string& text, const std::string& name, std::size_t index) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(name)) {
            const auto found = words(std::string_view(line).substr(name.size()));
            return index < found.size() ? number(found[index]) : std::nullopt;
        }
    }
    return std::nullopt;
}

std::optional<std::uint64_t> count_entries(const std::filesystem::path& directory) {
    std::error_code error;
    std::filesystem::directory_iterator entries(directory, error);
    if (error) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(std::distance(begin(entries), end(entries)));
}

void take(ProcessStats& stats, const ProcessStat& stat, std::optional<std::uint64_t> boot_time) {
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    stats.cpu_seconds = static_cast<double>(stat.user_ticks + stat.system_ticks) / ticks;
    if (boot_time) {
        stats.start_time_seconds = static_cast<double>(*boot_time) + (static_cast<double>(stat.start_time) / ticks);
    }
    stats.virtual_bytes = stat.virtual_bytes;
    stats.resident_bytes = stat.resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

ProcessStats read_process(const std::filesystem::path& root) {
    const auto self = root / "proc/self";
    ProcessStats stats;
    if (const auto stat = read_process_stat(self / "stat")) {
        take(stats, *stat, field(read_file(root / "proc/stat").value_or(""), "btime", 0));
    }
    const auto limits = read_file(self / "limits").value_or("");
    stats.max_fds = field(limits, "Max open files", 0);
    stats.max_virtual_bytes = field(limits, "Max address space", 0);
    stats.open_fds = count_entries(self / "fd");
    return stats;
}

}  // namespace upstat::publish
