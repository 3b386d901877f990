// SPDX-License-Identifier: Apache-2.0
// The loop, with a made-up clock, host, network and kernel.
#include "agent/agent.hpp"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "agent/fake_parts.hpp"
#include "base/file.hpp"
#include "base/temporary_directory.hpp"
#include "publish/views.hpp"

namespace upstat::agent {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr poll::ResponseKey ok{.code = 200, .method = poll::Method::get};
constexpr poll::ResponseKey missing{.code = 404, .method = poll::Method::get};
const std::string api = "127.0.0.1:8080/api/rawdata";
const std::string rule = judge::Rule{}.name;

Url url(const std::string& text) {
    return parse_url(text).value();
}

HttpResponse rawdata(const std::string& url) {
    return {.status = 200,
            .body = R"({"services":{"shop@file":{"loadBalancer":{"servers":[{"url":")" + url + R"("}]}}}})"};
}

traefik::FakeProcess traefik_process(pid_t pid) {
    return {.pid = pid, .cgroup = "/traefik", .arguments = {"traefik", "--api.insecure"}, .listens = {8080, 8081}};
}

class Loop : public testing::Test {
  protected:
    Loop() {
        host_.cgroup("/traefik", {42});
        host_.process(traefik_process(42));
        network_.responses[api] = rawdata("http://10.0.0.1:80");
        network_.responses["/api/version"] = HttpResponse{.status = 200, .body = R"({"Version":"3.7.15"})"};
        settings_.poll_interval = std::chrono::seconds(5);
        settings_.connect_failures_percent = 5;
        settings_.unanswered_percent = 5;
        settings_.push_interval = std::chrono::seconds(15);
        settings_.web_listen_address = {"127.0.0.1:0"};
        settings_.traefik_allow = {"system"};
        settings_.push_job = "upstat";
        settings_.push_instance = "edge";
        settings_.log_level = "info";
        settings_.state_path = (directory_.path() / "state").string();
    }

    void start(bool counted_before = false) {
        agent_.reset();
        signals_ = std::make_unique<FakeSignals>();
        auto executables = std::make_unique<traefik::ExecutablesHere>();
        executables->silent = "/silent/";
        auto agent = Agent::start(settings_,
                                  {.root = host_.root(),
                                   .clock = clock_.clock(),
                                   .http = std::make_unique<FakeHttp>(network_, clock_),
                                   .catalogue_reader = std::make_unique<FakeReader>(desk_),
                                   .executables = std::move(executables),
                                   .configurations = std::make_unique<FakeConfigurations>(hung_),
                                   .kernel = std::make_unique<FakeKernel>(counts_),
                                   .signals = signals_->take(),
                                   .counted_before = counted_before,
                                   .load = [this] { return next_; },
                                   .seed = 1,
                                   .supervisor = {.tell = [this](const std::string& words) { said_.push_back(words); },
                                                  .patience = patience_}});
        ASSERT_TRUE(agent) << agent.error().text();
        agent_ = std::move(*agent);
    }

    /// The loop for so long, and what a server answers meanwhile, each second.
    void run(Millis time, std::uint64_t good = 0, std::uint64_t bad = 0) {
        const auto until = clock_.gone() + time;
        auto next = clock_.gone();
        for (int turns = 0; clock_.gone() < until; ++turns) {
            ASSERT_LT(turns, 100'000) << "the loop spins";
            ASSERT_TRUE(agent_->turn());
            for (; next < clock_.gone(); next += std::chrono::seconds(1)) {
                answer(good, bad);
            }
        }
    }
    void answer(std::uint64_t good, std::uint64_t bad) {
        auto& totals = counts_.servers[*poll::parse_server("10.0.0.1:80")];
        totals.responses[ok] += good;
        totals.responses[missing] += bad;
        totals.requests += good + bad;
    }
    [[nodiscard]] std::uint64_t counted(const std::string& backend = "shop@file") const {
        std::uint64_t sum = 0;
        if (const auto found = agent_->shown()->counts.backends.find(backend);
            found != agent_->shown()->counts.backends.end()) {
            for (const auto& [series, count] : found->second) {
                sum += count;
            }
        }
        return sum;
    }
    [[nodiscard]] std::ptrdiff_t requests(const std::string& method) const {
        return std::ranges::count(network_.requests, method, &HttpRequest::method);
    }
    /// What the last push says of shop's 404s.
    [[nodiscard]] std::uint64_t pushed_404() const {
        const std::string series =
            R"(traefik_backend_requests_total{backend="shop@file",code="404",method="GET",protocol="http"} )";
        const auto last =
            std::ranges::find(network_.requests.rbegin(), network_.requests.rend(), "PUT", &HttpRequest::method);
        return std::stoull(last->body.substr(last->body.find(series) + series.size()));
    }
    /// What the gateway says of our group.
    void group(const std::string& owner, std::int64_t time) {
        const std::string labels = R"(instance="edge",job="upstat")";
        network_.responses[":9091/metrics"] =
            HttpResponse{.status = 200,
                         .body = "\npush_owner_info{" + labels + ",owner=\"" + owner + "\"} 1\npush_time_seconds{" +
                                 labels + "} " + std::to_string(time) + "\n"};
    }
    [[nodiscard]] std::int64_t wall_seconds() {
        return std::chrono::floor<std::chrono::seconds>(clock_.clock().wall().time_since_epoch()).count();
    }
    [[nodiscard]] std::string page() const { return publish::page_text(*agent_->page()); }
    /// The last message to an Alertmanager.
    [[nodiscard]] std::string told() const {
        const auto found = std::ranges::find_if(network_.requests | std::views::reverse, [](const HttpRequest& one) {
            return one.url.contains("/api/v2/alerts");
        });
        return found == network_.requests.rend() ? std::string() : found->body;
    }
    [[nodiscard]] judge::State state() const {
        const auto& alerts = agent_->shown()->alerts.alerts;
        const auto found = std::ranges::find(alerts, rule, &judge::Alert::rule);
        return found == alerts.end() ? judge::State::inactive : found->state;
    }

    TemporaryDirectory directory_;
    traefik::FakeHost host_;
    FakeClock clock_;
    FakeNetwork network_;
    FakeReader::Desk desk_;
    std::set<pid_t> hung_;  ///< Traefiks whose files lie where no response comes from
    FakeCounts counts_;
    CapturedLog log_;
    config::Settings settings_;
    std::expected<config::Settings, std::vector<Error>> next_;
    std::unique_ptr<FakeSignals> signals_;
    std::vector<std::string> said_;  ///< to the supervisor
    Millis patience_{};              ///< of the supervisor
    std::unique_ptr<Agent> agent_;
};

TEST_F(Loop, CountsForTheBackendThatTheApiNames) {
    start();
    run(std::chrono::seconds(21), 10);
    EXPECT_THAT(counts_.cgroups, testing::ElementsAre(HasSubstr("/traefik")));
    EXPECT_GE(counted(), 150U);
    EXPECT_EQ(agent_->shown()->traefiks.at(0).version, "3.7.15");
    EXPECT_EQ(agent_->shown()->not_ready, "");
    EXPECT_GE(agent_->shown()->polls.success, 4U);
}

TEST_F(Loop, AnApiElsewhereIsAskedByNoProxyAndReceiversMayBe) {
    settings_.traefik_api = {url("http://traefik.test:8080")};
    settings_.push_url = url("http://gateway.test:9091");
    start();
    run(std::chrono::seconds(6));
    ASSERT_GT(network_.asked("traefik.test"), 0U);
    ASSERT_GT(network_.asked("gateway.test"), 0U);
    for (const auto& request : network_.requests) {
        EXPECT_EQ(request.direct, request.url.contains("traefik.test")) << request.url;
    }
}

TEST_F(Loop, APollThatFailsJudgesNothingAndTheNextGoesOn) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    EXPECT_EQ(state(), judge::State::firing);
    const auto before = agent_->shown();
    counts_.failure = Error{.kind = Error::Kind::runtime, .message = "the map is away", .hint = {}};
    run(std::chrono::minutes(1), 8, 2);
    EXPECT_EQ(agent_->shown(), before) << "a failed poll publishes nothing";
    EXPECT_THAT(log_.text(), HasSubstr("the map is away: nothing is judged until a poll succeeds"));
    counts_.failure.reset();
    run(std::chrono::seconds(10), 8, 2);
    EXPECT_EQ(state(), judge::State::firing);
    EXPECT_EQ(log_.count("is firing"), 1U);
    EXPECT_GE(agent_->shown()->polls.failure, 11U);
}

TEST_F(Loop, AnApiThatHangsHoldsAPollUpOnceAndNoLongerThanASecond) {
    start();
    run(std::chrono::seconds(11), 10);
    network_.responses.erase(api);
    const auto before = counted();
    const auto asked = network_.asked(api);
    run(std::chrono::seconds(30), 10);
    EXPECT_GE(counted(), before + 250) << "the catalogue at hand goes on";
    EXPECT_EQ(network_.asked(api), asked + 1) << "one at a time";
}

TEST_F(Loop, NothingWaitsForAResponseThatTakesLongToRead) {
    start();
    run(std::chrono::seconds(11), 10);
    network_.responses[api] = rawdata("http://10.0.0.2:80");
    desk_.held = true;
    run(std::chrono::seconds(10), 10);
    const auto polls = agent_->shown()->polls.success;
    const auto before = counted();
    const auto asked = network_.asked(api);
    run(std::chrono::seconds(30), 10);
    EXPECT_GE(agent_->shown()->polls.success, polls + 5) << "a poll each 5 s, and one more second at most";
    EXPECT_GE(counted(), before + 200) << "the catalogue at hand goes on";
    EXPECT_EQ(network_.asked(api), asked) << "nothing is asked again before it is read";
    next_ = settings_;
    signals_->send(SIGHUP);
    run(std::chrono::seconds(6), 10);
    EXPECT_TRUE(agent_->shown()->config_reloaded);
    desk_.held = false;
    run(std::chrono::seconds(6), 10);
    const auto& listed = agent_->shown()->catalogue->backends.at("shop@file").listed;
    EXPECT_EQ(listed.at(0).url, "http://10.0.0.2:80");
    EXPECT_GT(network_.asked(api), asked);
}

TEST_F(Loop, WhereThereIsTooMuchToReadItIsAskedAgainLater) {
    desk_.full = true;
    start();
    run(std::chrono::seconds(11), 10);
    EXPECT_THAT(log_.text(), HasSubstr("has to wait: there is too much to read"));
    EXPECT_EQ(counted(), 0U);
    desk_.full = false;
    run(std::chrono::seconds(11), 10);
    EXPECT_TRUE(agent_->shown()->catalogue->backends.contains("shop@file"));
}

TEST_F(Loop, ATraefikThatGoesAndComesBackIsCountedAgain) {
    start();
    run(std::chrono::seconds(11), 10);
    std::filesystem::remove_all(host_.at("/proc/42"));
    std::filesystem::remove_all(host_.at("/sys/fs/cgroup/traefik"));
    run(std::chrono::seconds(11));
    EXPECT_TRUE(agent_->shown()->traefiks.empty());
    EXPECT_TRUE(counts_.cgroups.empty());
    host_.cgroup("/traefik", {43});
    host_.process(traefik_process(43));
    const auto before = clock_.gone();
    while (counts_.cgroups.empty() && clock_.gone() < before + std::chrono::seconds(20)) {
        ASSERT_TRUE(agent_->turn());
    }
    EXPECT_LT(clock_.gone(), before + std::chrono::seconds(5)) << "at once, not at the next poll";
    const auto total = counted();
    run(std::chrono::seconds(11), 10);
    EXPECT_EQ(agent_->shown()->traefiks.at(0).pid, 43);
    EXPECT_GT(counted(), total);
}

TEST_F(Loop, AFullDiskIsSaidOnceAndEndsNothing) {
    start();
    run(std::chrono::seconds(11), 10);
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
    run(std::chrono::seconds(31), 10);
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(log_.count("the state is not saved"), 2U) << "once for the line, once for the whole: " << log_.text();
    const auto counted_then = counted();
    EXPECT_GE(counted_then, 350U);
    run(std::chrono::seconds(6), 10);
    const auto total = counted();
    start();
    run(std::chrono::seconds(1));
    EXPECT_GE(counted(), total) << "all is saved again once there is room";
}

TEST_F(Loop, AReceiverThatNeverAnswersHoldsNothingUp) {
    settings_.push_url = url("http://10.9.9.9:9091");
    settings_.alertmanager_url = {url("http://10.9.9.9:9093")};
    start();
    run(std::chrono::minutes(6), 8, 2);
    EXPECT_EQ(state(), judge::State::firing);
    EXPECT_GE(agent_->shown()->polls.success, 71U);
    EXPECT_EQ(network_.asked(":9091/metrics"), 1U);
    EXPECT_EQ(network_.asked(":9093/api/v2/alerts"), 1U);
}

/// The lines of the log that are about this.
std::vector<std::string> lines_with(const CapturedLog& log, const std::string& part) {
    std::vector<std::string> lines;
    std::istringstream all(log.text());
    for (std::string line; std::getline(all, line);) {
        if (line.contains(part)) {
            lines.push_back(line);
        }
    }
    return lines;
}

TEST_F(Loop, TenMinutesWithoutReceiversAndApiAreTwoLinesEach) {
    settings_.push_url = url("http://10.9.9.9:9091");
    settings_.alertmanager_url = {url("http://10.9.9.8:9093"), url("http://10.9.9.9:9093")};
    const HttpResponse well{.status = 200};
    network_.responses[":9091"] = well;
    network_.responses[":9093"] = well;
    start();
    run(std::chrono::minutes(5), 8, 2);
    ASSERT_EQ(state(), judge::State::firing);
    const auto told = [this] { return network_.asked("10.9.9.9:9093"); };
    EXPECT_EQ(log_.count("Alertmanager: "), 0U);

    network_.responses.clear();
    network_.responses["10.9.9.8:9093"] = well;
    network_.responses["10.9.9.9"] = std::unexpected("connection refused");
    network_.responses[api] = HttpResponse{.status = 502};
    const auto before = told();
    run(std::chrono::minutes(10), 8, 2);
    EXPECT_LE(told() - before, 25U) << "not at every poll";
    network_.responses["10.9.9.9"] = well;
    network_.responses[api] = rawdata("http://10.0.0.1:80");
    run(std::chrono::minutes(1) + std::chrono::seconds(5), 8, 2);
    for (const auto* who : {"Alertmanager: ", "Pushgateway: ", "Traefik's API: "}) {
        const auto lines = lines_with(log_, who);
        ASSERT_EQ(lines.size(), 2U) << log_.text();
        EXPECT_THAT(lines[1], HasSubstr("works again after"));
    }
    EXPECT_EQ(agent_->shown()->alertmanagers.at("http://10.9.9.9:9093").last_error, "");
    EXPECT_GE(agent_->shown()->alertmanagers.at("http://10.9.9.9:9093").failure, 12U);
    EXPECT_EQ(agent_->shown()->alertmanagers.at("http://10.9.9.8:9093").failure, 0U);
}

TEST_F(Loop, AFileThatIsNotThereIsAMistakeOfTheStartAndOfAReload) {
    start();
    run(std::chrono::seconds(6));
    next_ = settings_;
    next_->alertmanager_url = {url("https://10.9.9.9:9093")};
    next_->alertmanager_files.ca_file = "/nowhere/ca.pem";
    signals_->send(SIGHUP);
    run(std::chrono::seconds(6));
    EXPECT_FALSE(agent_->shown()->config_reloaded);
    EXPECT_THAT(log_.text(), HasSubstr("alertmanager.ca-file: cannot read /nowhere/ca.pem: No such file or directory"));
    EXPECT_TRUE(agent_->shown()->alertmanagers.empty());
}

TEST_F(Loop, AnAlertThatFiresGoesOnOverARestart) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    ASSERT_EQ(state(), judge::State::firing);
    const auto since = agent_->shown()->alerts.alerts.at(0).firing_since;
    const auto total = counted();
    agent_.reset();
    answer(80, 20);
    clock_.pass(std::chrono::seconds(10));
    start(true);
    run(std::chrono::seconds(6), 8, 2);
    EXPECT_EQ(state(), judge::State::firing);
    EXPECT_EQ(agent_->shown()->alerts.alerts.at(0).firing_since, since);
    EXPECT_EQ(log_.count("is firing"), 1U);
    EXPECT_GE(counted(), total + 100) << "what was counted while it was away";
}

TEST_F(Loop, NothingIsForgottenBeforeTheApiHasSpoken) {
    settings_.forget_after = std::chrono::hours(1);
    start();
    run(std::chrono::seconds(11), 10);
    const auto total = counted();
    ASSERT_GT(total, 0U);
    network_.responses[api] = HttpResponse{.status = 200, .body = R"({"services":{}})"};
    run(std::chrono::seconds(11));
    agent_.reset();
    clock_.pass(std::chrono::hours(3));
    network_.responses[api] = HttpResponse{.status = 503, .body = {}};
    start(true);
    run(std::chrono::seconds(11));
    network_.responses[api] = rawdata("http://10.0.0.1:80");
    run(std::chrono::minutes(2));
    EXPECT_GE(counted(), total) << "it was listed again while the agent was away";
}

TEST_F(Loop, SocketsAreWalkedOverWhenSomebodyAsksAndOnceAPoll) {
    start();
    run(std::chrono::minutes(1));
    EXPECT_EQ(counts_.walks, 1U) << "it waits for whoever asks";
    EXPECT_FALSE(agent_->shown()->sockets->is_over());
    for (int reader = 0; reader < 3; ++reader) {
        EXPECT_TRUE(agent_->shown()->sockets->sockets()->all.empty());
    }
    EXPECT_EQ(counts_.walks, 1U) << "they share one";
    run(std::chrono::minutes(1));
    EXPECT_EQ(counts_.walks, 2U);
    EXPECT_FALSE(agent_->shown()->sockets->is_over());
}

TEST_F(Loop, AnyOtherSignalEndsIt) {
    start();
    signals_->send(SIGTERM);
    EXPECT_FALSE(agent_->turn());
}

// --- the wall clock ---

/// By which it is set, in seconds.
class Stepped : public Loop, public testing::WithParamInterface<int> {
  protected:
    Stepped() {
        settings_.alertmanager_url = {url("http://10.9.9.9:9093")};
        network_.responses[":9093"] = HttpResponse{.status = 200, .body = {}};
        host_.write("/proc/sys/kernel/random/boot_id", "boot-a\n");
    }
    void step() { clock_.step(std::chrono::seconds(GetParam())); }

    [[nodiscard]] std::vector<nlohmann::json> sent() const {
        std::vector<nlohmann::json> alerts;
        for (const auto& request : network_.requests) {
            if (request.url.contains(":9093")) {
                alerts.push_back(nlohmann::json::parse(request.body).at(0));
            }
        }
        return alerts;
    }
    [[nodiscard]] double percent() const { return agent_->shown()->alerts.alerts.at(0).percent.value_or(-1); }
    [[nodiscard]] std::optional<Moment> firing_since() const {
        return agent_->shown()->alerts.alerts.at(0).firing_since;
    }
    void expect_goes_on(const std::optional<Moment>& since) const {
        EXPECT_EQ(state(), judge::State::firing);
        EXPECT_EQ(firing_since(), since);
        EXPECT_NEAR(percent(), 20, 1e-6);
        EXPECT_EQ(log_.count(" is firing") + log_.count(" is resolved"), 1U) << log_.text();
        for (const auto& alert : sent()) {
            EXPECT_EQ(alert.at("startsAt"), sent().front().at("startsAt"));
            EXPECT_GE(alert.at("endsAt").get<std::string>(), alert.at("startsAt").get<std::string>());
        }
    }
};

TEST_P(Stepped, AnAlertThatFiresGoesOn) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    ASSERT_EQ(state(), judge::State::firing);
    const auto since = firing_since();
    const auto messages = sent().size();
    step();
    run(std::chrono::seconds(6), 8, 2);
    expect_goes_on(since);
    run(std::chrono::minutes(6), 8, 2);
    expect_goes_on(since);
    EXPECT_GE(sent().size(), messages + 6) << "one a minute, as before";
    EXPECT_LE(sent().size(), messages + 7);
    EXPECT_EQ(agent_->shown()->at, *agent_->shown()->last_poll);
    EXPECT_LE(std::chrono::abs(agent_->shown()->at - clock_.clock().wall()), std::chrono::seconds(6))
        << "is the wall's";
}

TEST_P(Stepped, OneThatEndsIsToldSo) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    step();
    run(std::chrono::minutes(4), 10, 0);
    ASSERT_EQ(state(), judge::State::inactive);
    const auto last = sent().back();
    const auto now = rfc3339(clock_.clock().wall());
    EXPECT_LE(last.at("endsAt").get<std::string>(), now) << "it has ended";
    EXPECT_LE(last.at("startsAt").get<std::string>(), last.at("endsAt").get<std::string>());
}

TEST_P(Stepped, APendingOneFiresWhenItIsTime) {
    start();
    while (!agent_->shown() || state() != judge::State::pending) {
        run(std::chrono::seconds(1), 8, 2);
    }
    const auto pending = clock_.gone();
    run(std::chrono::seconds(20), 8, 2);
    step();
    while (state() == judge::State::pending) {
        run(std::chrono::seconds(1), 8, 2);
    }
    EXPECT_EQ(state(), judge::State::firing);
    EXPECT_NEAR(static_cast<double>((clock_.gone() - pending).count()), 60'000, 1'100);
}

TEST_P(Stepped, QuietStaysQuiet) {
    start();
    run(std::chrono::minutes(5), 97, 3);
    step();
    run(std::chrono::minutes(5), 97, 3);
    EXPECT_EQ(state(), judge::State::inactive);
    EXPECT_NEAR(percent(), 3, 1e-6);
    EXPECT_EQ(log_.count("pending"), 0U);
}

TEST_P(Stepped, WhileTheAgentIsAwayItGoesOn) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    const auto since = firing_since();
    agent_.reset();
    answer(80, 20);
    clock_.pass(std::chrono::seconds(10));
    step();
    start(true);
    run(std::chrono::seconds(6), 8, 2);
    expect_goes_on(since);
    run(std::chrono::minutes(4), 8, 2);
    expect_goes_on(since);
}

TEST_P(Stepped, BeforeAReboot) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    step();
    run(std::chrono::minutes(5), 8, 2);
    const auto since = firing_since();
    agent_.reset();
    clock_.pass(std::chrono::seconds(20));
    clock_.reboot();
    host_.write("/proc/sys/kernel/random/boot_id", "boot-b\n");
    start();
    run(std::chrono::seconds(6), 8, 2);
    expect_goes_on(since);
}

INSTANTIATE_TEST_SUITE_P(Clock, Stepped, testing::Values(3600, -3600, 10, -10, 86400, -86400), [](const auto& step) {
    return (step.param < 0 ? "back" : "forth") + std::to_string(std::abs(step.param));
});

/// A slow drift is no step either: nothing is spaced by it, and what leaves is by the wall clock of its moment.
TEST_F(Loop, AWallClockThatIsSlewedForHoursMovesNothing) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    const auto since = agent_->shown()->alerts.alerts.at(0).firing_since;
    for (int i = 0; i < 200; ++i) {
        clock_.step(Millis(25));
        run(std::chrono::seconds(50), 8, 2);
    }
    EXPECT_EQ(agent_->shown()->alerts.alerts.at(0).firing_since, since);
    EXPECT_EQ(log_.count("is firing"), 1U);
    EXPECT_LE(std::chrono::abs(agent_->shown()->at - clock_.clock().wall()), std::chrono::seconds(6));
}

TEST_F(Loop, TheRatioOf4xxIsOf4xxWhateverTheRuleIsAbout) {
    settings_.rule.codes = "2..";
    start();
    run(std::chrono::minutes(1), 8, 2);
    EXPECT_NEAR(*agent_->shown()->client_errors.backends.at("shop@file").value(), 0.2, 0.01);
    EXPECT_NEAR(*agent_->shown()->alerts.alerts.at(0).ratio.value(), 0.8, 0.01);
}

TEST_F(Loop, AlertmanagerIsToldTheServerAndNoDeadLink) {
    settings_.alertmanager_url = {url("http://10.9.9.9:9093")};
    network_.responses[":9093"] = HttpResponse{.status = 200, .body = {}};
    start();
    run(std::chrono::minutes(5), 8, 2);
    ASSERT_EQ(state(), judge::State::firing);
    const auto body = told();
    EXPECT_THAT(body, HasSubstr("most come from server 10.0.0.1:80: "));
    EXPECT_THAT(body, Not(HasSubstr("generatorURL"))) << "it listens on loopback";
    next_ = settings_;
    next_->web_external_url = url("https://edge.test/upstat");
    signals_->send(SIGHUP);
    run(std::chrono::minutes(2), 8, 2);
    EXPECT_THAT(told(), HasSubstr(R"("generatorURL":"https://edge.test/upstat/?alert=)"));
}

TEST_F(Loop, AnOutageDoesNotReadAsHealth) {
    settings_.alertmanager_url = {url("http://10.9.9.9:9093")};
    network_.responses[":9093"] = HttpResponse{.status = 200, .body = {}};
    start();
    run(std::chrono::minutes(5), 8, 2);
    ASSERT_EQ(state(), judge::State::firing);
    for (int poll = 0; poll < 48; ++poll) {
        run(std::chrono::seconds(5));
        counts_.servers[*poll::parse_server("10.0.0.1:80")].connect_failures["refused"] += 180;
    }
    ASSERT_EQ(state(), judge::State::inactive) << "as Prometheus has it";
    EXPECT_THAT(agent_->shown()->outages.at("shop@file"),
                testing::MatchesRegex("no responses for .*, 3[5-7] connects a second refused"));
    EXPECT_THAT(log_.text(), testing::ContainsRegex(
                                 "is resolved for backend shop@file: no responses for [23]m.*refused; its share"));
    EXPECT_THAT(told(), HasSubstr("connects a second refused"));
    run(std::chrono::seconds(10), 8);
    EXPECT_TRUE(agent_->shown()->outages.empty());
}

/// Whether each alert that is not inactive is of that rule.
const judge::Alert* alert_of(const publish::Report& report, std::string_view rule) {
    const auto found = std::ranges::find(report.alerts.alerts, rule, &judge::Alert::rule);
    return found == report.alerts.alerts.end() ? nullptr : &*found;
}

TEST_F(Loop, AnOutageIsAnAlertOfItsOwn) {
    settings_.alertmanager_url = {url("http://10.9.9.9:9093")};
    network_.responses[":9093"] = HttpResponse{.status = 200, .body = {}};
    start();
    run(std::chrono::minutes(5), 8);
    EXPECT_EQ(alert_of(*agent_->shown(), config::connect_failures_rule), nullptr) << "nothing ever failed";
    const auto outage = [&](int polls) {
        for (; polls > 0; --polls) {
            counts_.servers[*poll::parse_server("10.0.0.1:80")].connect_failures["refused"] += 180;
            run(std::chrono::seconds(5));
        }
    };
    outage(48);
    const auto* alert = alert_of(*agent_->shown(), config::connect_failures_rule);
    ASSERT_EQ(alert->state, judge::State::firing);
    EXPECT_DOUBLE_EQ(*alert->percent, 100);
    EXPECT_EQ(alert->worst->server, "10.0.0.1:80");
    EXPECT_THAT(told(), HasSubstr("Traefik high connect failure rate backend shop@file"));
    EXPECT_THAT(log_.text(), HasSubstr("UpstatBackendConnectFailures is firing for backend shop@file: no responses"));

    start(true);
    run(std::chrono::seconds(1));
    ASSERT_EQ(alert_of(*agent_->shown(), config::connect_failures_rule)->state, judge::State::firing)
        << "the restart knows no failure yet, and that is no end";
    outage(2);
    EXPECT_EQ(alert_of(*agent_->shown(), config::connect_failures_rule)->state, judge::State::firing);
    run(std::chrono::minutes(4), 8);
    EXPECT_EQ(alert_of(*agent_->shown(), config::connect_failures_rule)->state, judge::State::inactive);
    EXPECT_THAT(log_.text(), HasSubstr("UpstatBackendConnectFailures is resolved for backend shop@file: 0 % of"));
}

TEST_F(Loop, RequestsLeftWithoutAResponseAreAnAlert) {
    settings_.connect_failures_percent = 100;
    start();
    for (int poll = 0; poll < 48; ++poll) {
        auto& server = counts_.servers[*poll::parse_server("10.0.0.1:80")];
        server.requests += 2;
        server.unanswered["closed"] += 2;
        server.connect_failures["refused"] += 100;
        run(std::chrono::seconds(5), 8);
    }
    EXPECT_EQ(alert_of(*agent_->shown(), config::connect_failures_rule), nullptr) << "it is off";
    EXPECT_EQ(alert_of(*agent_->shown(), config::unanswered_rule)->state, judge::State::inactive) << "2 of 110";
    settings_.unanswered_percent = 1;
    next_ = settings_;
    signals_->send(SIGHUP);
    for (int poll = 0; poll < 24; ++poll) {
        counts_.servers[*poll::parse_server("10.0.0.1:80")].unanswered["closed"] += 2;
        run(std::chrono::seconds(5), 8);
    }
    EXPECT_EQ(alert_of(*agent_->shown(), config::unanswered_rule)->state, judge::State::firing);
}

TEST_F(Loop, SaysOnceThatTheHostHasAnotherName) {
    host_.write("/proc/sys/kernel/hostname", "edge\n");
    start();
    run(std::chrono::seconds(10));
    EXPECT_THAT(log_.text(), Not(HasSubstr("this host is called")));
    host_.write("/proc/sys/kernel/hostname", "edge-2\n");
    run(std::chrono::seconds(20));
    const auto said = log_.text();
    const std::string sentence = "this host is called edge-2 now";
    EXPECT_THAT(said, HasSubstr(sentence));
    EXPECT_EQ(said.find(sentence), said.rfind(sentence)) << "once";
    EXPECT_EQ(agent_->shown()->agent, "edge");
}

// --- reload ---

TEST_F(Loop, HangUpReadsTheSettingsAgain) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    ASSERT_EQ(state(), judge::State::firing);
    const auto total = counted();
    settings_.rule.threshold_percent = 50;
    settings_.poll_interval = std::chrono::seconds(1);
    next_ = settings_;
    signals_->send(SIGHUP);
    run(std::chrono::seconds(10), 8, 2);
    EXPECT_EQ(state(), judge::State::inactive);
    EXPECT_TRUE(agent_->shown()->config_reloaded);
    EXPECT_EQ(agent_->shown()->rules.at(0).threshold_percent, 50);
    EXPECT_THAT(log_.text(), HasSubstr("the settings are reloaded"));
    EXPECT_GE(counted(), total) << "no count is lost by a reload";
    const auto polls = agent_->shown()->polls.success;
    run(std::chrono::seconds(10), 8, 2);
    EXPECT_GE(agent_->shown()->polls.success, polls + 9);
}

TEST_F(Loop, AnEntryPointOfClientsIsNotAskedForTheApi) {
    host_.write("/proc/42/root/etc/traefik/traefik.yml", "api: {}\nentryPoints: {web: {address: ':8080'}}\n");
    start();
    run(std::chrono::minutes(1), 10);
    EXPECT_EQ(requests("GET"), 0);
    EXPECT_EQ(log_.count("Traefik's API is not asked: Traefik's entry point 'web' is on port 8080"), 1U) << log_.text();
    EXPECT_THAT(agent_->shown()->traefiks.at(0).problem, HasSubstr("--backends.file"));
    host_.write("/proc/42/root/etc/traefik/traefik.yml",
                "{entryPoints: {web: {address: ':80'}}, api: {insecure: true}}\n");
    run(std::chrono::seconds(10), 10);
    EXPECT_GT(counted(), 0U);
    EXPECT_EQ(agent_->shown()->traefiks.at(0).problem, "");
}

TEST_F(Loop, WhereTheConfigurationHasNoApiNobodyIsAsked) {
    host_.write("/proc/42/cmdline", std::string("traefik") + '\0' + "--entrypoints.web.address=:80" + '\0');
    start();
    run(std::chrono::minutes(1), 10);
    EXPECT_EQ(requests("GET"), 0);
    EXPECT_EQ(log_.count("has neither an api nor an entry point 'traefik'"), 1U) << log_.text();
    EXPECT_THAT(agent_->shown()->traefiks.at(0).problem, HasSubstr("--backends.file"));
}

/// Who took Traefik's port, before it started or since, could name any server.
TEST_F(Loop, AStrangerOnTheApisPortIsNeitherAskedNorBelieved) {
    start();
    run(std::chrono::seconds(11), 10);
    const auto before = network_.asked(api);
    ASSERT_GT(counted(), 0U);
    std::filesystem::remove_all(host_.at("/proc/42/fd"));
    network_.responses[api] = HttpResponse{.status = 200, .body = R"({"services":{}})"};
    const auto total = counted();
    run(std::chrono::minutes(1), 10);
    EXPECT_LE(network_.asked(api), before + 1);
    EXPECT_GE(counted(), total + 400) << "the catalogue from before";
    EXPECT_EQ(log_.count("another process than Traefik (pid 42) listens on 127.0.0.1:8080"), 1U) << log_.text();
    EXPECT_THAT(agent_->shown()->traefiks.at(0).problem, HasSubstr("another process than Traefik"));
}

/// Between two polls the id may go to a process that nobody has judged.
TEST_F(Loop, WhoeverHasTheIdOfATraefikThatHasEndedIsNotAsked) {
    settings_.poll_interval = std::chrono::seconds(60);
    start();
    run(std::chrono::seconds(31), 10);
    const auto before = network_.asked(api);
    host_.write("/proc/42/stat", "42 (traefik) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 9999 0 0\n");
    network_.responses[api] = HttpResponse{.status = 200, .body = R"({"services":{}})"};
    run(std::chrono::seconds(25), 10);
    EXPECT_EQ(network_.asked(api), before);
    EXPECT_THAT(log_.text(), HasSubstr("Traefik (pid 42) has ended: its API is not asked any more"));
    run(std::chrono::seconds(61), 10);
    EXPECT_GT(network_.asked(api), before) << "by then it is known for another Traefik";
}

TEST_F(Loop, AnApiThatChangesAtEachQuestionFillsNoLog) {
    start();
    for (int second = 0; second < 300; ++second) {
        network_.responses[api] = rawdata("http://10.0.0.1:80/" + std::string(600 + second, 'x'));
        run(std::chrono::seconds(1));
    }
    EXPECT_LE(log_.count("names of more than 512 bytes"), 16U);
    EXPECT_GE(log_.count("names of more than 512 bytes"), 10U);
    EXPECT_GE(log_.count("more lines of the API of Traefik (pid 42) are not said"), 1U) << log_.text();
}

TEST_F(Loop, AnApiThatIsNoneIsLeftAloneMoreAndMore) {
    network_.responses[api] = HttpResponse{.status = 404};
    network_.responses["127.0.0.1:8080/api/providers"] = HttpResponse{.status = 404};
    start();
    run(std::chrono::minutes(10), 10);
    EXPECT_LE(network_.requests.size(), 40U);
    network_.responses[api] = rawdata("http://10.0.0.1:80");
    run(std::chrono::minutes(3), 10);
    EXPECT_GT(counted(), 0U);
}

HttpResponse listed_by(const std::string& backend) {
    return {
        .status = 200,
        .body = R"({"services":{")" + backend + R"(":{"loadBalancer":{"servers":[{"url":"http://10.0.0.1:80"}]}}}})"};
}

/// What was counted before the catalogue changed is the previous backend's, though the next poll is seconds away.
TEST_F(Loop, AServerThatMovesBetweenTwoPollsTakesNothingAlong) {
    settings_.poll_interval = std::chrono::seconds(60);
    start();
    run(std::chrono::seconds(31), 100);
    network_.responses[api] = listed_by("blog@file");
    run(std::chrono::seconds(30), 0, 100);
    run(std::chrono::seconds(61), 0, 100);
    EXPECT_NEAR(static_cast<double>(counted("blog@file")), 9000, 200) << "within a second or two";
    network_.responses[api] = listed_by("shop@file");  // as it was, so that its counts are shown again
    run(std::chrono::seconds(61));
    EXPECT_NEAR(static_cast<double>(counted("shop@file")), 3100, 200);
    start(true);
    run(std::chrono::seconds(61));
    EXPECT_NEAR(static_cast<double>(counted("shop@file")), 3100, 200) << "nor over a restart";
}

TEST_F(Loop, WhereAFileOfTheProviderChangesTheApiIsAskedAtOnceAndOften) {
    host_.write("/proc/42/root/etc/traefik/traefik.yml",
                "{api: {insecure: true}, providers: {file: {filename: /conf/d.yml}}}\n");
    host_.write("/proc/42/root/conf/d.yml", "a");
    start();
    run(std::chrono::seconds(6));
    const auto before = network_.asked(api);
    host_.write("/proc/42/root/conf/d.yml", "b");
    run(Millis(1100));  // which ends with the wait that was under way
    run(std::chrono::seconds(2));
    EXPECT_GE(network_.asked(api), before + 80);
    const auto after = network_.asked(api);
    run(std::chrono::seconds(60));
    EXPECT_LE(network_.asked(api), after + 300) << "for a few seconds";
}

/// A file beside it may be written all the time.
TEST_F(Loop, SignsWithoutEndCostFewQuestions) {
    host_.write("/proc/42/root/etc/traefik/traefik.yml",
                "{api: {insecure: true}, providers: {file: {directory: /conf}}}\n");
    host_.write("/proc/42/root/conf/d.yml", "a");
    start();
    for (int second = 0; second < 600; ++second) {
        host_.write("/proc/42/root/conf/access.log", std::to_string(second));
        run(std::chrono::seconds(1));
    }
    EXPECT_LE(network_.asked(api), 600U + 250 + 1200 + 100);
}

/// Each turn finds another change, and time goes by only while the loop waits.
TEST_F(Loop, ADirectoryThatChangesAllTheTimeKeepsNoLoopAwake) {
    host_.write("/proc/42/root/etc/traefik/traefik.yml",
                "{api: {insecure: true}, providers: {file: {directory: /conf}}}\n");
    host_.write("/proc/42/root/conf/d.yml", "a");
    start();
    run(std::chrono::seconds(6));
    const auto before = clock_.gone();
    for (int turn = 0; turn < 400; ++turn) {
        host_.write("/proc/42/root/conf/access.log", std::to_string(turn));
        ASSERT_TRUE(agent_->turn());
    }
    EXPECT_GE(clock_.gone(), before + std::chrono::seconds(2));
}

TEST_F(Loop, AConfigurationFromWhichNoResponseComesHoldsNothingUp) {
    host_.cgroup("/two", {43});
    host_.process({.pid = 43,
                   .cgroup = "/two",
                   .arguments = {"traefik", "--api.insecure", "--entrypoints.traefik.address=:8081"},
                   .listens = {8081}});
    network_.responses["127.0.0.1:8081/api/rawdata"] = HttpResponse{.status = 200, .body = R"({"services":{}})"};
    start();
    run(std::chrono::seconds(11), 10);
    const auto total = counted();
    hung_ = {42};
    start(true);
    const auto asked = network_.asked(api);
    run(std::chrono::minutes(1), 10);
    EXPECT_EQ(network_.asked(api), asked) << "it is not known where";
    EXPECT_GE(counted(), total + 400) << "the catalogue from before stays";
    EXPECT_GE(agent_->shown()->polls.success, 10U);
    EXPECT_EQ(log_.count("the files of Traefik (pid 42) lie where no response comes from"), 1U) << log_.text();
    EXPECT_THAT(agent_->shown()->traefiks.at(0).problem, HasSubstr("lie where no response comes from"));
}

TEST_F(Loop, AStaticMapThatChangesIsReadAgain) {
    const auto file = directory_.path() / "backends.yml";
    std::ofstream(file) << "backends: {shop@static: ['10.0.0.1:80']}\n";
    settings_.backends_file = file.string();
    start();
    run(std::chrono::seconds(11), 10);
    ASSERT_GT(counted("shop@static"), 0U);
    std::ofstream(file) << "backends: [\n";
    run(std::chrono::seconds(11), 10);
    EXPECT_THAT(log_.text(), HasSubstr("its backends stay as they were"));
    const auto shop = counted("shop@static");
    std::ofstream(file) << "backends: {blog@static: ['10.0.0.1:80']}\n";
    run(std::chrono::seconds(21), 10);
    EXPECT_GE(counted("blog@static"), 100U);
    EXPECT_GT(shop, 0U);
    EXPECT_EQ(counted("shop@static"), 0U) << "it is listed no more";
}

/// As with the defaults of Traefik's Helm chart.
TEST_F(Loop, WithoutAnApiEachServerIsShownAndJudgedByItsAddress) {
    host_.write("/proc/42/cmdline", std::string("traefik") + '\0' + "--entrypoints.web.address=:80" + '\0');
    start();
    run(std::chrono::minutes(6), 8, 2);
    EXPECT_GE(counted("10.0.0.1:80"), 3500U);
    const auto& alerts = agent_->shown()->alerts.alerts;
    ASSERT_EQ(alerts.size(), 1U);
    EXPECT_EQ(alerts.front().backend, "10.0.0.1:80");
    EXPECT_EQ(alerts.front().state, judge::State::firing);
    EXPECT_EQ(log_.count("no backend is known, so each server is shown"), 1U) << log_.text();
    EXPECT_THAT(agent_->shown()->notice, HasSubstr("--backends.file"));
    EXPECT_EQ(agent_->shown()->not_ready, "");
    EXPECT_THAT(page(), HasSubstr(R"(upstat_backend_server_info{backend="10.0.0.1:80",server="10.0.0.1:80")"));
    host_.write("/proc/42/cmdline", std::string("traefik") + '\0' + "--api.insecure" + '\0');
    run(std::chrono::seconds(21), 10);
    EXPECT_GE(counted("shop@file"), 100U);
    EXPECT_EQ(counted("10.0.0.1:80"), 0U) << "it is no backend any more";
    EXPECT_EQ(agent_->shown()->notice, "");
}

TEST_F(Loop, AnApiThatNeverAnswersIsWaitedForHalfAMinute) {
    network_.responses[api] = HttpResponse{.status = 502};
    start();
    run(std::chrono::seconds(25), 10);
    EXPECT_EQ(agent_->shown()->notice, "");
    run(std::chrono::seconds(30), 10);
    EXPECT_GE(counted("10.0.0.1:80"), 400U);
    network_.responses[api] = rawdata("http://10.0.0.1:80");
    run(std::chrono::seconds(90), 10);
    EXPECT_GT(counted("shop@file"), 0U);
    const auto shop = counted("shop@file");
    network_.responses[api] = HttpResponse{.status = 502};
    run(std::chrono::minutes(3), 10);
    EXPECT_EQ(agent_->shown()->notice, "") << "what it said once stays";
    EXPECT_GT(counted("shop@file"), shop);
}

TEST_F(Loop, AProxyInTraefiksEnvironmentIsSaid) {
    host_.write("/proc/42/environ", std::string("HTTP_PROXY=http://u:secret@10.9.9.9:3128") + '\0');
    start();
    run(std::chrono::seconds(21), 10);
    EXPECT_EQ(log_.count("Traefik (pid 42) has HTTP_PROXY in its environment"), 1U) << log_.text();
    EXPECT_THAT(agent_->shown()->notice, HasSubstr("HTTP_PROXY"));
    EXPECT_THAT(log_.text(), Not(HasSubstr("secret")));
}

TEST_F(Loop, WhenTraefikIsGoneNoServerIsUp) {
    start();
    run(std::chrono::seconds(11), 10);
    EXPECT_THAT(page(), HasSubstr("upstat_traefik_up 1\n"));
    EXPECT_THAT(page(), HasSubstr(R"(traefik_backend_server_up{backend="shop@file",url="http://10.0.0.1:80"} 1)"));
    std::filesystem::remove_all(host_.at("/proc/42"));
    std::filesystem::remove_all(host_.at("/sys/fs/cgroup/traefik"));
    run(std::chrono::seconds(11));
    EXPECT_THAT(page(), HasSubstr("upstat_traefik_up 0\n"));
    EXPECT_THAT(page(), Not(HasSubstr("traefik_backend_server_up{")));
}

TEST_F(Loop, InASharedCgroupOnlyTraefiksProcessesCount) {
    host_.process({.pid = 40, .exe = "/bin/tmux", .comm = "tmux", .cgroup = "/traefik"});
    host_.cgroup("/traefik", {40, 42});
    counts_.member_problems.emplace(42, Error{.kind = Error::Kind::host, .message = "no right", .hint = {}});
    start();
    run(std::chrono::seconds(6), 10);
    EXPECT_THAT(counts_.shared_cgroups, testing::SizeIs(1));
    EXPECT_THAT(counts_.members, testing::ElementsAre(programs::Member{.pid = 42, .start_time = 1042, .zone = 0}));
    EXPECT_EQ(agent_->shown()->traefiks.at(0).shared, "1 other process, such as tmux (pid 40)");
    EXPECT_THAT(agent_->shown()->traefiks.at(0).problem, HasSubstr("had before are not counted: no right"));
    EXPECT_EQ(log_.count("had before are not counted: no right"), 1U) << log_.text();

    std::filesystem::remove_all(host_.at("/proc/42"));
    host_.cgroup("/traefik", {40});
    run(std::chrono::seconds(30));
    EXPECT_TRUE(counts_.members.empty()) << "another process may get its number";

    host_.cgroup("/traefik", {40, 43});
    host_.process(traefik_process(43));
    counts_.newcomers = {43};
    ASSERT_TRUE(agent_->turn());
    EXPECT_THAT(counts_.members, testing::ElementsAre(programs::Member{.pid = 43, .start_time = 1043, .zone = 0}))
        << "at once, not at the next poll";
}

TEST_F(Loop, TwoTraefiksOfASharedCgroupAreSaidToBeCountedTogether) {
    host_.process({.pid = 40, .exe = "/bin/tmux", .comm = "tmux", .cgroup = "/traefik"});
    host_.cgroup("/traefik", {40, 42, 43});
    host_.process(traefik_process(43));
    start();
    run(std::chrono::seconds(11), 10);
    const auto& traefiks = agent_->shown()->traefiks;
    ASSERT_EQ(traefiks.size(), 2U);
    EXPECT_EQ(traefiks.at(0).company, "the Traefik of its cgroup (pid 43)");
    EXPECT_EQ(traefiks.at(1).company, "the Traefik of its cgroup (pid 42)");
    EXPECT_EQ(log_.count("counted together with"), 1U) << log_.text();
}

TEST_F(Loop, WhoeverLivesInTheNamedCgroupCountsAndThatIsSaid) {
    host_.process({.pid = 40, .exe = "/bin/backup", .comm = "backup", .cgroup = "/traefik"});
    host_.cgroup("/traefik", {40, 42});
    settings_.traefik_cgroup = "/sys/fs/cgroup/traefik";
    start();
    run(std::chrono::seconds(11), 10);
    EXPECT_TRUE(counts_.shared_cgroups.empty());
    EXPECT_EQ(agent_->shown()->traefiks.at(0).company,
              "all that lives in --traefik.cgroup: 1 other process, such as backup (pid 40)");
    EXPECT_EQ(log_.count("counted together with all that lives in --traefik.cgroup"), 1U) << log_.text();
}

/// An agent that starts finds one Traefik after the other, and those that it has not found yet go on counting.
TEST_F(Loop, MembersAreCompleteWhereEveryExecutableIsRead) {
    host_.process({.pid = 40, .exe = "/bin/tmux", .comm = "tmux", .cgroup = "/traefik"});
    host_.cgroup("/traefik", {40, 42});
    start();
    EXPECT_THAT(counts_.members, testing::SizeIs(1));
    EXPECT_TRUE(counts_.members_complete);
    host_.process({.pid = 44, .exe = "/silent/traefik", .cgroup = "/other"});
    host_.cgroup("/other", {44});
    run(std::chrono::seconds(6), 10);
    EXPECT_THAT(counts_.members, testing::SizeIs(1));
    EXPECT_FALSE(counts_.members_complete) << "the other one may be an earlier agent's";
}

TEST_F(Loop, WhoeverFollowsInASharedCgroupIsAMemberBeforeItsProgramsAreThere) {
    settings_.traefik_pid = 42;
    host_.process({.pid = 40, .exe = "/bin/tmux", .comm = "tmux", .cgroup = "/traefik"});
    host_.cgroup("/traefik", {40, 42});
    start();
    run(std::chrono::seconds(6), 10);
    std::filesystem::remove_all(host_.at("/proc/42"));
    std::filesystem::remove_all(host_.at("/proc/40"));
    host_.cgroup("/traefik", {43});
    host_.process(traefik_process(43));
    counts_.attached.clear();
    run(std::chrono::seconds(6), 10);
    ASSERT_THAT(counts_.attached, Not(testing::IsEmpty()));
    EXPECT_THAT(counts_.attached.front(), testing::Contains(testing::Field(&programs::Member::pid, 43)));
}

TEST_F(Loop, ASavedStateThatDoesNotFitTheMapsIsKept) {
    start();
    run(std::chrono::seconds(11), 1);
    const auto file = std::filesystem::path(settings_.state_path) / "state.json";
    const auto saved = read_file(file);
    counts_.other_zones = Error{.kind = Error::Kind::runtime, .message = "others", .hint = {}};
    start();
    EXPECT_EQ(read_file(file.string() + ".conflict"), saved);
    EXPECT_EQ(log_.count("kept as " + file.string() + ".conflict\n"), 1U) << log_.text();
    run(std::chrono::seconds(11), 1);
    start();
    EXPECT_EQ(read_file(file.string() + ".conflict"), saved) << "the first one may be the good one";
    EXPECT_TRUE(std::filesystem::exists(file.string() + ".conflict-2"));
}

TEST_F(Loop, ACgroupThatANeighbourJoinsIsSharedFromThenOn) {
    start();
    run(std::chrono::seconds(6), 10);
    EXPECT_TRUE(counts_.shared_cgroups.empty());
    EXPECT_TRUE(counts_.members.empty());
    host_.process({.pid = 40, .exe = "/bin/curl", .comm = "curl", .cgroup = "/traefik"});
    host_.cgroup("/traefik", {40, 42});
    run(std::chrono::seconds(6), 10);
    EXPECT_THAT(counts_.shared_cgroups, testing::SizeIs(1));
    EXPECT_THAT(counts_.members, testing::SizeIs(1));
    std::filesystem::remove_all(host_.at("/proc/40"));
    host_.cgroup("/traefik", {42});
    run(std::chrono::seconds(6), 10);
    EXPECT_THAT(counts_.members, testing::SizeIs(1)) << "it may come again";
}

TEST_F(Loop, TheApisHostAndCertificateAreAsTheSettingsSay) {
    settings_.traefik_api = {url("https://127.0.0.1:8443")};
    settings_.traefik_api_host = "traefik.example.com";
    settings_.traefik_api_insecure_skip_verify = true;
    start();
    run(std::chrono::seconds(6));
    ASSERT_GT(network_.asked("/api/rawdata"), 0U);
    EXPECT_EQ(network_.requests.front().host, "traefik.example.com");
    EXPECT_FALSE(network_.requests.front().verify);
}

TEST_F(Loop, AReloadWithAStaticMapForgetsTheApisBackends) {
    start();
    run(std::chrono::seconds(21), 10);
    ASSERT_GT(counted("shop@file"), 0U);
    const auto file = directory_.path() / "backends.yml";
    std::ofstream(file) << "backends: {shop@static: ['10.0.0.1:80']}\n";
    next_ = settings_;
    next_->backends_file = file.string();
    signals_->send(SIGHUP);
    run(std::chrono::seconds(21), 10);
    EXPECT_GT(counted("shop@static"), 0U);
    EXPECT_EQ(counted("shop@file"), 0U) << "it is listed no more";
}

TEST_F(Loop, BesideAStaticMapOnlyANamedApiIsAsked) {
    const auto file = directory_.path() / "backends.yml";
    std::ofstream(file) << "backends: {shop@static: ['10.0.0.1:80']}\n";
    settings_.backends_file = file.string();
    start();
    run(std::chrono::minutes(1), 10);
    EXPECT_EQ(requests("GET"), 0);
    EXPECT_GT(counted("shop@static"), 0U);
    settings_.traefik_api = {url("http://127.0.0.1:8080")};
    start(true);
    run(std::chrono::minutes(1), 10);
    EXPECT_GT(requests("GET"), 0);
    EXPECT_GT(counted("shop@file|shop@static"), 0U) << "both list the server";
}

// --- what systemd is told ---

TEST_F(Loop, TheSupervisorHearsThatItLives) {
    settings_.poll_interval = std::chrono::minutes(5);
    patience_ = std::chrono::seconds(40);
    start();
    run(std::chrono::minutes(10));
    EXPECT_GE(std::ranges::count(said_, "WATCHDOG=1"), 30) << "twice in its patience at least";
}

TEST_F(Loop, TheSupervisorHearsOfStartReloadAndEnd) {
    start();
    next_ = settings_;
    signals_->send(SIGHUP);
    run(std::chrono::seconds(1));
    EXPECT_THAT(said_, testing::IsSupersetOf({"RELOADING=1", "READY=1"}));
    said_.clear();
    signals_->send(SIGTERM);
    agent_->run();
    EXPECT_EQ(said_.front(), "READY=1");
    EXPECT_EQ(said_.back(), "STOPPING=1");
}

TEST_F(Loop, TheStatusIsSaidOnceAChange) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    auto statuses = said_ | std::views::filter([](const auto& words) { return words.starts_with("STATUS="); });
    EXPECT_THAT((std::vector<std::string>(statuses.begin(), statuses.end())),
                testing::ElementsAre("STATUS=Traefiks: 1, backends: 1, alerts that fire: 0",
                                     "STATUS=Traefiks: 1, backends: 1, alerts that fire: 1"));
}

TEST_F(Loop, AReloadShowsNoCountAsZeroAgain) {
    settings_.metrics_zero_for = std::chrono::seconds(75);
    start();
    run(std::chrono::seconds(90), 8, 2);
    const std::string born =
        R"(traefik_backend_requests_total{backend="shop@file",code="404",method="GET",protocol="http"} 0)";
    ASSERT_THAT(page(), Not(HasSubstr(born + "\n")));
    next_ = settings_;
    next_->metrics_zero_for = std::chrono::minutes(10);
    signals_->send(SIGHUP);
    run(std::chrono::seconds(10), 8, 2);
    EXPECT_THAT(page(), Not(HasSubstr(born + "\n"))) << "who has seen the count would count it twice";
}

TEST_F(Loop, WhatCannotChangeStaysWhateverIsReloaded) {
    settings_.push_url = url("http://10.9.9.9:9091");
    network_.responses[":9091"] = HttpResponse{.status = 200, .body = {}};
    start();
    run(std::chrono::seconds(30), 8);
    next_ = settings_;
    next_->push_instance = "renamed";
    signals_->send(SIGHUP);
    run(std::chrono::minutes(1), 8);
    EXPECT_EQ(requests("DELETE"), 0);
    EXPECT_EQ(agent_->shown()->agent, "edge");
    EXPECT_THAT(log_.text(), HasSubstr("push.instance cannot change while upstat runs"));
}

TEST_F(Loop, AMistakeInThemLeavesAllAsItWas) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    next_ = std::unexpected(std::vector<Error>{{.kind = Error::Kind::usage, .message = "f.yml:3: no", .hint = {}}});
    signals_->send(SIGHUP);
    run(std::chrono::seconds(10), 8, 2);
    EXPECT_FALSE(agent_->shown()->config_reloaded);
    EXPECT_THAT(log_.text(), HasSubstr("f.yml:3: no"));
    EXPECT_EQ(state(), judge::State::firing);
    next_ = settings_;
    signals_->send(SIGHUP);
    run(std::chrono::seconds(10), 8, 2);
    EXPECT_TRUE(agent_->shown()->config_reloaded);
    EXPECT_EQ(state(), judge::State::firing) << "the same rule goes on";
    EXPECT_EQ(log_.count("is firing"), 1U);
}

TEST_F(Loop, TwoReloadsBetweenTwoPollsKeepWhatFires) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    ASSERT_EQ(state(), judge::State::firing);
    const auto since = agent_->shown()->alerts.alerts.at(0).firing_since;
    next_ = settings_;
    counts_.failure = Error{.kind = Error::Kind::runtime, .message = "not now", .hint = {}};
    signals_->send(SIGHUP);
    signals_->send(SIGHUP);
    run(std::chrono::seconds(6));
    counts_.failure.reset();
    run(std::chrono::seconds(6), 8, 2);
    EXPECT_EQ(state(), judge::State::firing);
    EXPECT_EQ(agent_->shown()->alerts.alerts.at(0).firing_since, since);
    EXPECT_EQ(log_.count("is firing"), 1U);
}

TEST_F(Loop, AReloadBeforeTheFirstPollKeepsWhatWasSaved) {
    start();
    run(std::chrono::minutes(5), 8, 2);
    ASSERT_EQ(state(), judge::State::firing);
    start(true);
    next_ = settings_;
    counts_.failure = Error{.kind = Error::Kind::runtime, .message = "not yet", .hint = {}};
    signals_->send(SIGHUP);
    run(std::chrono::seconds(6));
    counts_.failure.reset();
    run(std::chrono::seconds(6), 8, 2);
    EXPECT_EQ(state(), judge::State::firing);
    EXPECT_EQ(log_.count("is firing"), 1U);
}

TEST_F(Loop, WhatCannotBeOpenedLeavesAllAsItWasToo) {
    start();
    run(std::chrono::seconds(11), 8, 2);
    next_ = settings_;
    next_->backends_file = "/nowhere/backends.yml";
    next_->rule.threshold_percent = 1;
    signals_->send(SIGHUP);
    run(std::chrono::seconds(10), 8, 2);
    EXPECT_FALSE(agent_->shown()->config_reloaded);
    EXPECT_EQ(agent_->shown()->rules.at(0).threshold_percent, 5);
}

TEST_F(Loop, WhatCannotChangeWhileItRunsIsSaid) {
    start();
    run(std::chrono::seconds(6), 8, 2);
    next_ = settings_;
    next_->state_path = "/somewhere/else";
    signals_->send(SIGHUP);
    run(std::chrono::seconds(10), 8, 2);
    EXPECT_THAT(log_.text(), HasSubstr("state.path cannot change while upstat runs"));
    EXPECT_TRUE(agent_->shown()->config_reloaded);
}

TEST_F(Loop, AGroupThatIsPushedToNoMoreIsDeleted) {
    settings_.push_url = url("http://10.9.9.9:9091");
    network_.responses[":9091"] = HttpResponse{.status = 200, .body = {}};
    start();
    run(std::chrono::seconds(11), 8, 2);
    next_ = settings_;
    next_->push_url.reset();
    signals_->send(SIGHUP);
    run(std::chrono::seconds(6), 8, 2);
    EXPECT_EQ(network_.requests.back().method == "DELETE"
                  ? 1
                  : std::ranges::count(network_.requests, std::string("DELETE"), &HttpRequest::method),
              1);
    EXPECT_GE(agent_->shown()->push.success, 1U) << "counts go on";
}

TEST_F(Loop, AYoungSeriesIsPushedAtZeroForLongerThanItIsScraped) {
    settings_.metrics_zero_for = std::chrono::seconds(75);
    settings_.push_url = url("http://10.9.9.9:9091");
    network_.responses[":9091"] = HttpResponse{.status = 200, .body = {}};
    start();
    run(std::chrono::seconds(120), 8, 2);
    ASSERT_GT(pushed_404(), 0U) << "it was born a minute and a half ago";
    settings_.state_path = (directory_.path() / "another").string();
    counts_ = {};
    start();
    run(std::chrono::seconds(76), 8, 2);
    EXPECT_EQ(pushed_404(), 0U);
    EXPECT_GT(counted(), 700U) << "the rules see all of it";
}

TEST_F(Loop, ASecondAgentOfOneNameLeavesTheGroupToTheFirst) {
    settings_.push_url = url("http://10.9.9.9:9091");
    network_.responses["/metrics/job/"] = HttpResponse{.status = 200, .body = {}};
    start();
    for (std::int64_t time = 0; time < 30; ++time) {
        group("boot-2", time);
        run(std::chrono::seconds(10), 8, 2);
    }
    EXPECT_EQ(requests("PUT"), 0);
    EXPECT_EQ(log_.count("another upstat (boot-2) pushes the group"), 1U) << log_.text();
    EXPECT_THAT(agent_->shown()->push.last_error, HasSubstr("another upstat (boot-2)"));
    EXPECT_GE(agent_->shown()->push.failure, 6U);
    signals_->send(SIGTERM);
    agent_->run();
    EXPECT_EQ(requests("DELETE"), 0);

    start();
    run(std::chrono::seconds(55), 8, 2);  // nobody pushes it any more
    EXPECT_EQ(requests("PUT"), 1);
    group("boot-1", 30);
    run(std::chrono::seconds(30), 8, 2);
    EXPECT_GE(requests("PUT"), 2);
    EXPECT_EQ(log_.count("Pushgateway: http://10.9.9.9:9091 works again"), 1U) << log_.text();
    signals_->send(SIGTERM);
    agent_->run();
    EXPECT_EQ(requests("DELETE"), 1);
}

TEST_F(Loop, AfterARebootItsGroupIsPushedOnAtOnce) {
    settings_.push_url = url("http://10.9.9.9:9091");
    network_.responses["/metrics/job/"] = HttpResponse{.status = 200, .body = {}};
    group("", 0);
    start();
    run(std::chrono::seconds(30), 8);
    group("boot-1", wall_seconds());
    agent_.reset();
    const auto before = requests("PUT");
    ASSERT_GE(before, 1);
    clock_.pass(std::chrono::minutes(2));
    clock_.reboot();
    counts_.epoch = "boot-2";
    start();
    run(std::chrono::seconds(6), 8);
    EXPECT_EQ(requests("PUT"), before + 1);
    EXPECT_EQ(log_.count("another upstat"), 0U) << log_.text();
}

TEST_F(Loop, ACloneOfAHostThatPushesOnDoesNot) {
    settings_.push_url = url("http://10.9.9.9:9091");
    network_.responses["/metrics/job/"] = HttpResponse{.status = 200, .body = {}};
    group("", 0);
    start();
    run(std::chrono::seconds(30), 8);
    agent_.reset();
    const auto before = requests("PUT");
    ASSERT_GE(before, 1);
    clock_.pass(std::chrono::minutes(2));
    clock_.reboot();
    group("boot-1", wall_seconds());
    counts_.epoch = "boot-2";
    start();
    run(std::chrono::seconds(6), 8);
    EXPECT_EQ(requests("PUT"), before);
    EXPECT_EQ(log_.count("another upstat (boot-1) pushes the group"), 1U) << log_.text();
}

TEST_F(Loop, AnExitAfterALongOutageDeletesItsGroupAndNoOther) {
    settings_.push_url = url("http://10.9.9.9:9091");
    for (const std::string owner : {"boot-1", "boot-9"}) {
        network_.requests.clear();
        network_.responses["/metrics/job/"] = HttpResponse{.status = 200, .body = {}};
        group("boot-1", 1);
        start();
        run(std::chrono::seconds(60), 8);
        ASSERT_GE(requests("PUT"), 2);
        network_.responses["/metrics/job/"] = std::unexpected(std::string("refused"));
        network_.responses[":9091/metrics"] = std::unexpected(std::string("refused"));
        run(std::chrono::minutes(5), 8);
        network_.responses["/metrics/job/"] = HttpResponse{.status = 200, .body = {}};
        group(owner, 2);
        signals_->send(SIGTERM);
        agent_->run();
        EXPECT_EQ(requests("DELETE"), owner == "boot-1" ? 1 : 0) << owner;
    }
}

TEST_F(Loop, APollThatIsAFewMillisecondsLateHoldsNoPushUp) {
    settings_.push_url = url("http://10.9.9.9:9091");
    network_.responses["/metrics/job/"] = HttpResponse{.status = 200, .body = {}};
    group("boot-1", 1);
    start();
    for (int poll = 0; poll < 60; ++poll) {
        run(std::chrono::seconds(5), 8);
        clock_.pass(Millis(poll % 2 == 0 ? 30 : 0));
    }
    EXPECT_GE(requests("PUT"), 18) << "each 15 s, and not each 20";
}

TEST_F(Loop, NoPasswordOfAUrlIsSaid) {
    settings_.traefik_api = {url("http://me:secret@127.0.0.1:8080")};
    settings_.push_url = url("http://me:secret@10.9.9.9:9091");
    settings_.alertmanager_url = {url("http://me:secret@10.9.9.9:9093")};
    network_.responses["8080/api/rawdata"] = rawdata("http://10.0.0.1:80");
    network_.responses["10.9.9.9:"] = HttpResponse{.status = 500, .body = {}};
    start();
    run(std::chrono::minutes(5), 8, 2);
    network_.responses["8080/api/rawdata"] = HttpResponse{.status = 500, .body = {}};
    run(std::chrono::seconds(20), 8, 2);
    EXPECT_THAT(log_.text(), HasSubstr("http://127.0.0.1:8080"));
    ASSERT_GT(network_.asked("me:secret@10.9.9.9:9093"), 0U);
    for (const auto& text : {log_.text(), page(), publish::status_json(*agent_->shown())}) {
        EXPECT_THAT(text, Not(HasSubstr("secret")));
    }
}

// --- host names ---

TEST_F(Loop, ANameThatCannotBeLookedUpIsSaidShownAndCounted) {
    network_.responses[api] = rawdata("http://no-such-host.invalid:80");
    start();
    for (int polls = 0; polls < 2000 && log_.count("no-such-host.invalid cannot be looked up") == 0; ++polls) {
        run(std::chrono::seconds(1), 1);
        usleep(5000);  // the look-up is another thread's
    }
    run(std::chrono::seconds(20), 1);
    EXPECT_EQ(log_.count("no-such-host.invalid cannot be looked up"), 1U);
    EXPECT_TRUE(agent_->shown()->unresolved.contains("no-such-host.invalid"));
    EXPECT_GE(agent_->shown()->name_lookups.failure, 1U);
}

/// Two Traefiks whose APIs and servers have the same names and addresses, in two networks.
class TwoTraefiks : public Loop {
  protected:
    TwoTraefiks() {
        host_.cgroup("/edge/traefik", {43});
        host_.process(edge(43));
        other_.zone = 1;
    }
    static traefik::FakeProcess edge(pid_t pid) {
        auto process = traefik_process(pid);
        process.cgroup = "/edge/traefik";
        return process;
    }
    void answer_other(std::uint64_t count) {
        auto& totals = counts_.servers[other_];
        totals.responses[ok] += count;
        totals.requests += count;
    }
    [[nodiscard]] std::uint64_t counted_other() const {
        std::uint64_t sum = 0;
        for (const auto& [series, count] : agent_->shown()->counts.backends.at({"shop@file", 1})) {
            sum += count;
        }
        return sum;
    }

    poll::Server other_ = *poll::parse_server("10.0.0.1:80");
};

TEST_F(TwoTraefiks, AreCountedApart) {
    start();
    answer(5, 0);
    answer_other(7);
    run(std::chrono::seconds(11));
    EXPECT_EQ(counted(), 5U);
    EXPECT_EQ(counted_other(), 7U);
    EXPECT_EQ(counts_.zones, (programs::ZoneNames{{0, "/traefik"}, {1, "/edge/traefik"}}));
    EXPECT_THAT(page(),
                HasSubstr(R"(traefik_backend_requests_total{backend="shop@file",traefik="traefik",code="200")"));
    EXPECT_THAT(page(),
                HasSubstr(R"(traefik_backend_requests_total{backend="shop@file",traefik="/edge/traefik",code="200")"));
}

TEST_F(TwoTraefiks, KeepTheirNumbersOverARestartOfTheAgentAndAReboot) {
    start();
    answer(5, 0);
    answer_other(7);
    run(std::chrono::seconds(11));
    host_.cgroup("/edge/traefik", {});
    host_.cgroup("/traefik", {});
    std::filesystem::remove_all(host_.at("/proc/42"));
    std::filesystem::remove_all(host_.at("/proc/43"));
    host_.cgroup("/edge/traefik", {50});
    host_.process(edge(50));
    counts_ = {.servers = {}, .failure = {}, .epoch = "boot-2", .cgroups = {}, .zone_of_cgroup = {}, .zones = {}};
    start();
    answer_other(2);
    run(std::chrono::seconds(11));
    EXPECT_EQ(counts_.zones, (programs::ZoneNames{{0, "/traefik"}, {1, "/edge/traefik"}}));
    EXPECT_EQ(counted_other(), 9U);
}

TEST_F(TwoTraefiks, OneThatRestartsKeepsItsSeriesAndOneThatIsGoneLeavesThem) {
    start();
    answer(5, 0);
    answer_other(7);
    run(std::chrono::seconds(11));
    host_.cgroup("/edge/traefik", {});
    std::filesystem::remove_all(host_.at("/proc/43"));
    run(std::chrono::seconds(60));
    EXPECT_EQ(counted_other(), 7U) << "it may be about to start again";
    host_.cgroup("/edge/traefik", {50});
    host_.process(edge(50));
    answer_other(1);
    run(std::chrono::seconds(11));
    EXPECT_EQ(counted_other(), 8U);
    host_.cgroup("/edge/traefik", {});
    std::filesystem::remove_all(host_.at("/proc/50"));
    run(std::chrono::minutes(6));
    EXPECT_FALSE(agent_->shown()->counts.backends.contains({"shop@file", 1}));
    EXPECT_EQ(counted(), 5U);
}

TEST_F(TwoTraefiks, OfAnUpgradeTheFirstGoesOnWithWhatWasCountedBefore) {
    settings_.backends_file = (directory_.path() / "backends.yml").string();
    std::ofstream(settings_.backends_file) << R"(backends: {shop@file: ["10.0.0.1:80"]})";
    answer(5, 0);  // when there were no zones
    start(true);
    answer_other(7);
    run(std::chrono::seconds(11));
    EXPECT_EQ(counted(), 5U);
    EXPECT_EQ(counted_other(), 7U) << "a static map is about both";
}

TEST_F(Loop, AGroupThatGetsAMemberKeepsItsAlert) {
    const auto services = [](const std::vector<std::string>& names) {
        std::vector<std::string> all;
        for (const auto& name : names) {
            all.push_back(
                fmt::format(R"("{}@f":{{"loadBalancer":{{"servers":[{{"url":"http://10.0.0.1:80"}}]}}}})", name));
        }
        return HttpResponse{.status = 200, .body = fmt::format(R"({{"services":{{{}}}}})", fmt::join(all, ","))};
    };
    const auto alert_of = [this](const std::string& backend) {
        const auto& alerts = agent_->shown()->alerts.alerts;
        const auto found = std::ranges::find(alerts, attribute::BackendName(backend), &judge::Alert::backend);
        return found == alerts.end() ? judge::Alert{} : *found;
    };
    network_.responses[api] = services({"a", "b"});
    start();
    run(std::chrono::minutes(2), 10, 10);
    const auto before = alert_of("a@f|b@f");
    ASSERT_EQ(before.state, judge::State::firing);
    network_.responses[api] = services({"a", "b", "c"});
    run(std::chrono::seconds(16), 10, 10);
    EXPECT_EQ(alert_of("a@f|b@f").state, judge::State::inactive);
    EXPECT_EQ(alert_of("a@f|b@f|c@f").state, judge::State::firing);
    EXPECT_EQ(alert_of("a@f|b@f|c@f").active_since, before.active_since);
    EXPECT_EQ(log_.count("its alerts go on under that name"), 1U) << log_.text();
    run(std::chrono::minutes(5), 10, 10);
    EXPECT_EQ(alert_of("a@f|b@f|c@f").firing_since, before.firing_since);
    run(std::chrono::minutes(5), 10);
    EXPECT_EQ(alert_of("a@f|b@f|c@f").state, judge::State::inactive);
    EXPECT_EQ(log_.count("is firing for"), 2U) << log_.text();
}

/// Two services of one server, which two routers tell apart.
class Routed : public Loop {
  protected:
    Routed() { network_.responses[api] = routes("a.example", "b.example"); }
    static HttpResponse routes(const std::string& shop, const std::string& admin) {
        const auto router = [](const std::string& service, const std::string& host) {
            return fmt::format(R"j("{}@file":{{"rule":"Host(`{}`)","service":"{}","entryPoints":["web"]}})j", service,
                               host, service);
        };
        constexpr auto server = R"({"loadBalancer":{"servers":[{"url":"http://10.0.0.1:80"}]}})";
        return {.status = 200,
                .body = fmt::format(R"({{"routers":{{{},{}}},"services":{{"shop@file":{},"admin@file":{}}}}})",
                                    router("shop", shop), router("admin", admin), server, server)};
    }
    [[nodiscard]] std::set<std::string> hosts() const {
        std::set<std::string> all;
        for (const auto& table : counts_.routes.tables) {
            for (const auto& entry : table) {
                all.insert(entry.host);
            }
        }
        return all;
    }
    void go_on() { run(std::chrono::seconds(16)); }

    const std::set<std::string> none_;
    const std::set<std::string> both_{"", "a.example", "b.example"};
};

TEST_F(Routed, OneTraefiksRoutesAreTold) {
    start();
    go_on();
    EXPECT_EQ(hosts(), both_);
}

TEST_F(Routed, NumbersThatALostAgentToldAreNotGivenAgain) {
    counts_.highest_route = 9;
    start();
    go_on();
    for (const auto& table : counts_.routes.tables) {
        for (const auto& entry : table) {
            EXPECT_TRUE(entry.route == 0 || entry.route > 9) << entry.host;
        }
    }
    EXPECT_EQ(hosts(), both_);
    EXPECT_EQ(agent_->shown()->notice, "");
}

TEST_F(Routed, ThatNoNumberIsLeftIsSaid) {
    counts_.highest_route = 65534;
    start();
    go_on();
    EXPECT_THAT(agent_->shown()->notice, HasSubstr("all 65,535 numbers of routes"));
}

TEST_F(Routed, WhatWasInForceIsNotWhileATraefikThatCameHasNotAnswered) {
    start();
    go_on();
    network_.responses.erase(api);
    std::filesystem::remove_all(host_.at("/proc/42"));
    host_.cgroup("/traefik", {50});
    host_.process(traefik_process(50));
    go_on();
    EXPECT_EQ(hosts(), none_);
    network_.responses[api] = routes("a.example", "c.example");
    go_on();
    EXPECT_EQ(hosts(), (std::set<std::string>{"", "a.example", "c.example"}));
}

TEST_F(Routed, WhatNobodyWatchesIsNotTold) {
    start();
    go_on();
    network_.responses[api] = std::unexpected("it hangs");
    run(std::chrono::minutes(2));
    EXPECT_EQ(hosts(), none_) << "its routers may have changed";
    network_.responses[api] = routes("a.example", "b.example");
    run(std::chrono::minutes(2));
    EXPECT_EQ(hosts(), both_);
    signals_->send(SIGTERM);
    agent_->run();
    EXPECT_EQ(hosts(), none_) << "the agent has ended";
}

TEST_F(Routed, TwoTraefiksOfOneCgroupAreNotJudgedAsOne) {
    start();
    go_on();
    host_.cgroup("/traefik", {42, 43});
    auto kin = traefik_process(43);
    kin.parent = 42;
    host_.process(kin);
    go_on();
    EXPECT_EQ(hosts(), none_);
}

TEST_F(Routed, TwoTraefiksOfASharedCgroupAreNotJudgedAsOne) {
    host_.cgroup("/traefik", {40, 42, 43});
    host_.process(traefik_process(43));
    host_.process({.pid = 40, .exe = "/bin/tmux", .comm = "tmux", .cgroup = "/traefik"});
    start();
    go_on();
    EXPECT_EQ(counts_.members.size(), 2U);
    EXPECT_EQ(hosts(), none_);
}

TEST_F(Routed, OneNamedApiTellsOfOneTraefik) {
    settings_.traefik_api = {url("http://127.0.0.1:8080")};
    start();
    go_on();
    EXPECT_EQ(hosts(), both_);
    host_.cgroup("/edge/traefik", {43});
    auto edge = traefik_process(43);
    edge.cgroup = "/edge/traefik";
    host_.process(edge);
    go_on();
    EXPECT_EQ(hosts(), none_);
}

TEST_F(Routed, TwoNamedApisAreNotJudgedAsOne) {
    settings_.traefik_api = {url("http://127.0.0.1:8080"), url("http://127.0.0.1:8081")};
    start();
    go_on();
    EXPECT_EQ(hosts(), none_);
    EXPECT_GT(network_.asked("8081/api/rawdata"), 0U);
}

TEST_F(Routed, ATraefikThatLooksForOtherNamesOfAHostTellsNone) {
    auto flattening = traefik_process(43);
    flattening.arguments.emplace_back("--hostResolver.cnameFlattening");
    host_.process(flattening);
    host_.cgroup("/traefik", {43});
    std::filesystem::remove_all(host_.at("/proc/42"));
    start();
    go_on();
    EXPECT_EQ(hosts(), none_);
}

/// Traefiks in containers, whose names are others each time they are made.
class Containers : public Loop {
  protected:
    Containers() {
        settings_.traefik_allow = {"system", "containers"};
        end(42, "/traefik");
        begin(50, container('a'));
    }
    static std::string container(char digit) { return "/system.slice/docker-" + std::string(64, digit) + ".scope"; }
    void begin(pid_t pid, const std::string& cgroup) {
        auto process = traefik_process(pid);
        process.cgroup = cgroup;
        host_.cgroup(cgroup, {pid});
        host_.process(process);
    }
    void end(pid_t pid, const std::string& cgroup) {
        std::filesystem::remove_all(host_.at("/proc/" + std::to_string(pid)));
        std::filesystem::remove_all(host_.at("/sys/fs/cgroup" + cgroup));
    }
    [[nodiscard]] std::uint16_t zone_of(const std::string& cgroup) const {
        return counts_.zone_of_cgroup.at(host_.at("/sys/fs/cgroup" + cgroup).string());
    }
};

TEST_F(Containers, OneThatIsMadeAnewGoesOnWithTheSeriesOfTheOneBefore) {
    start();
    run(std::chrono::seconds(11), 1);
    const auto before = counted();
    end(50, container('a'));
    begin(51, container('b'));
    answer(5, 0);
    run(std::chrono::seconds(11));
    EXPECT_EQ(zone_of(container('b')), 0);
    EXPECT_GE(counted(), before + 5);
    EXPECT_THAT(counts_.zones, testing::SizeIs(1));
    EXPECT_THAT(page(), Not(HasSubstr("traefik=\"")));
    EXPECT_EQ(log_.count("its series go on"), 1U);
    for (const auto digit : {'a', 'b'}) {  // one that comes back too
        end(51, container('b'));
        end(52, container('a'));
        begin(digit == 'a' ? 52 : 51, container(digit));
        run(std::chrono::seconds(11));
        EXPECT_EQ(zone_of(container(digit)), 0);
    }
    EXPECT_THAT(counts_.zones, testing::SizeIs(1));
}

TEST_F(Containers, SoItDoesWhenTheAgentStartsAgainBetweenTheTwo) {
    start();
    run(std::chrono::seconds(11), 1);
    end(50, container('a'));
    run(std::chrono::seconds(11));
    start();
    run(std::chrono::seconds(11));
    begin(51, container('b'));
    run(std::chrono::seconds(11));
    EXPECT_EQ(zone_of(container('b')), 0);
    end(51, container('b'));
    begin(52, container('c'));  // while it is away
    start();
    run(std::chrono::seconds(11));
    EXPECT_EQ(zone_of(container('c')), 0);
    EXPECT_THAT(counts_.zones, testing::SizeIs(1));
    start();
    run(std::chrono::seconds(11));
    EXPECT_EQ(zone_of(container('c')), 0);
}

TEST_F(Containers, OneThatEndedLongAgoHasNoSuccessor) {
    start();
    run(std::chrono::seconds(11), 1);
    end(50, container('a'));
    run(Tenants::patience + std::chrono::seconds(11));
    start();
    run(std::chrono::seconds(11));
    begin(51, container('b'));
    run(std::chrono::seconds(11));
    EXPECT_EQ(zone_of(container('b')), 1);
}

TEST_F(Containers, WhereSeveralCouldBeMeantNobodyTakesOver) {
    start();
    run(std::chrono::seconds(11), 1);
    begin(51, container('b'));  // beside a
    run(std::chrono::seconds(11));
    EXPECT_EQ(zone_of(container('b')), 1);
    end(50, container('a'));
    end(51, container('b'));
    begin(52, container('c'));  // of a or of b
    run(std::chrono::seconds(11));
    EXPECT_EQ(zone_of(container('c')), 2);
    run(Tenants::patience);
    end(52, container('c'));
    begin(53, container('d'));  // d or e
    begin(54, container('e'));
    run(std::chrono::seconds(11));
    EXPECT_EQ((std::set{zone_of(container('d')), zone_of(container('e'))}), (std::set<std::uint16_t>{3, 4}));
}

TEST_F(Containers, OneWhoseZoneWasTakenOverAndWhoComesBackBesideItIsAnother) {
    start();
    run(std::chrono::seconds(11), 1);
    end(50, container('a'));
    begin(51, container('b'));
    run(std::chrono::seconds(11));
    begin(52, container('a'));
    run(std::chrono::seconds(11));
    EXPECT_EQ(zone_of(container('b')), 0);
    EXPECT_EQ(zone_of(container('a')), 1);
    start();
    run(std::chrono::seconds(11));
    EXPECT_EQ(zone_of(container('b')), 0);
    EXPECT_EQ(zone_of(container('a')), 1);
}

TEST_F(Loop, NewTraefiksAreCountedSoManyAMinuteAndTheOthersShown) {
    for (pid_t pid = 100; pid < 120; ++pid) {
        auto process = traefik_process(pid);
        process.cgroup = "/edge/" + std::to_string(pid);
        host_.cgroup(process.cgroup, {pid});
        host_.process(process);
    }
    const auto uncounted = [this] {
        return std::ranges::count_if(agent_->shown()->traefiks, [](const publish::TraefikReport& traefik) {
            return traefik.problem.contains("not counted yet: there were 16 new Traefiks in a minute");
        });
    };
    start();
    run(std::chrono::seconds(11));
    EXPECT_THAT(counts_.zones, testing::SizeIs(16));
    EXPECT_EQ(uncounted(), 5);
    EXPECT_EQ(log_.count("not counted yet"), 1U) << log_.text();
    run(std::chrono::minutes(2));
    EXPECT_THAT(counts_.zones, testing::SizeIs(21));
    EXPECT_EQ(uncounted(), 0);
}

TEST_F(Loop, ThereIsAnEndToHowManyTraefiksAreToldApartButNotToThoseThatTheUserNames) {
    for (std::uint16_t zone = 0; zone < 1024; ++zone) {
        counts_.zones.emplace(zone, "/gone/" + std::to_string(zone));
    }
    start();
    run(std::chrono::seconds(11));
    EXPECT_THAT(counts_.zones, testing::SizeIs(1024));
    EXPECT_THAT(agent_->shown()->traefiks.at(0).problem, HasSubstr("not counted: there were 1024 Traefiks already"));
    settings_.traefik_pid = 42;
    start();
    run(std::chrono::seconds(11));
    EXPECT_THAT(counts_.zones, testing::SizeIs(1025));
    EXPECT_EQ(agent_->shown()->traefiks.at(0).problem, "");
}

TEST_F(Containers, APodThatRestartsAllTheTimeTakesNobodysPlace) {
    begin(42, "/traefik");
    start();
    run(std::chrono::seconds(11));
    end(42, "/traefik");
    const auto edge = zone_of("/traefik");
    for (pid_t pid = 100; pid < 120; ++pid) {
        const auto cgroup = "/kubepods/pod0b1f5a9e-1c2d-4e3f-8a9b-0c1d2e3f4a5b/" + std::to_string(pid);
        begin(pid, cgroup);
        run(std::chrono::seconds(11));
        end(pid, cgroup);
    }
    EXPECT_TRUE(counts_.kept.contains(edge));
    EXPECT_THAT(counts_.zones, testing::SizeIs(3));
}

TEST_F(Containers, ProgramsStayLoadedForThoseThatEndedLastOnly) {
    begin(42, "/traefik");
    start();
    run(std::chrono::seconds(11));
    end(50, container('a'));
    for (pid_t pid = 100; pid < 120; ++pid) {
        const auto cgroup = "/edge/" + std::to_string(pid);
        begin(pid, cgroup);
        run(std::chrono::seconds(11));
        end(pid, cgroup);
    }
    run(std::chrono::seconds(11));
    EXPECT_THAT(counts_.kept, testing::SizeIs(17)) << "the one that lives, and 16";
    EXPECT_TRUE(counts_.kept.contains(zone_of("/traefik")));
    EXPECT_TRUE(counts_.kept.contains(zone_of("/edge/119")));
    EXPECT_FALSE(counts_.kept.contains(zone_of("/edge/103")));
    begin(100, "/edge/100");
    run(std::chrono::seconds(11));
    EXPECT_TRUE(counts_.kept.contains(zone_of("/edge/100"))) << "it comes back";
    EXPECT_THAT(counts_.zones, testing::SizeIs(22));
}

}  // namespace
}  // namespace upstat::agent
