// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "attribute/ledger.hpp"
#include "base/error.hpp"

namespace upstat {

/// What the agent carries over a restart.
struct Saved {
    Ledger ledger;
    nlohmann::json window;  ///< measure's, as it handed it in; null when there is none
    nlohmann::json alerts;  ///< judge's, likewise
};

struct Restored {
    Saved saved;
    std::string note;  ///< one sentence for the log when anything starts anew; empty when all goes on
};

/// Reads DIRECTORY/state.json. Never fails: what is lost, broken or of another version is a counter reset, and `note`
/// says so. `epoch` names the boot and the set of kernel maps (the caller decides how): when the saved one is another,
/// the maps began at 0 after the save, so the counters go on and everything in the maps is new.
Restored restore_state(const std::filesystem::path& directory, const std::string& epoch);

/// Writes DIRECTORY/state.json, which is the old one or the new one whenever the power fails; makes the directory.
Result<void> save_state(const std::filesystem::path& directory, const std::string& epoch, const Ledger& ledger,
                        const nlohmann::json& window, const nlohmann::json& alerts);

}  // namespace upstat
