// SPDX-License-Identifier: Apache-2.0
// What the loop works with, made up: a clock that only waiting moves, a network and a kernel that say what the test
// says.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "agent/agent.hpp"
#include "traefik/executables_here.hpp"
#include "traefik/fake_host.hpp"

namespace upstat::agent {

class FakeClock {
  public:
    [[nodiscard]] Clock clock() {
        return {.wall = [this] { return Wall(std::chrono::seconds(1'700'000'000)) + gone_ + stepped_; },
                .steady = [this] { return std::chrono::steady_clock::time_point(std::chrono::hours(1)) + gone_; },
                .since_boot = [this] { return std::chrono::hours(2) + gone_ - booted_; }};
    }
    void pass(Millis time) { gone_ += time; }
    /// Somebody sets the wall clock.
    void step(Millis time) { stepped_ += time; }
    void reboot() { booted_ = gone_ + std::chrono::hours(2); }
    [[nodiscard]] Millis gone() const { return gone_; }

  private:
    Millis gone_{};
    Millis stepped_{};
    Millis booted_{};
};

/// Responses by what a URL contains; a request that none is for never ends.
struct FakeNetwork {
    std::map<std::string, std::expected<HttpResponse, std::string>> responses;
    std::vector<HttpRequest> requests;  ///< all so far

    [[nodiscard]] std::size_t asked(const std::string& part) const {
        return static_cast<std::size_t>(
            std::ranges::count_if(requests, [&](const HttpRequest& one) { return one.url.contains(part); }));
    }
};

class FakeHttp : public Http {
  public:
    FakeHttp(FakeNetwork& network, FakeClock& clock) : network_(&network), clock_(&clock) {}

    std::uint64_t start(const HttpRequest& request) override {
        network_->requests.push_back(request);
        under_way_.emplace_back(++last_, request.url);
        return last_;
    }
    std::vector<HttpDone> wait(std::span<pollfd> others, Millis longest) override {
        std::vector<HttpDone> done;
        std::erase_if(under_way_, [&](const auto& one) {
            const auto found = std::ranges::find_if(
                network_->responses, [&](const auto& entry) { return one.second.contains(entry.first); });
            if (found != network_->responses.end()) {
                done.push_back({.ticket = one.first, .result = found->second});
            }
            return found != network_->responses.end();
        });
        if (::poll(others.data(), others.size(), 0) == 0 && done.empty()) {
            clock_->pass(longest);
        }
        return done;
    }

  private:
    FakeNetwork* network_;
    FakeClock* clock_;
    std::uint64_t last_ = 0;
    std::vector<std::pair<std::uint64_t, std::string>> under_way_;
};

/// Reads at once, or when the test says so.
class FakeReader : public traefik::CatalogueReader {
  public:
    /// Of the test's: what is read waits there while `held`.
    struct Desk {
        bool held = false;
        bool full = false;
        std::vector<traefik::Read> done{};
        std::size_t read = 0;  ///< responses so far
    };
    explicit FakeReader(Desk& desk) : desk_(&desk) {}

    bool start(traefik::Unread response) override {
        desk_->read += desk_->full ? 0 : 1;
        if (!desk_->full) {
            desk_->done.push_back(traefik::read_response(response));
        }
        return !desk_->full;
    }
    [[nodiscard]] int fd() const override { return -1; }
    std::vector<traefik::Read> take() override {
        return desk_->held ? std::vector<traefik::Read>() : std::exchange(desk_->done, {});
    }

  private:
    Desk* desk_;
};

/// Reads at once, but never those that hang.
class FakeConfigurations : public traefik::Configurations {
  public:
    explicit FakeConfigurations(const std::set<pid_t>& hung) : hung_(&hung) {}

    bool start(traefik::AskedConfiguration asked) override {
        if (!hung_->contains(asked.pid)) {
            done_.push_back(traefik::read_configuration(traefik::open_configuration(std::move(asked))));
        }
        return true;
    }
    [[nodiscard]] int fd() const override { return done_.empty() ? -1 : something_.get(); }
    std::vector<traefik::ReadConfiguration> take() override { return std::exchange(done_, {}); }

  private:
    const std::set<pid_t>* hung_;
    Fd something_{eventfd(1, EFD_CLOEXEC)};
    std::vector<traefik::ReadConfiguration> done_;
};

/// What the kernel has counted, and where the programs are.
struct FakeCounts {
    poll::Servers servers;
    std::optional<Error> failure;  ///< of each reading
    std::string epoch = "boot-1";
    std::set<std::string> cgroups;
    std::vector<programs::Probed> probed{};
    programs::ProbeState probe_state{};
    std::map<poll::Server, attribute::Look> looks{};  ///< as the agent told them last
    RouteTables routes{};                             ///< likewise
    bool looks_complete = false;
    poll::Routed routed{};
    std::map<std::string, std::uint16_t> zone_of_cgroup;
    std::set<std::string> shared_cgroups{};
    std::vector<programs::Member> members{};  ///< as the agent told them last
    bool members_complete = false;            ///< likewise
    programs::MemberProblems member_problems{};
    std::vector<pid_t> newcomers{};  ///< that the kernel will tell of
    programs::ZoneNames zones;
    std::optional<Error> other_zones{};                     ///< why those that were saved do not fit the maps
    std::vector<std::vector<programs::Member>> attached{};  ///< with which members shared cgroups were attached
    std::set<std::uint16_t> kept{};                         ///< zones whose programs stay loaded
    std::size_t walks = 0;                                  ///< over sockets, made ready so far
};

class FakeKernel : public Kernel {
  public:
    explicit FakeKernel(FakeCounts& counts) : counts_(&counts) {}

    Result<void> attach(const std::filesystem::path& cgroup, const std::set<std::uint16_t>& /*listening*/,
                        std::uint16_t zone) override {
        counts_->cgroups.insert(cgroup.string());
        counts_->zone_of_cgroup[cgroup.string()] = zone;
        return {};
    }
    Result<void> attach_shared(const std::filesystem::path& cgroup, const std::set<std::uint16_t>& listening,
                               std::uint16_t zone, const std::vector<programs::Member>& members) override {
        counts_->members = members;
        counts_->attached.push_back(members);
        counts_->shared_cgroups.insert(cgroup.string());
        return attach(cgroup, listening, zone);
    }
    programs::MemberProblems set_members(const std::vector<programs::Member>& members, bool complete) override {
        counts_->members = members;
        counts_->members_complete = complete;
        return counts_->member_problems;
    }
    [[nodiscard]] int newcomers_fd() const override { return -1; }
    std::vector<pid_t> newcomers() override { return std::exchange(counts_->newcomers, {}); }
    programs::ProbeState probe(const std::vector<programs::Probed>& processes) override {
        counts_->probed = processes;
        return counts_->probe_state;
    }
    Result<void> set_servers(const attribute::Catalogue& catalogue, const RouteTables& routes, bool complete) override {
        counts_->looks = attribute::looks_in(catalogue);
        counts_->routes = routes;
        counts_->looks_complete = complete;
        return {};
    }
    Result<std::uint16_t> zone_of(const std::string& name) override {
        auto& zones = counts_->zones;
        const auto known = std::ranges::find(zones, name, &programs::ZoneNames::value_type::second);
        return known == zones.end() ? zones.emplace(zones.size(), name).first->first : known->first;
    }
    Result<void> adopt_zones(const programs::ZoneNames& names) override {
        if (counts_->other_zones) {
            return std::unexpected(*counts_->other_zones);
        }
        counts_->zones.insert(names.begin(), names.end());
        return {};
    }
    [[nodiscard]] const programs::ZoneNames& zones() const override { return counts_->zones; }
    void keep_zones(const std::set<std::uint16_t>& zones) override { counts_->kept = zones; }
    void drop_dead() override {
        std::erase_if(counts_->cgroups, [](const std::string& cgroup) { return !std::filesystem::exists(cgroup); });
    }
    [[nodiscard]] std::set<std::uint64_t> attached() const override {
        std::set<std::uint64_t> inodes;
        for (const auto& cgroup : counts_->cgroups) {
            struct stat info{};
            if (stat(cgroup.c_str(), &info) == 0) {
                inodes.insert(info.st_ino);
            }
        }
        return inodes;
    }
    Result<poll::Snapshot> read(Time at) override {
        if (counts_->failure) {
            return std::unexpected(*counts_->failure);
        }
        return poll::Snapshot{.at = at, .servers = counts_->servers, .routed = counts_->routed};
    }
    Result<Fd> walk_sockets() override {
        counts_->walks++;
        return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    Result<poll::Samples> samples(const poll::Codes& /*codes*/) override { return poll::Samples(); }
    [[nodiscard]] std::string epoch() const override { return counts_->epoch; }

  private:
    FakeCounts* counts_;
};

/// Everything that is logged while it lives.
class CapturedLog {
  public:
    CapturedLog() : before_(spdlog::default_logger()) {
        spdlog::set_default_logger(
            std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_)));
    }
    CapturedLog(const CapturedLog&) = delete;
    CapturedLog& operator=(const CapturedLog&) = delete;
    ~CapturedLog() { spdlog::set_default_logger(before_); }

    [[nodiscard]] std::string text() const { return text_.str(); }
    [[nodiscard]] std::size_t count(const std::string& part) const {
        const auto all = text();
        std::size_t count = 0;
        for (auto at = all.find(part); at != std::string::npos; at = all.find(part, at + 1)) {
            ++count;
        }
        return count;
    }

  private:
    std::ostringstream text_;
    std::shared_ptr<spdlog::logger> before_;
};

/// A signalfd of the test's own.
class FakeSignals {
  public:
    FakeSignals() { std::ignore = pipe2(ends_.data(), O_CLOEXEC | O_NONBLOCK); }
    FakeSignals(const FakeSignals&) = delete;
    FakeSignals& operator=(const FakeSignals&) = delete;
    ~FakeSignals() { close(ends_[1]); }

    /// To be called once.
    [[nodiscard]] Fd take() const { return Fd(ends_[0]); }
    void send(int signal) const {
        signalfd_siginfo info{};
        info.ssi_signo = static_cast<std::uint32_t>(signal);
        EXPECT_EQ(write(ends_[1], &info, sizeof info), sizeof info);
    }

  private:
    std::array<int, 2> ends_{};
};

}  // namespace upstat::agent
