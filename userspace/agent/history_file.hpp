// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "history/history.hpp"
#include "history/saved.hpp"

namespace upstat::agent {

/// DIRECTORY/history.cbor. What is lost with it is not needed to count or to judge, so it is written once a minute and
/// when something has happened: where the agent is killed, the next one's first column is as long as what is missing.
/// The file grows to twice what is kept and is then written anew.
class HistoryFile {
  public:
    HistoryFile(std::filesystem::path directory, std::string epoch)
        : directory_(std::move(directory)), epoch_(std::move(epoch)) {}

    /// Never fails: `note` says what begins anew.
    history::Restored load(Time now);

    /// Saves where it is time for it, or `at_once`.
    Result<void> save(const history::History& history, Time now, bool at_once);

  private:
    Result<void> save_whole(const history::History& history);
    [[nodiscard]] bool append(const std::string& text);

    std::filesystem::path directory_;
    std::string epoch_;
    history::Mark mark_;
    Time next_ = Time::min();
    std::uint64_t inode_ = 0;  ///< of the file that we wrote; 0 when it is not as it should be
    std::uint64_t whole_ = 0;  ///< its size when all was saved
    std::uint64_t size_ = 0;   ///< and now
};

}  // namespace upstat::agent
