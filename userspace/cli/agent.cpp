// SPDX-License-Identifier: Apache-2.0
#include "cli/agent.hpp"

#include <malloc.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iterator>

#include "attribute/ledger.hpp"
#include "attribute/state.hpp"
#include "base/http_client.hpp"
#include "cli/catalogues.hpp"
#include "cli/fills.hpp"
#include "cli/saved.hpp"
#include "cli/traefiks.hpp"
#include "count/counter.hpp"
#include "judge/judge.hpp"
#include "judge/sentence.hpp"
#include "measure/codes.hpp"
#include "measure/window.hpp"
#include "measure/worst.hpp"
#include "poll/reader.hpp"
#include "publish/alertmanager.hpp"
#include "publish/exposition.hpp"
#include "publish/process.hpp"
#include "publish/push.hpp"
#include "publish/report.hpp"
#include "publish/web.hpp"

namespace upstat {

namespace {

using std::chrono::steady_clock;

/// How long a poll waits for Traefik's API before it goes on with the catalogue at hand.
constexpr auto api_patience = std::chrono::seconds(1);
/// For so many polls the programs of a former upstat stay for the answers to requests that were in flight when it was
/// upgraded. How a connection ends they are not told.
constexpr int upgrade_patience = 100;
/// How often new cgroups are looked into.
constexpr auto eager_interval = Millis(50);
/// How long a clean exit may take to say goodbye to the Pushgateway.
constexpr auto exit_patience = std::chrono::seconds(3);

Time now() {
    return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
}

/// The signals that end the agent, as a descriptor.
Fd watch_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    return Fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

/// A rule with its codes compiled.
struct CompiledRule {
    Rule rule;
    CodeSet codes;
};

Result<std::vector<CompiledRule>> compile(const std::vector<Rule>& rules) {
    std::vector<CompiledRule> compiled;
    for (const auto& rule : rules) {
        auto codes = CodeSet::compile(rule.codes);
        if (!codes) {
            return std::unexpected(codes.error());
        }
        compiled.push_back({.rule = rule, .codes = *codes});
    }
    return compiled;
}

Millis longest_window(const std::vector<Rule>& rules) {
    return std::ranges::max(rules, {}, &Rule::window).window;
}

/// Two polls of the past, the older at least one window old once there was time for it: enough to tell which
/// server's answers a rule is about.
class Past {
  public:
    explicit Past(Millis window) : window_(window) {}

    void add(const Snapshot& snapshot) {
        if (!newer_ || snapshot.at - at_ >= window_) {
            auto now = std::make_shared<const AnswersByServer>(answers_of(snapshot));
            older_ = newer_ ? newer_ : now;
            newer_ = std::move(now);
            at_ = snapshot.at;
        }
    }
    [[nodiscard]] const AnswersByServer& begin() const { return *older_; }

  private:
    Millis window_;
    Time at_{};  ///< of the newer one
    std::shared_ptr<const AnswersByServer> older_;
    std::shared_ptr<const AnswersByServer> newer_;
};

/// What a restart has to know of the alerts. All others are as they begin: inactive.
std::vector<Alert> going_on(const std::vector<Alert>& alerts) {
    std::vector<Alert> kept;
    std::ranges::copy_if(alerts, std::back_inserter(kept),
                         [](const Alert& alert) { return alert.state != State::inactive || alert.resolved_at; });
    return kept;
}

/// The agent's pages as others reach them: a listener on every address is named by this host's name.
std::string generator_url(const std::string& address, const std::string& host) {
    const bool everywhere = address.starts_with("0.0.0.0:") || address.starts_with("[::]:");
    return "http://" + (everywhere ? host + address.substr(address.rfind(':')) : address);
}

std::set<Server> servers_of(const Catalogue& catalogue, const std::string& backend) {
    std::set<Server> servers;
    if (const auto found = catalogue.backends.find(backend); found != catalogue.backends.end()) {
        for (const auto& listed : found->second.listed) {
            servers.insert(listed.servers.begin(), listed.servers.end());
        }
    }
    return servers;
}

Sources sources_of(const Counter& counter) {
    Sources sources{.own = counter.maps(), .carried = counter.carried()};
    for (const auto& program : counter.programs()) {
        sources.programs.emplace_back(program.name, program.fd);
    }
    return sources;
}

/// The rooms, and the values on their way from one to the next.
class Agent {
  public:
    /// `signals` becomes readable when the agent is to end.
    /// `counted_before`: the maps are not made now.
    static Result<std::unique_ptr<Agent>> start(const Settings& settings, Fd signals, bool counted_before);

    void run();

  private:
    Agent(const Settings& settings, Fd signals, Counter counter, Catalogues catalogues, std::vector<CompiledRule> rules)
        : settings_(settings),
          signals_(std::move(signals)),
          counter_(std::move(counter)),
          reader_(sources_of(counter_)),
          catalogues_(std::move(catalogues)),
          rules_(std::move(rules)),
          window_(longest_window(settings.all_rules())),
          past_(longest_window(settings.all_rules())),
          judge_(settings.all_rules()),
          state_(settings.state_path, counter_.epoch()),
          pusher_(settings.push_interval) {}

    Result<void> open_outside();
    void restore();

    void poll();
    [[nodiscard]] Result<Snapshot> read();
    void absorb(Snapshot snapshot);
    void judge(const Snapshot& snapshot);
    void save(const std::optional<std::string>& record);
    void publish(Snapshot snapshot);
    [[nodiscard]] Report report(Snapshot snapshot) const;
    [[nodiscard]] std::vector<TraefikReport> traefik_reports() const;

    void send();
    void take(const HttpDone& done);
    bool wait();
    void say_goodbye();

    Settings settings_;
    Fd signals_;
    Counter counter_;
    Reader reader_;
    FillWatch fills_;
    std::optional<Traefiks> traefiks_;
    Catalogues catalogues_;
    std::vector<CompiledRule> rules_;
    Ledger ledger_;
    Window window_;
    Past past_;
    Judge judge_;
    StateFile state_;
    Births births_;
    Pusher pusher_;
    std::string push_group_;
    std::optional<Notifier> notifier_;
    std::unique_ptr<Web> web_;
    HttpClient http_;

    steady_clock::time_point next_poll_ = steady_clock::now();
    int upgrade_patience_ = upgrade_patience;
    std::optional<Snapshot> waiting_;  ///< polled, and waiting for Traefik's API until `patience_`
    steady_clock::time_point patience_;
    Counts counts_;
    std::map<std::string, Ratios> ratios_;
    Alerts alerts_;
    std::shared_ptr<const Page> page_;
    Results polls_;
    std::optional<Time> last_poll_;
    std::chrono::microseconds poll_duration_{};
    std::string state_error_;
    bool forgotten_ = false;  ///< what was shown before this start, of maps that are older
};

Result<std::unique_ptr<Agent>> Agent::start(const Settings& settings, Fd signals, bool counted_before) {
    auto rules = compile(settings.all_rules());
    if (!rules) {
        return std::unexpected(rules.error());
    }
    auto catalogues = Catalogues::open(settings);
    if (!catalogues) {
        return std::unexpected(catalogues.error());
    }
    auto counter = Counter::open(settings.bpf_pin_path,
                                 {.totals = settings.bpf_totals_size, .requests = settings.bpf_requests_size});
    if (!counter) {
        return std::unexpected(counter.error());
    }
    std::unique_ptr<Agent> agent(
        new Agent(settings, std::move(signals), std::move(*counter), std::move(*catalogues), std::move(*rules)));
    for (const auto& carried : agent->counter_.carried()) {
        spdlog::info("{} goes on with the counts of {}", agent->counter_.maps().path, carried.maps.path);
    }
    for (const auto& left_out : agent->reader_.left_out()) {
        spdlog::error("{}", left_out.text());
    }
    auto traefiks = Traefiks::open(
        agent->counter_, {.pid = settings.traefik_pid == 0 ? std::nullopt : std::optional(settings.traefik_pid),
                          .cgroup = settings.traefik_cgroup});
    if (!traefiks) {
        return std::unexpected(traefiks.error());
    }
    agent->traefiks_ = std::move(*traefiks);
    if (auto held = agent->state_.hold(); !held) {
        return std::unexpected(held.error());
    }
    agent->restore();
    malloc_trim(0);  // what the file's whole text and tree took is several times what is kept
    agent->forgotten_ = counted_before && agent->ledger_.counters().empty();
    if (auto opened = agent->open_outside(); !opened) {
        return std::unexpected(opened.error());
    }
    return agent;
}

Result<void> Agent::open_outside() {
    const auto bound = std::max<Millis>(std::chrono::seconds(30), settings_.poll_interval * 4);
    auto web = Web::start({.listen = settings_.web_listen_address, .now = now, .heartbeat_bound = bound});
    if (!web) {
        return std::unexpected(web.error());
    }
    web_ = std::move(*web);
    for (const auto& address : web_->addresses()) {
        spdlog::info("metrics at http://{}/metrics", address);
    }
    if (!settings_.push_url.empty()) {
        auto group =
            group_url({.url = settings_.push_url, .job = settings_.push_job, .instance = settings_.push_instance});
        if (!group) {
            return std::unexpected(group.error());
        }
        push_group_ = *group;
    }
    auto notifier = Notifier::make({.urls = settings_.alertmanager_url,
                                    .rules = settings_.all_rules(),
                                    .instance = settings_.push_instance,
                                    .generator_url = generator_url(web_->addresses().front(), settings_.push_instance),
                                    .evaluation = settings_.poll_interval});
    if (!notifier) {
        return std::unexpected(notifier.error());
    }
    notifier_ = std::move(*notifier);
    return {};
}

void Agent::restore() {
    auto restored = restore_state(settings_.state_path, counter_.epoch());
    if (!restored.note.empty()) {
        spdlog::warn("{}", restored.note);
    }
    ledger_ = std::move(restored.saved.ledger);
    catalogues_.remember(ledger_.catalogue());
    try {
        if (const auto& saved = restored.saved.window; !saved.is_null()) {
            if (auto window = Window::restore(longest_window(settings_.all_rules()), history_from(saved)); window) {
                window_ = std::move(*window);
                std::ranges::for_each(restored.saved.since, [this](const Counts& counts) { window_.add(counts); });
            } else {
                spdlog::warn("{}: the window of the rates begins anew", window.error().message);
            }
        }
        if (const auto& saved = restored.saved.alerts; !saved.is_null()) {
            judge_.restore(alerts_from(saved));
        }
    } catch (const nlohmann::json::exception& error) {
        spdlog::warn("the saved window or alerts are damaged and begin anew: {}", error.what());
    }
    births_.restore({.at = {}, .backends = ledger_.counters()});
}

void Agent::poll() {
    const auto began = steady_clock::now();
    next_poll_ = std::max(next_poll_ + settings_.poll_interval, began);
    traefiks_->look();
    auto snapshot = read();
    poll_duration_ = std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - began);
    if (!snapshot) {
        spdlog::error("{}: nothing is judged until a poll succeeds", snapshot.error().text());
        polls_.count(snapshot.error().message);
        send();  // alerts stay as they were, and receivers are to know that
        return;
    }
    for (const auto& notice : fills_.look(*snapshot)) {
        spdlog::log(notice.error ? spdlog::level::err : spdlog::level::warn, "{}", notice.text);
    }
    polls_.count({});
    last_poll_ = snapshot->at;
    // Asked after the maps were read: whatever was counted was sent to servers that Traefik knew by then.
    catalogues_.ask(http_, traefiks_->watched());
    waiting_ = std::move(*snapshot);
    patience_ = began + std::min<steady_clock::duration>(api_patience, settings_.poll_interval);
}

Result<Snapshot> Agent::read() {
    if (auto sources = sources_of(counter_); sources != reader_.sources()) {
        reader_ = Reader(std::move(sources));
    }
    auto snapshot = reader_.read(aligned(last_poll_, now(), settings_.poll_interval));
    if (snapshot && (snapshot->leaving == 0 || upgrade_patience_-- <= 0)) {
        counter_.let_go();
    }
    return snapshot;
}

void Agent::absorb(Snapshot snapshot) {
    auto catalogue = catalogues_.catalogue(snapshot.at);
    const auto record = ledger_.record(snapshot, *catalogue);
    counts_ = ledger_.absorb(snapshot, std::move(catalogue));
    if (std::exchange(forgotten_, false)) {
        births_.restore(counts_);  // shown at 0, all that the maps hold would look like the answers of a moment
    }
    window_.add(counts_);
    past_.add(snapshot);
    judge(snapshot);
    save(record);
    publish(std::move(snapshot));
}

void Agent::judge(const Snapshot& snapshot) {
    ratios_.clear();
    for (const auto& [rule, codes] : rules_) {
        auto& ratios = ratios_[rule.name] = measure(window_, snapshot.at, codes, rule.window);
        // A backend without one such answer has the series all the same: /metrics shows every code at 0 from the start.
        for (auto& [backend, ratio] : ratios.backends) {
            ratio.matching = ratio.matching.value_or(0);
        }
    }
    alerts_ = judge_.evaluate(ratios_, snapshot.at);
    for (const auto& transition : alerts_.transitions) {
        const auto rule = std::ranges::find_if(
            rules_, [&](const CompiledRule& compiled) { return compiled.rule.name == transition.now.rule; });
        const auto where =
            worst(past_.begin(), snapshot, servers_of(*ledger_.catalogue(), transition.now.backend), rule->codes);
        const auto text = sentence(transition, rule->rule, where);
        spdlog::log(transition.now.state == State::firing ? spdlog::level::warn : spdlog::level::info, "{}", text);
    }
}

/// Before anything is published, so that no restart, not even after the power failed, shows less than was shown.
void Agent::save(const std::optional<std::string>& record) {
    const auto alerts = to_json(going_on(alerts_.alerts));
    auto saved = record ? state_.append(*record, alerts) : Result<bool>(false);
    if (saved && !*saved) {
        const auto all = state_.save(ledger_, json_text(window_.history()), alerts);
        saved = all ? Result<bool>(true) : std::unexpected(all.error());
        malloc_trim(0);  // the whole text is seldom made, and longer than all that a poll needs
    }
    const auto error = saved ? std::string() : saved.error().text();
    if (error != state_error_ && !error.empty()) {
        spdlog::error("{}: a restart would go on from what was saved last, or begin the backends' counters anew",
                      error);
    }
    state_error_ = error;
}

std::vector<TraefikReport> Agent::traefik_reports() const {
    std::vector<TraefikReport> reports;
    for (const auto& [traefik, problem] : traefiks_->watched()) {
        TraefikReport report{.pid = traefik.pid,
                             .cgroup = traefik.cgroup,
                             .api = {},
                             .version = {},
                             .attached = problem.empty(),
                             .problem = problem};
        const auto& sources = catalogues_.sources();
        auto source = sources.find(traefik.pid);
        source = source == sources.end() ? sources.find(-1) : source;
        if (source != sources.end()) {
            report.api = source->second.url;
            report.version = source->second.version;
            report.problem = report.problem.empty() ? source->second.problem : report.problem;
        }
        reports.push_back(std::move(report));
    }
    return reports;
}

Report Agent::report(Snapshot snapshot) const {
    Report report{.at = snapshot.at,
                  .not_ready = traefiks_->all_refused(),
                  .build = {{"version", UPSTAT_VERSION}},
                  .traefik = settings_.push_instance,
                  .traefiks = traefik_reports(),
                  .counts = counts_,
                  .servers = {},
                  .overflow = std::move(snapshot.overflow),
                  .catalogue = ledger_.catalogue(),
                  .ratios = ratios_.at(settings_.rule.name),
                  .alerts = alerts_,
                  .rules = settings_.all_rules(),
                  .kernel_errors = std::move(snapshot.kernel_errors),
                  .maps = std::move(snapshot.maps),
                  .programs = std::move(snapshot.programs),
                  .last_poll = last_poll_,
                  .poll_duration = poll_duration_,
                  .polls = polls_,
                  .push = pusher_.results(),
                  .alertmanager = notifier_->results(),
                  .traefik_api = catalogues_.results(),
                  .process = read_process("/")};
    report.servers = ledger_.view(std::move(snapshot));
    return report;
}

void Agent::publish(Snapshot snapshot) {
    births_.served(web_->served_generation());
    page_ = std::make_shared<const Page>(render(std::make_shared<const Report>(report(std::move(snapshot))), births_));
    web_->publish(page_);
    send();
}

void Agent::send() {
    for (auto& notification : notifier_->due(alerts_, now())) {
        notifier_->started(notification.receiver, http_.start(notification.request));
    }
    if (!push_group_.empty() && page_ && pusher_.due(now())) {
        const PushTarget target{.url = settings_.push_url,
                                .job = settings_.push_job,
                                .instance = settings_.push_instance,
                                .interval = settings_.push_interval};
        pusher_.started(now(), http_.start(push_request(target, push_group_, pushed_text(*page_))), page_->number);
    }
}

void Agent::take(const HttpDone& done) {
    if (catalogues_.take(done)) {
        return;
    }
    if (const auto pushed = pusher_.done(done)) {
        births_.served(pushed->page);
        if (!pushed->problem.empty()) {
            spdlog::warn("Pushgateway: {}", pushed->problem);
        }
    } else if (const auto problem = notifier_->done(done); problem && !problem->empty()) {
        spdlog::warn("Alertmanager: {}", *problem);
    }
}

/// One turn: waits for whatever is next and takes what came; false when the agent is to end.
bool Agent::wait() {
    auto until = waiting_ ? std::min(patience_, next_poll_) : next_poll_;
    if (traefiks_->eager()) {
        until = std::min(until, steady_clock::now() + eager_interval);
    }
    auto fds = traefiks_->fds();
    fds.push_back({.fd = signals_.get(), .events = POLLIN, .revents = 0});
    const auto longest = std::chrono::ceil<Millis>(until - steady_clock::now());
    for (const auto& done : http_.wait(fds, std::clamp(longest, Millis(0), Millis(60000)))) {
        take(done);
    }
    if (fds.back().revents != 0) {
        return false;
    }
    traefiks_->react(steady_clock::now());
    return true;
}

void Agent::run() {
    do {
        web_->heartbeat(now());
        if (steady_clock::now() >= next_poll_) {
            poll();
        }
        if (waiting_ && (!catalogues_.awaited() || steady_clock::now() >= patience_)) {
            absorb(*std::exchange(waiting_, std::nullopt));
        }
    } while (wait());
    say_goodbye();
}

void Agent::say_goodbye() {
    spdlog::info("ending; the programs go on counting until `upstat detach`");
    if (push_group_.empty()) {
        return;
    }
    const auto ticket = http_.start(delete_request(push_group_, exit_patience));
    const auto until = steady_clock::now() + exit_patience;
    while (steady_clock::now() < until) {
        for (const auto& done : http_.wait({}, Millis(100))) {
            if (done.ticket == ticket) {
                return;
            }
        }
    }
}

}  // namespace

Result<void> run_agent(const Settings& settings) {
    const bool pinned_before = Counter::is_pinned(settings.bpf_pin_path);
    mallopt(M_ARENA_MAX, 1);         // a heap for the web's thread would only hold what it once freed
    std::signal(SIGPIPE, SIG_IGN);   // a peer that is gone is an error of its write
    auto signals = watch_signals();  // before any thread is there that could take them
    auto agent = Agent::start(settings, std::move(signals), pinned_before);
    if (!agent) {
        if (!pinned_before) {  // a start that was refused leaves the host as it was
            if (auto detached = Counter::detach(settings.bpf_pin_path); !detached) {
                spdlog::warn("{}", detached.error().text());
            }
        }
        return std::unexpected(agent.error());
    }
    (*agent)->run();
    return {};
}

}  // namespace upstat
