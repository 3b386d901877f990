// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <iostream>

#include "attribute/static_map.hpp"
#include "cli/commands.hpp"
#include "config/settings_file.hpp"
#include "programs/root.hpp"
#include "publish/web_config.hpp"

namespace upstat::cli {

Result<void> check_config(const std::string& path) {
    const auto file = config::read_settings_file(path);
    const auto settings = config::merge(file, path, {}, {});
    auto errors = settings ? std::vector<Error>() : settings.error();
    for (const auto& mistake : settings ? config::file_mistakes(*settings) : std::vector<Error>()) {
        errors.push_back({mistake.kind, fmt::format("{}: {}", path, mistake.message), mistake.hint});
    }
    if (const auto given = file.given.find("backends.file"); given != file.given.end()) {
        const auto map = attribute::load_static_map(given->second.back());
        errors.insert(errors.end(), map.mistakes.begin(), map.mistakes.end());
    }
    if (const auto given = file.given.find("web.config.file"); given != file.given.end()) {
        const auto web = publish::load_web_config(given->second.back());
        errors.insert(errors.end(), web.mistakes.begin(), web.mistakes.end());
    }
    if (const auto given = file.given.find("bpf.pin-path"); given != file.given.end()) {
        if (const auto checked = programs::check_root(given->second.back()); !checked) {
            const auto& error = checked.error();
            errors.push_back({error.kind, fmt::format("{}: {}", path, error.message), error.hint});
        }
    }
    for (const auto& error : errors) {
        std::cout << error.text() << '\n';
    }
    if (!errors.empty()) {
        return fail(Error::Kind::usage, fmt::format("{}: {} mistakes", path, errors.size()));
    }
    return {};
}

}  // namespace upstat::cli
