// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <fstream>

#include "base/error.hpp"
#include "base/receiver.hpp"
#include "base/temporary_directory.hpp"
#include "base/version.hpp"
#include "cli/command_line.hpp"
#include "cli/log.hpp"

namespace upstat::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

/// What a command printed and how it ended.
struct Ended {
    int code = 0;
    std::string out;
    std::string error;
};

Ended run(std::vector<std::string> words) {
    words.insert(words.begin(), "upstat");
    std::vector<char*> pointers;
    for (auto& word : words) {
        pointers.push_back(word.data());
    }
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Ended ended{.code = run_command_line(static_cast<int>(pointers.size()), pointers.data()), .out = {}, .error = {}};
    ended.out = testing::internal::GetCapturedStdout();
    ended.error = testing::internal::GetCapturedStderr();
    return ended;
}

/// A web server that says the same at every path of the API.
class Agent {
  public:
    explicit Agent(std::string says) {
        receiver_.server.Get("/api/v1/.*", [says](const httplib::Request&, httplib::Response& response) {
            response.set_content(says, "application/json");
        });
        address_ = receiver_.start().substr(7);
    }
    [[nodiscard]] Ended asked(std::vector<std::string> words) const {
        words.push_back("--web.listen-address=" + address_);
        return run(std::move(words));
    }
    [[nodiscard]] const std::string& address() const { return address_; }

  private:
    Receiver receiver_;
    std::string address_;
};

/// All that the commands read, of a backend and a server whose names are hostile.
constexpr auto status = R"({
  "ready": false, "not_ready": "no \u001b[31mTraefik", "last_poll": null, "poll_seconds": 0.0021,
  "traefiks": [{"pid": 7, "version": "3.\u009b2J", "attached": true, "cgroup": "/a\nb", "api": "", "problem": "p\u001b"}],
  "maps": [{"map": "totals", "entries": 5, "capacity": 10}],
  "programs": [{"program": "ingress", "runs": 0, "seconds": 0.0}, {"program": "egress", "runs": 12, "seconds": 0.5}],
  "results": {"polls": {"success": 3, "failure": 1, "last_error": "bad\u0007"}},
  "left_out_servers": ["1", "2", "3", "4", "5", "6", "7", "8\u001b", "9"],
  "alertmanagers": {"http://two:9093\u001b": {"success": 0, "failure": 4, "last_error": "refused\u0007"}},
  "unresolved_names": {"no\u001b": "no such host"}, "unresolved_count": 3, "notice": "no backend is known\u001b", "unwatched_cgroups": 3,
  "reading_threads": "user 7\u001b", "kernel_errors": {"none": 0, "some\u001b": 2}})";
constexpr auto backends = R"({"at": "now",
  "backends": {"a": {"ratio": 0.9, "rate": 1.0, "requests": 1, "provider": "file", "outage": "", "alerts": {}, "listed": []},
    "sh\u001b[2Jop": {"ratio": 0.25, "rate": 4.0, "requests": 9, "provider": "file\u001b", "outage": "no\u001b responses",
    "alerts": {"A\u001b": {"state": "firing", "ratio": 0.5}, "B": {"state": "inactive", "ratio": null}}, "listed": [{"up": false, "servers": ["10.0.0.1:80\u001b", "unseen"]}, {"up": true, "servers": ["10.0.0.2:80"]}]}},
  "servers": {"10.0.0.1:80\u001b": {"requests": 9, "outstanding": 1, "window": {"seconds": 185.4, "codes": {"404": 3}}, "codes": {"200": 5, "404": 3, "500": 0},
    "unanswered": {"reset\u001b": 1}, "unread": {}, "connect_failures": {}},
    "10.0.0.2:80": {"requests": 7, "outstanding": 0, "window": {"seconds": 185.4, "codes": {"200": 1, "503": 4}}, "codes": {"404": 7},
    "unanswered": {}, "unread": {}, "connect_failures": {"refused": 2}}},
  "rules": [{"name": "A\u001b", "codes": "5..\u001b", "threshold_percent": 5}, {"name": "B", "codes": "4..", "threshold_percent": 7.5}],
  "alerts": [{"backend": "sh\u001b[2Jop", "alert": "A\u001b", "state": "firing", "ratio": 0.5, "rate": 4.0,
      "worst": {"server": "10.0.0.1:80\u001b", "code": 500, "count": 8}, "active_since": "morning", "firing_since": "noon\u001b"},
    {"backend": "sh\u001b[2Jop", "alert": "B", "state": "inactive", "ratio": null, "rate": 0,
      "worst": null, "active_since": null, "firing_since": null}]})";

TEST(Status, IsPrintedWithoutAnotherOnesControls) {
    const auto ended = Agent(status).asked({"status"});
    EXPECT_EQ(ended.code, 0) << ended.error;
    EXPECT_EQ(ended.out,
              "ready      no: no \\x1b[31mTraefik\n"
              "last poll  - (2.1 ms)\n"
              "traefik    pid 7 version 3.\\xc2\\x9b2J counted in /a\\x0ab\n"
              "           api -\n"
              "           problem: p\\x1b\n"
              "map        totals: 5 of 10 (50 %)\n"
              "program    ingress\n"
              "program    egress: 12 runs, 0.5 s\n"
              "polls                      3 good, 1 failed, last: bad\\x07\n"
              "alertmanager http://two:9093\\x1b 0 good, 4 failed, last: refused\\x07\n"
              "name       no\\x1b cannot be looked up: no such host\n"
              "name       2 more cannot be looked up\n"
              "notice     ready, but no backend is known\\x1b\n"
              "left out   9 servers of TCP or UDP services: 1, 2, 3, 4, 5, 6, 7, 8\\x1b, ...\n"
              "cgroups    3 without an inotify watch: raise fs.inotify.max_user_watches\n"
              "threads    that read foreign bytes: user 7\\x1b\n"
              "kernel     some\\x1b: 2\n");
}

TEST(Top, IsPrintedWithoutAnotherOnesControls) {
    const auto ended = Agent(backends).asked({"top"});
    EXPECT_EQ(ended.code, 0) << ended.error;
    EXPECT_EQ(
        ended.out,
        "BACKEND / SERVER                 RESPONSES   PER SEC       4XX  ALERTS / CODES IN THE WINDOW\n"
        "sh\\x1b[2Jop                              9       4.0    25.0 %  no\\x1b responses, firing 50.0 % A\\x1b\n"
        "  10.0.0.2:80                            7                      200:1 503:4\n"
        "  10.0.0.1:80\\x1b                        8                      404:3 DOWN\n"
        "a                                        1       1.0    90.0 %  inactive\n");
}

constexpr auto explanation = R"({"at": "now", "backends": {"a": {}, "sh\u001b[2Jop": {}}, "backend": "sh\u001b[2Jop",
  "sentence": "sh\u001b[2Jop: bad", "facts": [{"topic": "since", "text": "no\u009bon"}, {"topic": "server", "text": "one\nbad"}],
  "next": [{"text": "ask", "command": "curl '\u001b'"}, {"text": "watch", "command": ""}]})";
constexpr auto explanations = R"({"at": "now", "sentence": "a\u001b: bad", "problems": [
  {"sentence": "a\u001b: bad", "facts": [{"topic": "since", "text": "noon"}], "next": []},
  {"sentence": "b: worse\u001b", "facts": [{"topic": "since", "text": "one"}], "next": []}]})";

TEST(Commands, CallServicesWhatTheAgentCallsThem) {
    std::string services(backends);
    services.insert(1, R"("names": "service", )");
    EXPECT_THAT(Agent(services).asked({"top"}).out, testing::StartsWith("SERVICE / SERVER  "));
    EXPECT_THAT(Agent(services).asked({"explain", "x"}).error, HasSubstr("there is no service x\n"));
    services = std::string(backends);
    services.insert(1, R"("names": 5, )");
    EXPECT_EQ(Agent(services).asked({"top"}).code, 1);
}

TEST(Explain, IsPrintedWithoutAnotherOnesControls) {
    const auto ended = Agent(explanation).asked({"explain", "sh\x1b[2Jop"});
    EXPECT_EQ(ended.code, 0) << ended.error;
    EXPECT_EQ(ended.out,
              "sh\\x1b[2Jop: bad\n"
              "  since    no\\xc2\\x9bon\n"
              "  server   one\\x0abad\n"
              "  next     ask\n"
              "             curl '\\x1b'\n"
              "           watch\n");
    const auto unknown = Agent(backends).asked({"explain", "x\x1b"});
    EXPECT_EQ(unknown.code, 2);
    EXPECT_EQ(unknown.error, "upstat: there is no backend x\\x1b\nHINT: known are a, sh\\x1b[2Jop\n");
}

TEST(Commands, PrintTheAgentsJson) {
    EXPECT_THAT(Agent(status).asked({"status", "--output=json"}).out, HasSubstr("\"poll_seconds\": 0.0021"));
    EXPECT_THAT(Agent(backends).asked({"top", "--output=json"}).out, HasSubstr("\"at\": \"now\""));
    EXPECT_THAT(Agent(explanation).asked({"explain", "sh\x1b[2Jop", "--output=json"}).out, HasSubstr("\"sentence\": "));
}

TEST(Explain, WithoutANameHasTheWorstInFullAndALineForEachOther) {
    EXPECT_EQ(Agent(explanations).asked({"explain"}).out, "a\\x1b: bad\n  since    noon\n\nb: worse\\x1b\n");
    EXPECT_EQ(Agent(R"({"at": "now", "sentence": "all is well", "problems": []})").asked({"explain"}).out,
              "all is well\n");
}

constexpr auto sockets = R"({"at": "now", "problem": "", "hint": "", "total": 1003, "left_out": 1001, "complete": false,
  "states": {"idle": 1001, "waiting": 2}, "backends": {"sh\u001b[2Jop": {}},
  "sockets": [{"server": "10.0.0.1:80\u001b", "backends": ["sh\u001b[2Jop"], "local_port": 40312, "state": "waiting", "seconds": 1.26,
    "age_seconds": 185.0, "joined": false, "responses": {"2xx": 100, "3xx": 0, "4xx": 7, "5xx": 4000000000}},
   {"server": "[fd00::1]:8080", "backends": [], "local_port": 99, "state": "idle\u001b", "seconds": 59.9, "age_seconds": 7260, "joined": true,
    "responses": {"2xx": 1, "3xx": 2, "4xx": 3, "5xx": 4}}]})";

TEST(SocketsCommand, HasALineForEachWithoutAnotherOnesControls) {
    const auto ended = Agent(sockets).asked({"sockets", "sh\x1b[2Jop"});
    EXPECT_EQ(ended.code, 0) << ended.error;
    EXPECT_EQ(ended.out,
              "sh\\x1b[2Jop: 1003 connections: 1001 idle, 2 waiting\n"
              "SERVER            PORT  STATE                   2XX     3XX     4XX     5XX      AGE\n"
              "10.0.0.1:80\\x1b  40312  waiting 1.3s            100       0       7 4000000000    3m05s\n"
              "[fd00::1]:8080      99  idle\\x1b 59s              1       2       3       4   >2h01m\n"
              "and 1001 more, with fewer errors\n"
              "there are more than were looked at\n");
    EXPECT_THAT(Agent(sockets).asked({"sockets", "--output=json"}).out, HasSubstr("\"local_port\": 40312"));
    EXPECT_EQ(Agent(sockets).asked({"sockets", "x"}).code, 2);
}

TEST(SocketsCommand, SaysWhyThereAreNone) {
    const auto ended = Agent(R"({"problem": "this kernel\u001b does not", "hint": "so"})").asked({"sockets"});
    EXPECT_EQ(ended.code, 3);
    EXPECT_EQ(ended.error, "upstat: this kernel\\x1b does not\nHINT: so\n");
    EXPECT_EQ(
        Agent(
            R"({"problem": "", "hint": "", "total": 0, "left_out": 0, "complete": true, "states": {}, "sockets": []})")
            .asked({"sockets"})
            .out,
        "0 connections\n");
}

/// What is no agent: another web server, or an agent of another version.
class Foreign : public testing::TestWithParam<std::string> {};

TEST_P(Foreign, IsOneSentence) {
    const Agent foreign(GetParam());
    for (const auto& command :
         std::vector<std::vector<std::string>>{{"status"}, {"top"}, {"explain", "shop"}, {"sockets"}}) {
        for (const auto* const output : {"text", "json"}) {
            auto words = command;
            words.push_back(std::string("--output=") + output);
            const auto ended = foreign.asked(words);
            EXPECT_EQ(ended.code, 1) << command[0];
            EXPECT_EQ(ended.out, "") << command[0];
            EXPECT_THAT(ended.error, testing::StartsWith("upstat: what answers at http://" + foreign.address() +
                                                         " is no upstat of this version\nHINT: "))
                << command[0];
        }
    }
}

INSTANTIATE_TEST_SUITE_P(
    All, Foreign,
    testing::Values(
        "{}", "[]", "null", "5", "\"text\"", "<html>", "", R"({"ready": "yes"})",
        R"({"ready": true, "last_poll": null, "poll_seconds": 0, "traefiks": [5], "backends": {"shop": 5}})",
        R"({"backends": {"shop": {"requests": "many"}}, "servers": [], "at": 0, "alerts": 1})"));

TEST(Commands, SayWhereNobodyListens) {
    const auto ended = run({"status", "--web.listen-address=127.0.0.1:1"});
    EXPECT_EQ(ended.code, 1);
    EXPECT_THAT(ended.error, HasSubstr("no agent answers: GET http://127.0.0.1:1/api/v1/status: connection refused"));
    EXPECT_EQ(run({"status", "--web.listen-address=:1"}).error, ended.error) << "every address is asked by loopback";
}

TEST(Commands, SayWhenTheAgentWantsAPassword) {
    Receiver locked;
    locked.server.Get("/api/v1/.*",
                      [](const httplib::Request&, httplib::Response& response) { response.status = 401; });
    const auto address = locked.start().substr(7);
    const auto ended = run({"status", "--web.listen-address=" + address});
    EXPECT_EQ(ended.code, 1);
    EXPECT_THAT(ended.error, HasSubstr("wants a user and a password"));
    EXPECT_THAT(ended.error, HasSubstr("curl -u USER http://" + address + "/api/v1/status"));
}

TEST(Commands, AskNoProxyOfTheEnvironment) {
    const Proxied proxied;
    const Agent agent(status);
    EXPECT_EQ(agent.asked({"status"}).code, 0);
    // Not the loopback by its look: an agent on another address of this host.
    const auto port = agent.address().substr(agent.address().rfind(':'));
    run({"status", "--web.listen-address=[::ffff:0.0.0.0]" + port});
    EXPECT_EQ(proxied.asked(), 0);
}

TEST(CheckConfig, WaitsForNoPipe) {
    const TemporaryDirectory directory;
    const auto pipe = (directory.path() / "pipe").string();
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    const auto refused = ": cannot read " + pipe + ": it is no regular file";
    std::vector<std::string> settings{"backends.file", "web.config.file", "traefik.api.password-file",
                                      "traefik.api.ca-file"};
    for (const std::string receiver : {"push", "alertmanager"}) {
        for (const std::string file : {".ca-file", ".bearer-token-file", ".cert-file", ".key-file"}) {
            settings.push_back(receiver + file);
        }
    }
    const auto file = (directory.path() / "upstat.yml").string();
    {
        std::ofstream text(file);
        for (const auto& setting : settings) {
            text << setting << ": " << pipe << '\n';
        }
    }
    const auto ended = run({"check-config", file});
    EXPECT_EQ(ended.code, 2);
    for (const auto& setting : settings) {
        EXPECT_THAT(ended.out, HasSubstr(setting + refused));
    }
    const auto web = (directory.path() / "web.yml").string();
    std::ofstream(web) << "tls_server_config:\n  cert_file: pipe\n  key_file: pipe\n";
    std::ofstream(file) << "web.config.file: " << web << '\n';
    const auto tls = run({"check-config", file});
    EXPECT_THAT(tls.out, HasSubstr(web + ":2: cert_file" + refused));
    EXPECT_THAT(tls.out, HasSubstr(web + ":3: key_file" + refused));
    EXPECT_THAT(run({"check-config", pipe}).out, HasSubstr(refused.substr(2)));
}

TEST(CommandLine, SaysItsVersion) {
    const auto text = "upstat " + std::string(version()) + " (revision " + std::string(revision()) + ")\n";
    for (const auto* const word : {"version", "--version", "-V"}) {
        const auto ended = run({word});
        EXPECT_EQ(ended.code, 0) << word;
        EXPECT_EQ(ended.out, text) << word;
    }
}

struct Slip {
    std::vector<std::string> words;
    std::string said;
};

TEST(CommandLine, HintsAtWhatWasMeant) {
    const std::vector<Slip> slips{
        {{"run", "--pol.interval=3s"}, "there is no flag --pol.interval\nHINT: did you mean --poll.interval?"},
        {{"--poll-interval", "3s"}, "there is no flag --poll-interval\nHINT: did you mean --poll.interval?"},
        {{"status", "--listen-address=:1"},
         "there is no flag --listen-address\nHINT: did you mean --web.listen-address?"},
        {{"--configfile=x"}, "there is no flag --configfile\nHINT: did you mean --config.file?"},
        {{"--zebra"}, "there is no flag --zebra\nHINT: see `upstat --help`"},
        {{"stauts"}, "there is no command stauts\nHINT: did you mean status?"},
        {{"check_config", "f"}, "there is no command check_config\nHINT: did you mean check-config?"},
        {{"zebra"}, "there is no command zebra\nHINT: see `upstat --help`"},
        {{"status", "shop"}, "\"shop\" is one word too many\nHINT: see `upstat --help`"},
    };
    for (const auto& slip : slips) {
        const auto ended = run(slip.words);
        EXPECT_EQ(ended.code, 2) << slip.said;
        EXPECT_EQ(ended.error, "upstat: " + slip.said + "\n");
    }
}

TEST(CommandLine, ShowsNoPasswordOfWhatItRefuses) {
    for (const auto& words : std::vector<std::vector<std::string>>{{"--push.urll=http://u:secret@h"},
                                                                   {"--push.url=ftp://u:secret@h"},
                                                                   {"http://u:secret@h"},
                                                                   {"status", "http://u:secret@h"}}) {
        const auto ended = run(words);
        EXPECT_EQ(ended.code, 2);
        EXPECT_THAT(ended.error, Not(HasSubstr("secret")));
    }
}

TEST(Log, HasNoControlsInIt) {
    testing::internal::CaptureStderr();
    set_up_log("info", "json");
    spdlog::info("{}", "a\x1b[2J\u009b2J\x7f\nb\u00e9\"");
    const auto line = testing::internal::GetCapturedStderr();
    EXPECT_THAT(line, HasSubstr("\"msg\":\"a\\u001b[2J\\u009b2J\\u007f\\nb\u00e9\\\"\"}"));
}

TEST(Log, HasAHintAsAFieldOfItsOwn) {
    const Error error{.kind = Error::Kind::runtime, .message = "it \"broke\"", .hint = "mend\nit"};
    testing::internal::CaptureStderr();
    set_up_log("info", "json");
    spdlog::info("{}", error.text("nothing works"));
    set_up_log("info", "logfmt");
    spdlog::info("{}", error.text());
    spdlog::info("all is well");
    const auto lines = testing::internal::GetCapturedStderr();
    EXPECT_THAT(lines, HasSubstr(R"("msg":"it \"broke\": nothing works","hint":"mend\nit"})"));
    EXPECT_THAT(lines, HasSubstr(R"(msg="it \"broke\"" hint="mend\nit")"
                                 "\n"));
    EXPECT_THAT(lines, HasSubstr("msg=\"all is well\"\n"));
}

}  // namespace
}  // namespace upstat::cli
