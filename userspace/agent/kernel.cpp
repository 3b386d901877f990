// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel.hpp"

#include <spdlog/spdlog.h>

#include <ranges>
#include <utility>

#include "poll/reader.hpp"
#include "programs/counter.hpp"

namespace upstat::agent {

namespace {

/// How many intervals of polls the previous version's programs stay attached for requests in flight. They no longer see
/// how connections end. Maps are read between two polls as well, so reads are not what is counted.
constexpr int upgrade_patience = 100;

poll::Sources sources_of(const programs::Counter& counter) {
    poll::Sources sources{.own = counter.maps(), .carried = counter.carried()};
    for (const auto& program : counter.programs()) {
        sources.programs.emplace_back(program.name, program.fd);
    }
    return sources;
}

programs::Record record_of(const poll::Server& server, const attribute::Look& look) {
    unsigned checks = 0;
    for (const auto method : look.checks) {
        checks |= 1U << static_cast<unsigned>(method);
    }
    return {.address = server.address,
            .port = server.port,
            .zone = server.zone,
            .checks = static_cast<std::uint16_t>(checks),
            .auth = look.auth};
}

/// Of a server to which Traefik sends users' requests only.
programs::Record record_of(const poll::Server& server) {
    return {.address = server.address, .port = server.port, .zone = server.zone, .own = false};
}

/// Programs and maps that are pinned, so that counting goes on when the agent ends.
class PinnedKernel : public Kernel {
  public:
    PinnedKernel(programs::Counter counter, Millis patience)
        : counter_(std::move(counter)), reader_(sources_of(counter_)), patience_(patience) {
        for (const auto& carried : counter_.carried()) {
            spdlog::info("{} goes on with the counts of {}", counter_.maps().path, carried.maps.path);
        }
        for (const auto& left_out : reader_.left_out()) {
            spdlog::error("{}", left_out.text());
        }
    }

    Result<void> attach(const std::filesystem::path& cgroup, const std::set<std::uint16_t>& listening,
                        std::uint16_t zone) override {
        return counter_.attach(cgroup, listening, zone);
    }
    Result<void> attach_shared(const std::filesystem::path& cgroup, const std::set<std::uint16_t>& listening,
                               std::uint16_t zone, const std::vector<programs::Member>& members) override {
        return counter_.attach_shared(cgroup, listening, zone, members);
    }
    programs::MemberProblems set_members(const std::vector<programs::Member>& members, bool complete) override {
        return counter_.set_members(members, complete);
    }
    [[nodiscard]] int newcomers_fd() const override { return counter_.newcomers_fd(); }
    std::vector<pid_t> newcomers() override { return counter_.newcomers(); }
    programs::ProbeState probe(const std::vector<programs::Probed>& processes) override {
        return counter_.probe(processes);
    }
    Result<void> set_servers(const attribute::Catalogue& catalogue, const RouteTables& routes, bool complete) override {
        std::map<poll::Server, programs::Record> records;
        for (const auto& [server, look] : attribute::looks_in(catalogue)) {
            records.emplace(server, record_of(server, look));
        }
        for (const auto& [server, backends] : attribute::owners_in(catalogue)) {
            if (server.name.empty()) {  // names are a probe's
                records.try_emplace(server, record_of(server));
            }
        }
        const auto written = counter_.set_routes(routes.tables);
        for (const auto& [server, table] : routes.of_server) {
            records.try_emplace(server, record_of(server)).first->second.table = written.numbers.at(table);
        }
        const auto all = std::views::values(records);
        auto set = counter_.set_records({all.begin(), all.end()}, complete);
        return written.problem ? std::unexpected(*written.problem) : set;
    }
    Result<std::uint16_t> zone_of(const std::string& name) override { return counter_.zone_of(name); }
    Result<void> adopt_zones(const programs::ZoneNames& names) override { return counter_.adopt_zones(names); }
    [[nodiscard]] const programs::ZoneNames& zones() const override { return counter_.zones(); }
    Result<Fd> walk_sockets() override { return counter_.walk_sockets(); }
    Result<poll::Samples> samples(const poll::Codes& codes) override {
        const auto maps = counter_.sample_maps();
        if (maps.samples < 0) {
            return fail(Error::Kind::host, "no samples are taken: the log says why");
        }
        if (codes != sampled_codes_) {
            if (auto asked = poll::ask_for_samples(maps, codes); !asked) {
                return std::unexpected(asked.error());
            }
            sampled_codes_ = codes;
        }
        return poll::read_samples(maps);
    }
    void keep_zones(const std::set<std::uint16_t>& zones) override { counter_.keep_zones(zones); }
    void drop_dead() override { counter_.drop_dead(); }
    [[nodiscard]] std::set<std::uint64_t> attached() const override { return counter_.attached(); }
    [[nodiscard]] std::string epoch() const override { return counter_.epoch(); }

    Result<poll::Snapshot> read(Time at) override {
        if (auto sources = sources_of(counter_); sources != reader_.sources()) {
            reader_ = poll::Reader(std::move(sources));
        }
        auto snapshot = reader_.read(at);
        first_read_ = first_read_.value_or(at);
        if (snapshot && (snapshot->leaving == 0 || at - *first_read_ >= patience_)) {
            counter_.detach_previous();
        }
        if (std::exchange(begun_, true)) {  // nobody waits for a second Traefik before the first poll is shown
            counter_.load_ahead();
        }
        return snapshot;
    }

  private:
    programs::Counter counter_;
    poll::Reader reader_;
    Millis patience_;  ///< with requests in flight of an agent's before an upgrade
    std::optional<Time> first_read_;
    poll::Codes sampled_codes_;  ///< as the programs were told
    bool begun_ = false;
};

}  // namespace

Result<std::unique_ptr<Kernel>> open_kernel(const config::Settings& settings) {
    auto counter = programs::Counter::open(
        settings.bpf_pin_path,
        {.totals = settings.bpf_totals_size, .requests = settings.bpf_requests_size, .samples = settings.samples});
    if (!counter) {
        return std::unexpected(counter.error());
    }
    return std::make_unique<PinnedKernel>(std::move(*counter), upgrade_patience * settings.poll_interval);
}

}  // namespace upstat::agent
