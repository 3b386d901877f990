// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/maps.hpp"

namespace upstat::programs {

/// How many entries the kernel maps may hold. Maps that are pinned already and have less room are carried over.
struct MapSizes {
    std::uint32_t totals = 65536;    ///< servers x (codes x methods + reasons) that occur
    std::uint32_t requests = 16384;  ///< servers
};

/// A kernel program of ours, for its statistics.
struct CounterProgram {
    std::string name;
    int fd = -1;
};

/// The kernel side: programs loaded, maps and links pinned below one directory of a bpffs, so that counting goes on
/// when this process ends. Holds a lock on that directory: one agent at a time.
class Counter {
  public:
    /// Loads the programs, on the maps that are pinned below pin_path already or on new ones: where those are of
    /// another layout, or too small.
    /// Errors: host where the kernel, privileges or pin_path do not do; runtime where another agent is at work.
    static Result<Counter> open(const std::filesystem::path& pin_path, const MapSizes& sizes);

    Counter(Counter&&) noexcept;
    Counter& operator=(Counter&&) noexcept;
    ~Counter();

    /// Attaches the programs to a cgroup v2 directory. Links that an earlier agent pinned for it are adopted: they
    /// run this agent's programs from then on, without a gap. `listening` are the local ports whose
    /// connections are clients'.
    Result<void> attach(const std::filesystem::path& cgroup, const std::set<std::uint16_t>& listening);

    /// Takes the programs of former generations, which stay for the answers to requests in flight, off the cgroups.
    void detach_previous();

    /// Unpins the links of cgroups that are gone.
    void drop_dead();

    /// The cgroups (by inode) that have all their links.
    [[nodiscard]] std::set<std::uint64_t> attached() const;

    /// The maps that the programs write. These descriptors live as long as their Counter.
    [[nodiscard]] CounterMaps maps() const;

    /// The maps of former generations, as things stand: what is counted is the sum over all.
    [[nodiscard]] std::vector<CarriedMaps> carried() const;

    [[nodiscard]] std::vector<CounterProgram> programs() const;

    /// Names these very maps: totals read under another epoch cannot be compared. Stays when they are carried over.
    [[nodiscard]] std::string epoch() const;

    /// Whether anything is pinned at pin_path.
    static bool is_pinned(const std::filesystem::path& pin_path);

    /// Takes every pinned program and map below pin_path off the host; true when there was any.
    static Result<bool> detach(const std::filesystem::path& pin_path);

  private:
    class Impl;
    explicit Counter(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace upstat::programs
