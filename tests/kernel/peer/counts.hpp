// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "count/counter.hpp"
#include "poll/snapshot.hpp"

namespace upstat::peer {

/// What was counted in one case.
struct Counted {
    ServerTotals server;
    std::map<std::string, std::uint64_t> places;  ///< those that counted anything
};

/// What the programs counted, read and taken out of their maps, so that each case begins at nothing.
class Counts {
  public:
    /// Loads the programs and attaches them to a cgroup of this process's own, which it moves to.
    /// Throws std::runtime_error.
    Counts();
    ~Counts();
    Counts(const Counts&) = delete;
    Counts& operator=(const Counts&) = delete;

    /// What was counted since the last call: of this server, and the places.
    Counted take(const Server& server);

  private:
    std::filesystem::path pins_;
    std::filesystem::path cgroup_;
    std::filesystem::path home_;  ///< the cgroup that this process came from
    std::unique_ptr<Counter> counter_;
    std::map<std::string, std::uint64_t> places_;
};

}  // namespace upstat::peer
