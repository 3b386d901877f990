// SPDX-License-Identifier: Apache-2.0
#include "config/settings.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/options.hpp"
#include "config/settings_file.hpp"

namespace upstat::config {
namespace {

using namespace std::chrono_literals;

/// A settings file that goes away with the test.
class SettingsFile {
  public:
    explicit SettingsFile(const std::string& text) { std::ofstream(path_) << text; }
    SettingsFile(const SettingsFile&) = delete;
    SettingsFile& operator=(const SettingsFile&) = delete;
    ~SettingsFile() { std::filesystem::remove(path_); }
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_ = testing::TempDir() + "settings_test.yml";
};

Settings merged(const FileSettings& file, const Given& variables = {}, const Given& flags = {}) {
    const auto settings = merge(file, "f.yml", variables, flags);
    EXPECT_TRUE(settings) << (settings ? "" : settings.error().front().text());
    return settings.value_or(Settings{});
}

TEST(Duration, ReadsPrometheusDurations) {
    EXPECT_EQ(parse_duration("5s").value(), 5s);
    EXPECT_EQ(parse_duration("1m30s").value(), 90s);
    EXPECT_EQ(parse_duration("200ms").value(), 200ms);
    EXPECT_EQ(parse_duration("1h").value(), 1h);
    EXPECT_EQ(parse_duration("1d").value(), 24h);
    EXPECT_EQ(parse_duration("0").value(), 0s);
    EXPECT_EQ(parse_duration("0s").value(), 0s);
}

TEST(Duration, RefusesTheRest) {
    for (const auto* const text :
         {"", "5", "s", "-5s", "5 s", "5s5s", "5s1m", "1.5m", "5x", "99999999999999y", "5sx"}) {
        EXPECT_FALSE(parse_duration(text)) << text;
    }
}

TEST(Settings, DefaultsAreThoseOfTheInterface) {
    const auto settings = merged({});
    EXPECT_EQ(settings.poll_interval, 5s);
    EXPECT_EQ(settings.rule, judge::Rule{});
    EXPECT_EQ(settings.rule.window, 3min);
    EXPECT_EQ(settings.rule.for_duration, 1min);
    EXPECT_EQ(settings.rule.threshold_percent, 5);
    EXPECT_EQ(settings.web_listen_address, std::vector<std::string>{"127.0.0.1:9479"});
    EXPECT_EQ(settings.metrics_zero_for, 75s);
    EXPECT_EQ(settings.push_job, "upstat-push");
    EXPECT_FALSE(settings.push_instance.empty());
    EXPECT_EQ(settings.state_path, "/var/lib/upstat");
    EXPECT_EQ(settings.bpf_pin_path, "/sys/fs/bpf/upstat");
}

TEST(Settings, RequestsWithoutAResponseHaveRulesThatCanBeTurnedOff) {
    const auto names = [](const Settings& settings) {
        std::vector<std::string> names;
        for (const auto& rule : settings.all_rules()) {
            names.push_back(rule.name);
        }
        return names;
    };
    const std::string stock = judge::Rule{}.name;
    EXPECT_EQ(names(merged({})),
              (std::vector<std::string>{stock, "UpstatBackendConnectFailures", "UpstatBackendUnanswered"}));
    const auto changed = merged({}, {},
                                {{"alert.connect-failures-percent", {"100"}},
                                 {"alert.unanswered-percent", {"0.5"}},
                                 {"alert.window", {"1m"}},
                                 {"alert.labels", {"team=edge"}},
                                 {"alert.annotations", {"runbook=of 4xx"}}});
    ASSERT_EQ(names(changed), (std::vector<std::string>{stock, "UpstatBackendUnanswered"}));
    const auto rule = changed.all_rules().back();
    EXPECT_EQ(rule.threshold_percent, 0.5);
    EXPECT_EQ(rule.window, 1min);
    EXPECT_EQ(rule.labels, (judge::Labels{{"team", "edge"}}));
    EXPECT_TRUE(rule.annotations.empty());
}

TEST(Settings, TheirNamesAndThresholdsAreOfNoRuleOfTheFile) {
    for (const auto* const rule : {"{name: UpstatBackendUnanswered}", "{name: mine, unanswered-percent: 3}"}) {
        const SettingsFile file("alert: {rules: [" + std::string(rule) + "]}\n");
        EXPECT_EQ(read_settings_file(file.path()).errors.size(), 1) << rule;
    }
}

TEST(Settings, FlagBeatsVariableBeatsFileBeatsDefault) {
    const SettingsFile file("poll: {interval: 2s}\npush.job: file\nlog:\n  level: debug\n");
    const auto from_file = read_settings_file(file.path());
    EXPECT_EQ(merged(from_file).poll_interval, 2s);
    const Given variables{{"poll.interval", {"3s"}}, {"push.job", {"variable"}}};
    const Given flags{{"poll.interval", {"4s"}}};
    const auto settings = merged(from_file, variables, flags);
    EXPECT_EQ(settings.poll_interval, 4s);
    EXPECT_EQ(settings.push_job, "variable");
    EXPECT_EQ(settings.log_level, "debug");
}

TEST(Settings, ASectionMayBeEmpty) {
    const SettingsFile file("traefik:\n  # api: http://127.0.0.1:8080\nlog:\n  level: debug\n");
    EXPECT_EQ(merged(read_settings_file(file.path())).log_level, "debug");
}

TEST(Settings, ReadsVariables) {
    setenv("UPSTAT_TRAEFIK_API", "http://a:1,http://b:2/", 1);
    const auto given = read_environment();
    unsetenv("UPSTAT_TRAEFIK_API");
    EXPECT_EQ(merged({}, given).traefik_api,
              (std::vector{parse_url("http://a:1").value(), parse_url("http://b:2").value()}));
    EXPECT_EQ(variable_of("alert.threshold-percent"), "UPSTAT_ALERT_THRESHOLD_PERCENT");
}

TEST(Settings, ReadsMoreRules) {
    const SettingsFile file(
        "alert:\n  threshold-percent: 7\n  rules:\n    - {name: Errors, codes: 5.., for: 30s, severity: warning}\n");
    const auto settings = merged(read_settings_file(file.path()));
    ASSERT_EQ(settings.all_rules().size(), 4U) << "the built-in ones too";
    EXPECT_EQ(settings.rule.threshold_percent, 7);
    EXPECT_EQ(settings.rules[0].name, "Errors");
    EXPECT_EQ(settings.rules[0].codes, "5..");
    EXPECT_EQ(settings.rules[0].for_duration, 30s);
    EXPECT_EQ(settings.rules[0].window, 3min);
    EXPECT_EQ(settings.rules[0].threshold_percent, 5);
    EXPECT_EQ(settings.rules[0].severity, "warning");
}

TEST(Settings, ARuleHasLabelsAndAnnotationsOfItsOwn) {
    const SettingsFile file(
        "alert:\n  labels: {instance: , team: edge}\n  min-rate: 0.5\n  rules:\n    - name: Errors\n      labels:\n"
        "        severity: warning\n      annotations: {runbook: 'https://r/?a=b'}\n      min-rate: 2\n    - name: "
        "Plain\n");
    const auto settings = merged(read_settings_file(file.path()));
    EXPECT_EQ(settings.rule.labels, (judge::Labels{{"instance", ""}, {"team", "edge"}}));
    EXPECT_EQ(settings.rule.min_rate, 0.5);
    ASSERT_EQ(settings.rules.size(), 2U);
    EXPECT_EQ(settings.rules[0].labels, (judge::Labels{{"severity", "warning"}}));
    EXPECT_EQ(settings.rules[0].annotations, (judge::Labels{{"runbook", "https://r/?a=b"}}));
    EXPECT_EQ(settings.rules[0].min_rate, 2);
    EXPECT_EQ(settings.rules[1].labels, judge::Labels{});
    const auto flags = merged({}, {{"alert.labels", {"a=1", "b="}}}, {{"alert.labels", {"c=3=3"}}});
    EXPECT_EQ(flags.rule.labels, (judge::Labels{{"c", "3=3"}}));
}

TEST(Settings, TheExternalUrlIsOneThatOthersTake) {
    EXPECT_EQ(merged({}, {}, {{"web.external-url", {"https://h/a%20b/"}}}).web_external_url,
              parse_url("https://h/a%20b"));
    for (const auto* const url :
         {"h", "ftp://h", "http://h/a b", "http://h/%zz", "http://h/\xc3\xbc", "http://h/?a", "http://h/#a"}) {
        EXPECT_FALSE(merge({}, "", {}, {{"web.external-url", {url}}})) << url;
    }
}

TEST(Settings, EveryRuleSaysWhatServicesAreCalled) {
    const SettingsFile file("metrics.names: both\nalert.rules:\n  - name: Errors\n");
    const auto settings = merged(read_settings_file(file.path()));
    EXPECT_EQ(settings.metrics_names, Names::both);
    for (const auto& rule : settings.all_rules()) {
        EXPECT_EQ(rule.names, Names::both) << rule.name;
    }
    EXPECT_EQ(merged({}).metrics_names, Names::backend);
    EXPECT_TRUE(merge({}, "", {}, {{"alert.labels", {"service=shop"}}}));
    const auto taken = merge({}, "", {}, {{"alert.labels", {"service=shop"}}, {"metrics.names", {"service"}}});
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().at(0).message,
              "the label service of the rule TraefikHighHttp4xxErrorRateBackend cannot be set");
}

struct Mistake {
    std::string text;
    std::string said;
};

class Mistakes : public testing::TestWithParam<Mistake> {};

TEST_P(Mistakes, AreSaidWithTheirLine) {
    const SettingsFile file(GetParam().text);
    const auto errors = read_settings_file(file.path()).errors;
    ASSERT_FALSE(errors.empty());
    EXPECT_NE(errors.front().text().find(file.path() + GetParam().said), std::string::npos) << errors.front().text();
    EXPECT_EQ(errors.front().kind, Error::Kind::usage);
}

INSTANTIATE_TEST_SUITE_P(
    All, Mistakes,
    testing::Values(
        Mistake{"\npol.interval: 5s\n", ":2: unknown key pol.interval\nHINT: did you mean poll.interval?"},
        Mistake{"poll:\n  intervall: 5s\n", ":2: unknown key poll.intervall\nHINT: did you mean poll.interval?"},
        Mistake{"zebra: 1\n", ":1: unknown key zebra"},
        Mistake{"poll.interval: soon\n", ":1: poll.interval: \"soon\" is not a duration"},
        Mistake{"poll.interval: 0s\n", ":1: poll.interval: \"0s\" is too short"},
        Mistake{"state.forget-after: 59m\n", ":1: state.forget-after: \"59m\" is too short"},
        Mistake{"poll.interval: [1s]\n", ":1: poll.interval needs a value"},
        Mistake{"poll: {interval: 1s}\npoll.interval: 2s\n", ":2: poll.interval is given twice"},
        Mistake{"metrics.names: v2\n", ":1: metrics.names: \"v2\" is not one of backend, service, both"},
        Mistake{"alert.codes: '4(('\n", ":1: alert.codes:"},
        Mistake{"alert.threshold-percent: 101\n", ":1: alert.threshold-percent: \"101\" is not a percentage"},
        Mistake{"push.url: pushgateway:9091\n", ":1: push.url: \"pushgateway:9091\" is not an http or https URL"},
        Mistake{"web.listen-address: nowhere\n", ":1: web.listen-address: \"nowhere\" is not an address"},
        Mistake{"web.listen-address: ['::1:80']\n", ":1: web.listen-address: \"::1:80\" is not an address"},
        Mistake{"log.level: loud\n", ":1: log.level: \"loud\" is not one of trace, debug"},
        Mistake{"alert.rules:\n  - {codes: 5..}\n", ":2: a rule needs a name"},
        Mistake{"alert.rules:\n  - {name: '', codes: 5..}\n", ":2: a rule needs a name"},
        Mistake{"alert.rules:\n  - {name: [a], codes: 5..}\n", ":2: a rule needs a name"},
        Mistake{"alert.rules:\n  - {name: , codes: 5..}\n", ":2: a rule needs a name"},
        Mistake{"alert.rules:\n  - b\n", ":2: a rule needs a name"},
        Mistake{"alert.rules:\n  - {name: a, code: 5..}\n", ":2: unknown key code in a rule"},
        Mistake{"alert.labels: {'a-b': c}\n", ":1: alert.labels: \"a-b=c\" is not NAME=VALUE"},
        Mistake{"alert.labels: {1a: c}\n", ":1: alert.labels: \"1a=c\" is not NAME=VALUE"},
        Mistake{"alert.labels: {alertname: c}\n", ":1: alert.labels: the label alertname cannot be set"},
        Mistake{"alert.labels: {backend: }\n", ":1: alert.labels: the label backend cannot be set"},
        Mistake{"alert.labels: {a: [b]}\n", ":1: alert.labels needs a map of texts"},
        Mistake{"alert.labels: a\n", ":1: alert.labels: \"a\" is not NAME=VALUE"},
        Mistake{"alert.min-rate: -1\n", ":1: alert.min-rate: \"-1\" is not a rate"},
        Mistake{"alert.min-rate: nan\n", ":1: alert.min-rate: \"nan\" is not a rate"},
        Mistake{"alert.rules:\n  - {name: a, annotations: 5}\n", ":2: annotations: \"5\" is not NAME=VALUE"},
        Mistake{"alert.rules:\n  - {name: a, codes: [5..]}\n", ":2: codes needs a value"},
        Mistake{"alert.rules: 5\n", ":1: alert.rules needs a list"}, Mistake{"a: [\n", ":2:"},
        Mistake{"- a\n", ":1: a settings file is a map"}));

TEST(Settings, APasswordGoesToANamedApiOnly) {
    const Given named{{"traefik.api.username", {"u"}}, {"traefik.api", {"http://127.0.0.1:8080"}}};
    EXPECT_TRUE(merge({}, "", {}, named));
    const auto settings = merge({}, "", {}, {{"traefik.api.username", {"u"}}});
    ASSERT_FALSE(settings);
    EXPECT_TRUE(settings.error()[0].message.contains("traefik.api.username"));
}

TEST(Settings, AWindowHoldsTwoPolls) {
    EXPECT_TRUE(merge({}, "", {}, {{"poll.interval", {"90s"}}, {"alert.window", {"3m"}}}));
    const auto settings = merge({}, "", {}, {{"poll.interval", {"91s"}}, {"alert.window", {"3m"}}});
    ASSERT_FALSE(settings);
    EXPECT_TRUE(settings.error()[0].message.contains("TraefikHighHttp4xxErrorRateBackend"));
}

TEST(Settings, AWindowHasABound) {
    EXPECT_TRUE(merge({}, "", {}, {{"alert.window", {"1d"}}}));
    EXPECT_TRUE(merge({}, "", {}, {{"alert.window", {"30d"}}, {"poll.interval", {"150s"}}}));
    const auto settings = merge({}, "", {}, {{"alert.window", {"30d"}}});
    ASSERT_FALSE(settings);
    EXPECT_EQ(
        settings.error()[0].message,
        "the rule TraefikHighHttp4xxErrorRateBackend has a window of 518400 polls, of which each takes 8 bytes of "
        "memory a series; 17280 are the most, 24h at a poll.interval of 5s");
    const SettingsFile file("alert.rules:\n  - {name: slow, window: 25h}\n");
    EXPECT_FALSE(merge(read_settings_file(file.path()), "", {}, {}));
}

TEST(Settings, NoPasswordOfARefusedUrlIsShown) {
    for (const auto* const name : {"push.url", "traefik.api", "alertmanager.url"}) {
        const SettingsFile file(std::string(name) + ": ftp://USER:secret@h\n");
        const auto in_file = read_settings_file(file.path()).errors;
        ASSERT_EQ(in_file.size(), 1U);
        EXPECT_TRUE(in_file[0].text().contains("\"ftp://h/\" is not an http or https URL")) << in_file[0].text();
        for (const auto* const url :
             {"ftp://USER:secret@h", "http:/USER:secret@h", "USER:secret@h", "http://U:secret@"}) {
            const auto refused = merge({}, "", {}, {{name, {url}}});
            ASSERT_FALSE(refused) << url;
            EXPECT_FALSE(refused.error()[0].text().contains("secret")) << refused.error()[0].text();
        }
    }
}

TEST(Settings, WhoWeAreIsSaidInOneWay) {
    for (const std::string receiver : {"push", "alertmanager"}) {
        const Given token{{receiver + ".bearer-token-file", {"/token"}}};
        const auto with = [&](const std::string& url) {
            auto given = token;
            given[receiver + ".url"] = {url};
            return merge({}, "", {}, given);
        };
        EXPECT_TRUE(with("http://h:1"));
        const auto both = with("http://me:secret@h:1");
        ASSERT_FALSE(both);
        EXPECT_EQ(both.error()[0].message,
                  receiver + ".bearer-token-file beside the name and password in " + receiver + ".url http://h:1/");
        EXPECT_NE(both.error()[0].hint, "");
    }
}

TEST(Settings, ACertificateHasAKey) {
    for (const std::string receiver : {"push", "alertmanager"}) {
        const auto cert = merge({}, "", {}, {{receiver + ".cert-file", {"/c"}}});
        const auto key = merge({}, "", {}, {{receiver + ".key-file", {"/k"}}});
        ASSERT_FALSE(cert);
        ASSERT_FALSE(key);
        EXPECT_EQ(cert.error()[0].message, receiver + ".cert-file without " + receiver + ".key-file");
        EXPECT_EQ(key.error()[0].message, receiver + ".key-file without " + receiver + ".cert-file");
        EXPECT_TRUE(merge({}, "", {}, {{receiver + ".cert-file", {"/c"}}, {receiver + ".key-file", {"/k"}}}));
    }
}

TEST(Settings, FilesAreLookedAtWhenAsked) {
    const SettingsFile file(
        "alertmanager:\n  ca-file: /nowhere/ca.pem\npush:\n  bearer-token-file: /nowhere/token\n"
        "traefik:\n  api.ca-file: /nowhere/api.pem\n");
    const auto settings = merge(read_settings_file(file.path()), "", {}, {});
    ASSERT_TRUE(settings) << "a user who asks for the status may not read them";
    EXPECT_EQ(settings->alertmanager_files.ca_file, "/nowhere/ca.pem");
    const auto mistakes = file_mistakes(*settings);
    ASSERT_EQ(mistakes.size(), 3U);
    EXPECT_EQ(mistakes[0].message, "traefik.api.ca-file: cannot read /nowhere/api.pem: No such file or directory");
    EXPECT_EQ(mistakes[1].message, "push.bearer-token-file: cannot read /nowhere/token: No such file or directory");
    EXPECT_EQ(mistakes[2].message, "alertmanager.ca-file: cannot read /nowhere/ca.pem: No such file or directory");
}

TEST(Settings, OneUrlThatIsNoneSpoilsTheList) {
    EXPECT_FALSE(merge({}, "", {}, {{"alertmanager.url", {"http://a", "b"}}}));
}

TEST(Settings, AreLoadedFromEverySource) {
    const SettingsFile file("push.job: file\npush.interval: 7s\nlog.level: debug\n");
    setenv("UPSTAT_PUSH_JOB", "variable", 1);
    setenv("UPSTAT_LOG_LEVEL", "trace", 1);
    const auto settings = load({.file = file.path(), .flags = {{"log.level", {"error"}}}});
    const auto no_file = load({.file = {}, .flags = {}});
    const auto wrong = load({.file = "/nonexistent/upstat.yml", .flags = {{"log.level", {"loud"}}}});
    unsetenv("UPSTAT_PUSH_JOB");
    unsetenv("UPSTAT_LOG_LEVEL");
    ASSERT_TRUE(settings);
    EXPECT_EQ(settings->push_interval, 7s);
    EXPECT_EQ(settings->push_job, "variable");
    EXPECT_EQ(settings->log_level, "error");
    ASSERT_TRUE(no_file);
    EXPECT_EQ(no_file->push_interval, 15s);
    EXPECT_EQ(no_file->log_level, "trace");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().size(), 2U);
}

TEST(Settings, SomeChangesWaitForARestart) {
    const std::vector<std::string> waiting{
        "traefik.pid", "traefik.cgroup", "traefik.allow",   "web.listen-address", "metrics.names", "push.instance",
        "state.path",  "bpf.pin-path",   "bpf.totals-size", "bpf.requests-size",  "samples",       "log.format"};
    const auto now = merged({});
    for (const auto& option : options()) {
        auto next = now;
        const std::string value = option.value == "URL"                               ? "http://other"
                                  : option.value == "DURATION"                        ? "77h"
                                  : option.value == "HOST:PORT"                       ? ":1"
                                  : option.value == "NAME=VALUE"                      ? "a=b"
                                  : option.name == "log.level"                        ? "trace"
                                  : option.name == "log.format"                       ? "json"
                                  : option.name == "metrics.names"                    ? "both"
                                  : option.name == "probe.tls"                        ? "off"
                                  : option.name == "traefik.api.insecure-skip-verify" ? "true"
                                  : option.name == "alert.codes"                      ? "5.."
                                                                                      : "77";
        ASSERT_TRUE(option.set(next, {value})) << option.name;
        EXPECT_FALSE(option.same(now, next)) << option.name;
        const auto name = std::string(option.name);
        EXPECT_EQ(unreloadable_changes(now, next),
                  std::ranges::count(waiting, name) != 0 ? std::vector<std::string>{name} : std::vector<std::string>{})
            << name;
    }
    EXPECT_EQ(unreloadable_changes(now, now), std::vector<std::string>{});
}

TEST(Settings, AFileThatIsNotThereIsAMistake) {
    const auto errors = read_settings_file("/nonexistent/upstat.yml").errors;
    ASSERT_EQ(errors.size(), 1U);
    EXPECT_EQ(errors[0].message, "cannot read /nonexistent/upstat.yml: No such file or directory");
}

TEST(Settings, AMistakeNamesItsSource) {
    const auto settings = merge({}, "", {{"poll.interval", {"x"}}}, {{"log.format", {"xml"}}});
    ASSERT_FALSE(settings);
    ASSERT_EQ(settings.error().size(), 2U);
    EXPECT_TRUE(settings.error()[0].message.starts_with("UPSTAT_POLL_INTERVAL: "));
    EXPECT_TRUE(settings.error()[1].message.starts_with("--log.format: "));
}

}  // namespace
}  // namespace upstat::config
