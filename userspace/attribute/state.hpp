// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "attribute/ledger.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat {

/// What the agent carries over a restart.
struct Saved {
    Ledger ledger;
    nlohmann::json window;      ///< measure's, as it handed it in; null when there is none
    std::vector<Counts> since;  ///< what the polls gave that came after this window
    nlohmann::json alerts;      ///< judge's, likewise
};

struct Restored {
    Saved saved;
    std::string note;  ///< one sentence for the log when anything starts anew; empty when all goes on
};

/// Reads DIRECTORY/state.json: a line with all that was saved, and one for each poll since. Never fails: what is lost,
/// broken or of another version is a counter reset, and `note` says so. `epoch` names the boot and the set of kernel
/// maps (the caller decides how): when the saved one is another, the maps began at 0 after the save, so the counters go
/// on and everything in the maps is new.
Restored restore_state(const std::filesystem::path& directory, const std::string& epoch);

/// Writes DIRECTORY/state.json, which is the old one or the new one whenever the power fails; makes the directory.
/// `window` is JSON.
Result<void> save_state(const std::filesystem::path& directory, const std::string& epoch, const Ledger& ledger,
                        const std::string& window, const nlohmann::json& alerts);

/// Saves at each poll what must not be lost before anybody is told of it: all of it where it must, else a line with
/// what the poll changed.
class StateFile {
  public:
    StateFile(std::filesystem::path directory, std::string epoch)
        : directory_(std::move(directory)), epoch_(std::move(epoch)) {}

    /// Keeps other agents from the directory. Where it cannot even be made, saving will say so.
    Result<void> hold();

    /// Appends what Ledger::record gave. False: there is no whole state to append to, or the lines have outgrown it.
    Result<bool> append(const std::string& record, const nlohmann::json& alerts);

    Result<void> save(const Ledger& ledger, const std::string& window, const nlohmann::json& alerts);

  private:
    std::filesystem::path directory_;
    std::string epoch_;
    Fd held_;                  ///< the directory
    std::uint64_t inode_ = 0;  ///< of the file that we wrote; 0 when it is not as it should be
    std::uint64_t whole_ = 0;  ///< its size when all was saved
    std::uint64_t size_ = 0;   ///< and now
};

}  // namespace upstat
