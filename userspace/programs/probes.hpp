// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/file_mark.hpp"
#include "base/side_threads.hpp"
#include "programs/generations.hpp"
#include "programs/root.hpp"
#include "symbols/probe_site.hpp"

struct bpf_object;

namespace upstat::programs {

/// A process whose responses are counted as its proxy parses them.
struct Probed {
    pid_t pid = 0;
    std::uint64_t start_time = 0;  ///< clock ticks since boot; with the pid it names a process for good
    std::filesystem::path executable;
    std::uint16_t zone = 0;  ///< as in the keys of the maps

    auto operator<=>(const Probed&) const = default;
};

/// What became of it.
struct ProbeState {
    std::map<pid_t, Error> problems;  ///< why a process has no probe
    bool outlives = true;             ///< the probes go on when this process ends: Linux 5.15 and later
    std::set<pid_t> searching{};      ///< in whose executables the place is being looked for
    int news = -1;                    ///< readable when one was found: ask again
};

/// Where the probes are pinned, in the root directory of all generations.
constexpr auto probes_name = "probes";

/// Whether what is pinned here, in the directory of probes, is an upstat's.
bool is_own_probe(const std::filesystem::path& pin);

/// The uprobes in Traefiks. Each is for one process: of two containers that run one file, a probe of the file itself
/// could not be told from the other's, and would count twice.
///
///     probes/counting                      the programs that count, by zone
///     probes/PID-START-DEVICE-INODE-ZONE   a link: it runs a program that leads to the one of its zone
///
/// So an agent of another version takes over at one moment: it puts its program in the place of the previous one.
class Probes {
  public:
    explicit Probes(const Root& root) : directory_(root.path / probes_name) {}

    /// Has probes in these processes, and in no others. The maps that they write are those of `generation`; the one of
    /// their own is made where it is missing. What is loaded stays, and so does what was found in executables: the
    /// first response of a Traefik that starts again comes 100 ms later, and the kernel takes half of that for a probe.
    ProbeState follow(const std::vector<Probed>& processes, const Generation& generation);

    /// Unloads the programs of all other zones; probes stay.
    void keep_zones(const std::set<std::uint16_t>& zones);

    /// The map `probed` of the generation; -1 where nothing was ever probed.
    [[nodiscard]] int map() const { return map_.get(); }

    /// The descriptor of a program that links run, for its statistics; -1 where nothing is probed.
    [[nodiscard]] int program() const;

  private:
    struct Loaded;
    struct FreeLoaded {
        void operator()(Loaded* loaded) const;
    };
    /// What was found in an executable, which may lie where no response comes from: a thread reads it.
    struct Found {
        Probed process;
        Fd file{};
        FileMark mark{};
        Result<symbols::ProbeSite> site{};
    };

    static std::filesystem::path link_name(const Probed& process, const FileMark& mark);
    static std::optional<FileMark> mark_of_executable(const Probed& process);
    static Found found_in(const Probed& process, Fd file);
    void search(const Probed& process);
    void take_found();
    [[nodiscard]] std::optional<Found> known_in(const Probed& process, const FileMark& mark) const;
    Result<void> attach(const Probed& process, const Generation& generation);
    Result<void> attach_at(const Found& found, const std::filesystem::path& pin, int program);
    Result<int> program_of(std::uint16_t zone, const Generation& generation);
    Result<void> place_maps(const bpf_object* object, const Generation& generation) const;
    void drop_others(const std::vector<Probed>& processes);

    std::filesystem::path directory_;
    Fd map_;
    std::map<std::uint16_t, std::unique_ptr<Loaded, FreeLoaded>> loaded_;  ///< by zone
    std::map<Probed, Fd> events_;                                          ///< where the kernel has no links to them
    std::map<Probed, std::filesystem::path> pins_;                         ///< where it has
    std::map<Probed, Found> found_;                                        ///< of those that have no probe yet
    std::map<FileMark, symbols::ProbeSite> sites_;                         ///< of files that were read before
    std::set<Probed> searched_;                                            ///< that are looked into
    SideThreads<Found> searches_{"sites", 64};
};

}  // namespace upstat::programs
