// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "agent/catalogues.hpp"
#include "agent/chronicle.hpp"
#include "agent/fills.hpp"
#include "agent/judgement.hpp"
#include "agent/kernel.hpp"
#include "agent/probing.hpp"
#include "agent/receivers.hpp"
#include "agent/state.hpp"
#include "agent/supervisor.hpp"
#include "agent/timeline.hpp"
#include "agent/traefiks.hpp"
#include "attribute/ledger.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/http_client.hpp"
#include "config/settings.hpp"
#include "publish/exposition.hpp"
#include "publish/report.hpp"
#include "publish/web.hpp"

namespace upstat::agent {

/// What the agent works with. Each can be another: the tests' host, clock and kernel are made up.
struct Parts {
    std::filesystem::path root = "/";  ///< of the host's file system
    Clock clock = system_clock();
    std::unique_ptr<Http> http;
    std::unique_ptr<traefik::CatalogueReader> catalogue_reader;
    std::unique_ptr<traefik::Executables> executables;
    std::unique_ptr<traefik::Configurations> configurations;
    std::unique_ptr<Kernel> kernel;
    Fd signals;                   ///< a signalfd: SIGHUP reloads, any other signal ends the agent
    bool counted_before = false;  ///< the kernel's maps were not made by this process
    /// The settings as they are now, read again, or each mistake in them.
    std::function<std::expected<config::Settings, std::vector<Error>>()> load{};
    std::uint64_t seed = std::random_device()();  ///< of the random part of waits
    Supervisor supervisor{};
    std::string reading_threads{};  ///< what the threads that read foreign bytes may do, for the status
};

/// The rooms, the values on their way from one to the next, and the one loop that moves them:
/// programs -> poll -> attribute -> measure -> judge -> publish.
class Agent {
  public:
    /// Errors are those of the start; a running agent does not end by itself.
    static Result<std::unique_ptr<Agent>> start(const config::Settings& settings, Parts parts);

    /// Runs until a signal ends it.
    void run();

    /// One turn of the loop: what is due, then a wait for whatever is next. False when the agent is to end.
    bool turn();

    /// What was published last; nothing before the first good poll.
    [[nodiscard]] std::shared_ptr<const publish::Report> shown() const { return page_ ? page_->report : nullptr; }
    [[nodiscard]] const std::shared_ptr<const publish::Page>& page() const { return page_; }

  private:
    Agent(const config::Settings& settings, Parts parts, Catalogues catalogues, Judgement judgement)
        : settings_(settings),
          started_with_(settings),
          parts_(std::move(parts)),
          catalogues_(std::move(catalogues)),
          judgement_(std::move(judgement)),
          chronicle_(settings.state_path, parts_.kernel->epoch()),
          state_(settings.state_path, parts_.kernel->epoch()),
          next_poll_(parts_.clock.steady()) {}

    Result<void> open_outside();
    Tenants restore();

    void poll();
    void heed_host_name();
    void absorb(poll::Snapshot snapshot);
    void probe();
    void change_catalogue();
    attribute::SharedCatalogue close_books(const poll::Snapshot& snapshot);
    bool forget(const poll::Snapshot& snapshot);
    void tell_looks(const attribute::SharedCatalogue& catalogue);
    void forget_routes();
    void save(const std::optional<attribute::Growth>& growth);
    void renew_walk();
    void take_samples();
    void publish(poll::Snapshot snapshot);
    [[nodiscard]] attribute::TraefikNames told_names() const;
    [[nodiscard]] publish::Report report(poll::Snapshot snapshot) const;
    [[nodiscard]] std::vector<publish::TraefikReport> traefik_reports() const;

    void tell_status(const publish::Report& report);
    void send(Moment poll);
    bool wait();
    bool heed_signal();
    void reload();
    Result<void> adopt(const config::Settings& next);

    config::Settings settings_;
    config::Settings started_with_;  ///< where what cannot change while it runs is still as it was
    Parts parts_;
    std::string host_name_;
    std::optional<Timeline> timeline_;
    FillWatch fills_;
    Probing probing_;
    std::optional<Traefiks> traefiks_;
    programs::ZoneNames named_zones_;        ///< to which traefik_names_ are the short names
    attribute::TraefikNames traefik_names_;  ///< also of one alone
    Catalogues catalogues_;
    attribute::Ledger ledger_;
    Judgement judgement_;
    Chronicle chronicle_;
    StateFile state_;
    publish::PushIdentity identity_;  ///< at a Pushgateway
    publish::Births births_;
    Time scraped_since_ = Time::min();  ///< what was born later is shown at 0
    Time pushed_since_ = Time::min();
    std::optional<Receivers> receivers_;
    std::unique_ptr<publish::Web> web_;

    std::chrono::steady_clock::time_point next_poll_;
    std::optional<poll::Snapshot> waiting_;  ///< polled, and waiting for Traefik's API until `patience_`
    std::chrono::steady_clock::time_point patience_;
    bool absorbed_ = false;  ///< a poll: the ledger's catalogue is this life's
    bool is_ahead_ = false;  ///< the ledger has more than the last state that was saved can be grown by
    std::chrono::steady_clock::time_point next_change_{};  ///< of the catalogue between two polls
    attribute::Counts counts_;
    std::shared_ptr<const publish::Page> page_;
    std::shared_ptr<const poll::SocketWalk> socket_walk_;  ///< ready for whoever asks first
    std::shared_ptr<const poll::Samples> samples_;         ///< where they are wanted
    std::chrono::steady_clock::time_point next_walk_{};
    Results polls_;
    std::optional<Moment> last_poll_;
    std::chrono::microseconds poll_duration_{};
    std::string state_error_;
    attribute::SharedCatalogue looked_through_;  ///< for what it does not list any more
    Time next_look_;
    std::optional<Time> first_look_;
    std::size_t saved_routes_ = 0;  ///< how many routes' numbers no crash gives to others
    /// Of which catalogue, whether it was complete, and with how many routes.
    std::tuple<attribute::SharedCatalogue, bool, std::size_t> told_looks_;
    std::string looks_problem_;
    std::chrono::steady_clock::time_point next_sign_{};  ///< of life, to the supervisor
    std::string told_status_;                            ///< to the supervisor
    bool reloaded_ = true;                               ///< the last reading of the settings went well
    bool lost_counters_ = false;  ///< the maps are older than this process, but their exported counters were not saved
};

}  // namespace upstat::agent
