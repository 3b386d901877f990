// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "traefik/allow.hpp"
#include "traefik/cgroups.hpp"
#include "traefik/executables.hpp"

namespace upstat::traefik {

/// One Traefik process of this host, or one that passes for it.
struct Instance {
    pid_t pid = 0;
    std::uint64_t start_time = 0;  ///< clock ticks since boot; with the pid it names a process for good
    std::string cgroup;            ///< its cgroup v2 directory, openable from here; empty when there is none to be seen
    std::optional<Error> refused;  ///< why the programs may not be attached to `cgroup`
    std::string shared{};          ///< who else lives in `cgroup`; empty where nobody does
    std::string network_namespace;  ///< /proc/PID/ns/net
    std::string company{};          ///< who else lives in `cgroup` that --traefik.cgroup named: all of it counts
    bool believed = true;           ///< false: nothing that it does may change what is counted or said of others
};

struct FindOptions {
    std::optional<pid_t> pid{};  ///< --traefik.pid: this process, whatever it is called and whoever runs it
    std::string cgroup{};        ///< --traefik.cgroup: this directory, whoever else lives in it
    Allowed allowed{};           ///< --traefik.allow
    std::string allow_text{};    ///< as it was written, for the hint
};

/// Finds the Traefiks of a host, poll after poll. A process is one if its executable is (executable.hpp), under any
/// name, and its owner is allowed. One that is only called traefik, or whose owner is not allowed, is told of but
/// never counted. An executable is read once, not at each look, and elsewhere: until that is done, its processes are
/// none. Whoever has executables from which nothing comes holds a few threads, and others' go on.
class Finder {
  public:
    Finder(std::filesystem::path root, FindOptions options, Executables& executables)
        : root_(std::move(root)), options_(std::move(options)), executables_(&executables) {}

    /// In the order of their ids; none is no error. Fails when --traefik.pid names no process or --traefik.cgroup no
    /// cgroup. Of several in a cgroup of their own, who are kin, the first stands for all. Of those in a shared cgroup
    /// each is there, the first few. Of those not believed a few are enough.
    Result<std::vector<Instance>> find();

    /// Whoever lives where a Traefik lived that --traefik.pid named: who follows it is believed too.
    std::vector<Instance> successors(const std::set<std::string>& cgroups);

    /// Whether a process runs Traefik and its owner is allowed. Not one on an errand.
    bool is_traefik(pid_t pid);

    /// Takes what was read of executables; true where one of them is Traefik's. The descriptor is readable when there
    /// is something.
    bool take_read();
    [[nodiscard]] int fd() const { return executables_->fd(); }
    /// Whether executables are being read.
    [[nodiscard]] bool is_reading() const;

  private:
    enum class Kind : std::uint8_t { other, traefik, stranger, impostor };
    enum class Content : std::uint8_t { unread, unreadable, traefik, other };
    enum class Asked : std::uint8_t { no, among_others, alone };
    struct Seen {
        Content content = Content::unread;
        decltype(FileMark::version) version{};       ///< that was read
        Asked asked = Asked::no;                     ///< to be read
        std::uint64_t asked_at = 0;                  ///< at this look
        std::string owner{};                         ///< whose process it was asked for
        std::uint64_t thread = 0;                    ///< that has it
        std::map<pid_t, std::uint64_t> strangers{};  ///< run it, and were not allowed at this look
        std::uint64_t look = 0;                      ///< at which it was run for the last time
    };

    static constexpr std::uint64_t looks_apart = 12;
    static constexpr std::uint64_t patience = 2;  ///< looks

    [[nodiscard]] bool is_lately(const std::map<pid_t, std::uint64_t>& strangers, pid_t pid) const;
    [[nodiscard]] bool is_named() const { return options_.pid || !options_.cgroup.empty(); }
    [[nodiscard]] Kind kind_of(pid_t pid, Cgroups& cgroups);
    void want(Seen& seen, const FileMark& mark, pid_t pid, Cgroups& cgroups);
    void ask();
    [[nodiscard]] bool has_room(const std::string& owner, std::uint64_t thread) const;
    [[nodiscard]] bool is_allowed(pid_t pid, Cgroups& cgroups) const;
    [[nodiscard]] std::optional<Instance> instance(pid_t pid, Cgroups& cgroups) const;
    [[nodiscard]] Result<std::vector<Instance>> find_process(pid_t pid);
    [[nodiscard]] Result<std::vector<Instance>> find_in_cgroup();
    void tell_company(std::vector<Instance>& found) const;
    [[nodiscard]] std::vector<Instance> in_directories(const std::set<std::string>& directories);
    [[nodiscard]] bool judge_among(std::vector<Instance>& found, Instance& traefik, Cgroups& cgroups) const;
    [[nodiscard]] std::vector<Instance> find_all();

    std::filesystem::path root_;
    FindOptions options_;
    std::optional<decltype(Instance::start_time)> named_start_;  ///< of the process that --traefik.pid names
    std::uint64_t look_ = 0;
    Executables* executables_;
    std::map<FileMark::File, Seen> files_;
    std::vector<AskedExecutable> wanted_;  ///< at this look
    std::uint64_t last_thread_ = 0;        ///< a number for each
    std::uint64_t shared_thread_ = 0;      ///< of those that are asked for the first time at this look
};

/// --traefik.cgroup as a directory to attach to: any cgroup v2 directory but the root. It may be empty of processes, so
/// that the programs can be there before Traefik is, and it need not be there yet: systemd makes a unit's when it
/// starts.
Result<std::string> explicit_cgroup(const std::filesystem::path& root, const std::string& cgroup);

/// Where cgroup v2 is mounted for us (/sys/fs/cgroup, /sys/fs/cgroup/unified); nothing when it is not.
std::optional<std::string> cgroup2_mount(const std::filesystem::path& root);

/// TCP ports with a listener in the network namespace of a process. Reads of all of its sockets: for attaching only.
std::set<std::uint16_t> listening_ports(const std::filesystem::path& root, pid_t pid);

}  // namespace upstat::traefik
