// SPDX-License-Identifier: Apache-2.0
#include "base/process_stat.hpp"

#include <sstream>

#include "base/file.hpp"

namespace upstat {

std::optional<ProcessStat> read_process_stat(const std::filesystem::path& file) {
    const auto text = read_file(file).value_or("");
    // a process may have any name, ") Z 1" too: the last parenthesis ends it
    const auto open = text.find('(');
    const auto close = text.rfind(')');
    if (open == std::string::npos || close == std::string::npos || close < open) {
        return std::nullopt;
    }
    ProcessStat stat{.comm = text.substr(open + 1, close - open - 1)};
    std::istringstream rest(text.substr(close + 1));
    const auto skip = [&rest](int fields) {
        for (std::string skipped; fields > 0; --fields) {
            rest >> skipped;
        }
    };
    rest >> stat.state >> stat.parent;
    skip(9);  // pgrp to cmajflt
    rest >> stat.user_ticks >> stat.system_ticks;
    skip(6);  // cutime to itrealvalue
    rest >> stat.start_time >> stat.virtual_bytes >> stat.resident_pages;
    return rest ? std::optional(stat) : std::nullopt;
}

}  // namespace upstat
