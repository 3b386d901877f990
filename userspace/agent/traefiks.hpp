// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/kernel.hpp"
#include "agent/tenants.hpp"
#include "agent/timeline.hpp"
#include "base/error.hpp"
#include "traefik/find.hpp"
#include "traefik/watch.hpp"

namespace upstat::agent {

/// One Traefik of this host and what became of the attempt to count it.
struct Watched {
    traefik::Instance traefik;
    std::string problem;     ///< why it is not counted; empty when it is
    std::uint16_t zone = 0;  ///< while it is counted: the number of its name
};

/// Keeps the programs on the cgroup of every Traefik, also of those that come later: a cgroup that was Traefik's
/// before is met when it is made again, a new one as soon as a Traefik runs in it.
class Traefiks {
  public:
    /// Fails when --traefik.pid or --traefik.cgroup names nothing, or when every Traefik found has to be refused.
    /// `timeline` is to outlive this.
    static Result<Traefiks> open(Kernel& kernel, traefik::Executables& executables, const std::filesystem::path& root,
                                 const traefik::FindOptions& options, Tenants tenants, const Timeline& timeline);

    /// Looks at all processes again; to be called each poll.
    void look();

    /// Descriptors that become readable when there is something for `react`.
    [[nodiscard]] std::vector<pollfd> fds() const;

    /// Takes what the descriptors tell, and looks into the cgroups that were made lately. True if one came or went: a
    /// container, maybe, that Traefik sends to.
    bool react(std::chrono::steady_clock::time_point now);

    /// Whether `react` should be called again soon although nothing may have become readable.
    [[nodiscard]] bool has_candidates() const { return !candidates_.empty() || has_newcomers_; }
    /// How soon to look again at these cgroups: a Traefik sends its first request 100 ms after its start.
    [[nodiscard]] Millis candidates_interval() const { return Millis(candidates_.size() <= 10 ? 10 : 50); }

    [[nodiscard]] const std::vector<Watched>& watched() const { return watched_; }

    [[nodiscard]] const Tenants& tenants() const { return tenants_; }

    /// Every Traefik that is counted: all of one cgroup, where `watched` has one that stands for them.
    [[nodiscard]] const std::vector<programs::Probed>& counted() const { return counted_; }

    /// Why what a Traefik in a shared cgroup sends on connections from before the agent is not counted; empty where it
    /// is.
    [[nodiscard]] std::string partly(pid_t pid) const;

    /// Who is counted together with this one; empty where nobody is.
    [[nodiscard]] std::string company(const Watched& watched) const;

    /// Cgroups without an inotify watch (fs.inotify.max_user_watches): a Traefik there is found at the next poll only.
    [[nodiscard]] std::size_t unwatched() const { return cgroups_ ? cgroups_->unwatched() : 0; }

    /// Why no Traefik is counted although there is one; empty otherwise.
    [[nodiscard]] std::string all_refused() const;

  private:
    Traefiks(Kernel& kernel, traefik::Executables& executables, std::filesystem::path root,
             traefik::FindOptions options, Tenants tenants, const Timeline& timeline)
        : kernel_(&kernel),
          root_(std::move(root)),
          options_(std::move(options)),
          tenants_(std::move(tenants)),
          timeline_(&timeline),
          finder_(root_, options_, executables) {}

    void attach_again();
    void attach(Watched& watched, const std::string& problem_before);
    Result<void> attach(const std::string& cgroup, const std::set<std::uint16_t>& listening);
    [[nodiscard]] Result<std::uint16_t> zone_of(const std::string& cgroup);
    [[nodiscard]] Result<std::uint16_t> zone_named(const std::string& name);
    [[nodiscard]] bool is_taken(std::uint16_t zone) const;
    [[nodiscard]] std::string name_of(const std::string& cgroup) const;
    [[nodiscard]] Result<std::uint16_t> new_zone(const std::string& name);
    void say_problem(const Error& error);
    void forget_gone();
    void find_tenants(const std::vector<traefik::Instance>& found);
    [[nodiscard]] programs::Member member_of(const traefik::Instance& traefik) const;
    [[nodiscard]] bool must_share(const traefik::Instance& traefik);
    void find_members();
    void say_member_problems();
    [[nodiscard]] bool take_newcomers();
    void await_successor(pid_t pid, std::chrono::steady_clock::time_point now);
    void on_cgroup_created(const std::string& cgroup, std::chrono::steady_clock::time_point now);
    void say_stranger(const traefik::Instance& traefik);
    [[nodiscard]] bool holds_new_traefik(const std::string& cgroup);
    [[nodiscard]] Result<std::vector<traefik::Instance>> find();
    [[nodiscard]] Result<std::vector<traefik::Instance>> find_first();
    void watch_processes();
    void find_counted();
    void say_unwatched();
    void say_company();

    Kernel* kernel_;
    std::filesystem::path root_;
    traefik::FindOptions options_;
    Tenants tenants_;
    const Timeline* timeline_;
    traefik::Finder finder_;
    std::set<std::string> said_strangers_;  ///< what was logged of them
    std::optional<traefik::CgroupWatch> cgroups_;
    bool said_unwatched_ = false;
    std::vector<traefik::ProcessWatch> processes_;
    std::vector<Watched> watched_;
    std::vector<programs::Probed> counted_;
    std::vector<programs::Member> members_;  ///< those in shared cgroups
    std::set<std::string> shared_;           ///< cgroups in which others were seen beside Traefik
    programs::MemberProblems member_problems_;
    std::vector<Time> new_zones_;                         ///< when they were given, those of the last minute
    std::set<std::string> said_;                          ///< of shared cgroups
    bool has_newcomers_ = false;                          ///< there were some lately, and may be more
    std::map<std::string, std::uint16_t> known_cgroups_;  ///< that are or were Traefik's, with their zones
    std::map<std::string, std::chrono::steady_clock::time_point> candidates_;  ///< new cgroups, until when to look
};

}  // namespace upstat::agent
