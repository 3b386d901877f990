// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/tenants.hpp"
#include "agent/timeline.hpp"
#include "attribute/ledger.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "judge/alert.hpp"
#include "measure/window.hpp"
#include "programs/zones.hpp"

namespace upstat::agent {

/// What the agent carries over a restart.
struct Saved {
    attribute::Ledger ledger;
    std::optional<measure::History> window;  ///< none where the saved one is broken
    std::vector<attribute::Counts> since;    ///< what the polls gave that came after this window
    std::vector<judge::Alert> alerts;
    std::optional<Timeline::Mark> mark;  ///< of the newest poll
    programs::ZoneNames zones;           ///< what the zones' numbers in all of this mean
    Tenants::All tenants;                ///< whose the zones were
    std::string epoch;                   ///< under which it was saved
};

struct Restored {
    Saved saved;
    std::vector<std::string> notes;  ///< sentences for the log about what starts anew; empty when all goes on
};

/// Reads DIRECTORY/state.json: a line with all that was saved, and one for each poll since. Never fails: what is lost,
/// broken or of another version is a counter reset, and `notes` say so. `epoch` names the boot and the set of kernel
/// maps (the caller decides how): when the saved one is another, the maps began at 0 after the save, so the counters go
/// on and everything in the maps is new.
Restored restore_state(const std::filesystem::path& directory, const std::string& epoch);

/// The state file: at each poll it saves what must not be lost before anybody is told of it: all of it where it must,
/// else a line with what the poll changed.
class StateFile {
  public:
    StateFile(std::filesystem::path directory, std::string epoch)
        : directory_(std::move(directory)), epoch_(std::move(epoch)) {}

    /// Keeps other agents from the directory. Where it cannot even be made, saving will say so.
    Result<void> lock();

    /// Keeps a file that cannot be gone on with as state.json.conflict, beside earlier ones. Says what became of it.
    [[nodiscard]] std::string set_aside() const;

    /// Appends one poll, which was at `wall`. False: there is no whole state to append to, it has not these zones and
    /// tenants, or the lines have outgrown it.
    Result<bool> append(const attribute::Growth& growth, const std::vector<judge::Alert>& alerts, Wall wall,
                        const programs::ZoneNames& zones, const Tenants::All& tenants = {});

    /// Writes DIRECTORY/state.json anew: it is the old one or the new one whenever the power fails. Makes the
    /// directory.
    Result<void> save(const attribute::LedgerState& ledger, const measure::History& window,
                      const std::vector<judge::Alert>& alerts, const Timeline::Mark& mark,
                      const programs::ZoneNames& zones, const Tenants::All& tenants = {});

  private:
    std::filesystem::path directory_;
    std::string epoch_;
    Fd locked_;                ///< the directory
    std::size_t zones_ = 0;    ///< as many as the file has
    Tenants::All tenants_;     ///< as the file has them
    std::uint64_t inode_ = 0;  ///< of the file that we wrote; 0 when it is not as it should be
    std::uint64_t whole_ = 0;  ///< its size when all was saved
    std::uint64_t size_ = 0;   ///< and now
};

}  // namespace upstat::agent
