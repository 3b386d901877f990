// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <iostream>

#include "attribute/static_map.hpp"
#include "cli/commands.hpp"
#include "programs/root.hpp"

namespace upstat::cli {

Result<void> check_config(const std::string& path) {
    auto file = config::read_settings_file(path);
    if (const auto given = file.given.find("backends.file"); given != file.given.end()) {
        const auto map = attribute::load_static_map(given->second.back());
        file.errors.insert(file.errors.end(), map.mistakes.begin(), map.mistakes.end());
    }
    if (const auto given = file.given.find("bpf.pin-path"); given != file.given.end()) {
        if (const auto checked = programs::check_root(given->second.back()); !checked) {
            const auto& error = checked.error();
            file.errors.push_back({error.kind, fmt::format("{}: {}", path, error.message), error.hint});
        }
    }
    for (const auto& error : file.errors) {
        std::cout << error.text() << '\n';
    }
    if (!file.errors.empty()) {
        return fail(Error::Kind::usage, fmt::format("{}: {} mistakes", path, file.errors.size()));
    }
    return {};
}

}  // namespace upstat::cli
