// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/maps.hpp"
#include "programs/generations.hpp"

struct samples_bpf;

namespace upstat::programs {

/// The programs that keep paths of requests, for who asks for samples. Nothing of theirs is pinned: they end with the
/// agent. They run behind the programs that count, and look at the states that those keep.
class Samples {
  public:
    /// Keeps so many of each server. Errors: the kernel refuses the programs.
    static Result<Samples> load(const Generation& generation, std::uint32_t kept);

    /// To be called when the programs that count are attached there: then these come behind them. Once a cgroup.
    Result<void> attach(int cgroup, std::uint64_t id);

    /// Forgets all other cgroups (by inode).
    void keep(const std::set<std::uint64_t>& cgroups);

    [[nodiscard]] SampleMaps maps() const;

  private:
    struct Destroy {
        void operator()(samples_bpf* skeleton) const;
    };
    using Skeleton = std::unique_ptr<samples_bpf, Destroy>;

    explicit Samples(Skeleton skeleton) : skeleton_(std::move(skeleton)) {}

    Skeleton skeleton_;
    std::map<std::uint64_t, std::vector<Fd>> links_;  ///< by cgroup
};

}  // namespace upstat::programs
