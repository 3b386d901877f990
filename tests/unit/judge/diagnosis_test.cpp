// SPDX-License-Identifier: Apache-2.0
// The ten incidents of issue 18, made of numbers: the first sentence names the true cause.
#include "judge/diagnosis.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace upstat::judge {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::StartsWith;

const std::string shop = "shop@file";
const std::string blog = "blog@file";

poll::Server server(int number) {
    return *poll::parse_server("10.0.0." + std::to_string(number) + ":80");
}

std::string label(int number) {
    return to_string(server(number));
}

using Layout = std::map<std::string, std::vector<int>>;

/// A host whose traffic a test tells second by second. It polls every five.
class Host {
    auto with(auto&& ask) {
        const auto view = history_.view();
        const std::vector<poll::Server> streams;
        const Evidence evidence{.now = now_,
                                .history = view,
                                .catalogue = catalogue_,
                                .owners = owners_,
                                .servers = totals_,
                                .streams = streams,
                                .before = past_.begin(),
                                .routed = routed_,
                                .alerts = alerts_,
                                .outages = outages_,
                                .rules = rules_,
                                .traefiks = traefiks_};
        return ask(Diagnoser(evidence));
    }

  public:
    explicit Host(Layout backends = {{shop, {1, 2, 3, 4, 5}}}) {
        for (const auto& [name, servers] : backends) {
            list(name, servers);
        }
        poll();
    }

    void list(const std::string& name, const std::vector<int>& servers, const std::set<int>& down = {}) {
        auto& backend = next_.backends[name];
        backend.listed.clear();
        for (const int number : servers) {
            backend.listed.push_back(attribute::listed_at("http://" + label(number), !down.contains(number)));
            auto& owners = owners_[server(number)];
            owners.insert(name);
        }
        counts_.try_emplace(name);
    }
    void respond(int number, std::uint16_t code, std::uint64_t count = 1, poll::Method method = poll::Method::get) {
        totals_[server(number)].responses[{code, method}] += count;
        totals_[server(number)].requests += count;
        for (const auto& name :
             owners_.contains(server(number)) ? owners_.at(server(number)) : std::set<std::string>()) {
            counts_[name][{code, method, attribute::Protocol::http}] += count;
        }
    }
    /// To a server that a group lists, by a route of one of its members.
    void respond_by_route(const std::string& name, int number, std::uint16_t code, std::uint64_t count) {
        totals_[server(number)].responses[{code, poll::Method::get}] += count;
        routed_[name][server(number)][{code, poll::Method::get}] += count;
        counts_[name][{code, poll::Method::get, attribute::Protocol::http}] += count;
    }
    poll::ServerTotals& totals(int number) { return totals_[server(number)]; }

    /// Another Traefik with a shop of the same name, whose only server has the address of the first one's first.
    void another_traefik() {
        traefiks_ = {{0, "traefik.service"}, {3, "edge"}};
        auto listed = attribute::listed_at("http://" + label(1));
        listed.servers = {there()};
        next_.backends[{shop, 3}].listed = {listed};
        owners_[there()].insert(shop);
        counts_.try_emplace({shop, 3});
    }
    void respond_there(std::uint16_t code, std::uint64_t count) {
        totals_[there()].responses[{code, poll::Method::get}] += count;
        totals_[there()].requests += count;
        counts_[{shop, 3}][{code, poll::Method::get, attribute::Protocol::http}] += count;
    }
    static poll::Server there() {
        auto server = judge::server(1);
        server.zone = 3;
        return server;
    }

    /// So many polls; before each, `traffic` is called.
    void run(int polls, const std::function<void()>& traffic) {
        for (int i = 0; i < polls; ++i) {
            traffic();
            poll();
        }
    }
    /// An hour in which each of these servers gives 10 responses a poll, one in 300 of them a 404.
    void quiet_hour(const std::vector<int>& servers) {
        int sent = 0;
        run(720, [&] {
            for (const int number : servers) {
                respond(number, 200, 10);
                if (++sent % 30 == 0) {
                    respond(number, 404);
                }
            }
        });
    }
    void fire(const attribute::BackendName& backend, const std::string& rule = "TraefikHighHttp4xxErrorRateBackend") {
        Alert alert{.rule = rule, .backend = backend, .state = State::firing, .percent = 30};
        alert.active_since = alert.firing_since = now_;
        alerts_.alerts.push_back(alert);
    }
    void outage(const std::string& backend, const std::string& text) { outages_[backend] = text; }

    Diagnosis diagnose(const attribute::BackendName& backend = shop) {
        return with([&](const Diagnoser& diagnoser) { return diagnoser.of(backend); });
    }
    std::vector<Diagnosis> problems() {
        return with([](const Diagnoser& diagnoser) { return diagnoser.problems(); });
    }
    [[nodiscard]] std::string now() const { return rfc3339(now_.wall); }

  private:
    void poll() {
        now_.at += std::chrono::seconds(5);
        now_.wall += std::chrono::seconds(5);
        history_.add(now_, counts_, totals_);
        if (next_ != catalogue_) {
            history_.note(history::changes(catalogue_, next_, now_));
            catalogue_ = next_;
        }
        past_.add({.at = now_.at, .servers = totals_});
    }
    Moment now_{.at = Time(std::chrono::hours(1000)), .wall = Wall(std::chrono::seconds(1'700'000'000))};
    history::History history_;
    attribute::Catalogue catalogue_;
    attribute::Catalogue next_;
    attribute::Owners owners_;
    std::map<attribute::BackendName, attribute::SeriesCounts> counts_;
    poll::Servers totals_;
    Routed routed_;
    Past past_{std::chrono::minutes(3)};
    Alerts alerts_;
    Outages outages_;
    attribute::TraefikNames traefiks_;
    std::vector<Rule> rules_{Rule{}, Rule{.name = "Http5xx", .codes = "5.."}};
};

TEST(Diagnosis, AnotherTraefiksServerOfTheSameAddressIsAnother) {
    Host host;
    host.another_traefik();
    host.fire({shop, 3});
    host.run(40, [&] {
        host.respond(1, 200, 10);
        host.respond_there(404, 10);
    });
    EXPECT_EQ(host.diagnose().cause, Cause::well) << host.diagnose().sentence;
    const auto found = host.diagnose({shop, 3});
    EXPECT_THAT(found.sentence, StartsWith("shop@file of edge: the only server 10.0.0.1:80 is bad: 100 %"));
    EXPECT_THAT(found.servers, ElementsAre(Host::there()));
    ASSERT_EQ(host.problems().size(), 1U);
    EXPECT_EQ(host.problems().front().backend, attribute::BackendName(shop, 3));
}

TEST(Diagnosis, AServerThatABackendSharesIsNamedByWhatCameByItsRoutes) {
    Host host({{shop, {}}, {blog, {}}, {"blog@file|shop@file", {1, 2}}});
    host.run(40, [&] {
        host.respond_by_route(blog, 1, 200, 90);
        host.respond_by_route(blog, 2, 404, 90);
        host.respond_by_route(shop, 1, 404, 9);
        host.respond_by_route(shop, 2, 200, 10);
    });
    host.fire(shop);
    const auto found = host.diagnose();
    EXPECT_EQ(found.cause, Cause::one_server) << found.sentence;
    EXPECT_THAT(found.sentence, StartsWith("shop@file: 1 of 2 servers is bad: 10.0.0.1:80, shared with "
                                           "blog@file|shop@file: 100 % of its responses in the last 3m are 404"));
    EXPECT_THAT(found.servers, ElementsAre(server(1)));
    EXPECT_EQ(host.diagnose(blog).cause, Cause::well) << "no alert of its is loud";
}

TEST(Diagnosis, InAQuietHourWithAFew404sNothingIsWrong) {
    Host host;
    host.quiet_hour({1, 2, 3, 4, 5});
    const auto found = host.diagnose();
    EXPECT_EQ(found.cause, Cause::well);
    EXPECT_THAT(found.sentence, StartsWith("shop@file: nothing is wrong: 10 responses a second, 0.3"));
    EXPECT_TRUE(found.next.empty());
    EXPECT_TRUE(host.problems().empty());
}

TEST(Diagnosis, OneBadServerOfFive) {
    Host host;
    host.quiet_hour({1, 2, 3, 4, 5});
    const auto began = host.now();
    host.run(40, [&] {
        for (const int number : {1, 2, 4, 5}) {
            host.respond(number, 200, 10);
        }
        host.respond(3, 404, 9, poll::Method::post);
        host.respond(3, 200, 1);
    });
    host.fire(shop);
    const auto found = host.diagnose();
    EXPECT_EQ(found.cause, Cause::one_server);
    EXPECT_EQ(found.severity, Severity::firing);
    EXPECT_EQ(found.sentence,
              "shop@file: 1 of 5 servers is bad: 10.0.0.3:80: 90 % of its responses in the last 3m are 404, of the "
              "others' 0 %, since " +
                  began);
    EXPECT_THAT(found.servers, ElementsAre(server(3)));
    EXPECT_THAT(found.facts,
                Contains(Field(&Fact::text, testing::ContainsRegex("lately 404: [0-9]+ .POST [0-9]+.; 200: "))));
    EXPECT_THAT(found.facts, Contains(AllOf(Field(&Fact::topic, "before"),
                                            Field(&Fact::text, HasSubstr("of them bad; now 10 and 18 %")))));
    EXPECT_THAT(found.facts, Contains(Field(&Fact::text, HasSubstr("nothing changed in Traefik's catalogue"))));
    EXPECT_THAT(found.next.front().command, "curl -sv -o /dev/null -H 'Host: HOST' 'http://10.0.0.3:80/PATH'");
}

TEST(Diagnosis, TwoBadServersOfFive) {
    Host host;
    host.run(40, [&] {
        for (const int number : {1, 2, 3}) {
            host.respond(number, 200, 10);
        }
        host.respond(4, 404, 9);
        host.respond(5, 404, 7);
        host.respond(5, 200, 3);
    });
    host.fire(shop);
    EXPECT_THAT(host.diagnose().sentence,
                StartsWith("shop@file: 2 of 5 servers are bad: 10.0.0.4:80, 10.0.0.5:80: 84.2 % of their responses"));
}

TEST(Diagnosis, AllBad) {
    Host host;
    host.quiet_hour({1, 2, 3, 4, 5});
    host.run(40, [&] {
        for (int number = 1; number <= 5; ++number) {
            host.respond(number, 500, 9);
            host.respond(number, 200);
        }
    });
    host.fire(shop, "Http5xx");
    const auto found = host.diagnose();
    EXPECT_EQ(found.cause, Cause::all_servers);
    EXPECT_THAT(found.sentence,
                StartsWith("shop@file: all 5 servers are bad: 90 % of the responses in the last 3m are 500, since "));
}

TEST(Diagnosis, ABadDeploy) {
    Host host;
    host.quiet_hour({1, 2, 3, 4, 5});
    const auto began = host.now();
    host.list(shop, {6, 7, 8});
    host.run(40, [&] {
        for (const int number : {6, 7, 8}) {
            host.respond(number, 404, 10);
        }
    });
    host.fire(shop);
    const auto found = host.diagnose();
    EXPECT_EQ(found.cause, Cause::new_servers);
    EXPECT_THAT(found.sentence,
                AllOf(StartsWith("shop@file: bad since new servers came at "),
                      HasSubstr("(3 servers are added: 10.0.0.6:80, 10.0.0.7:80, 10.0.0.8:80): 100 % of their")));
    EXPECT_THAT(found.facts,
                Contains(AllOf(Field(&Fact::topic, "change"), Field(&Fact::text, HasSubstr("5 servers are removed")))));
    EXPECT_THAT(found.next[1].text, HasSubstr("rolling it back"));
    EXPECT_FALSE(began.empty());
}

TEST(Diagnosis, OneRouteThat404s) {
    Host host;
    host.quiet_hour({1, 2, 3, 4, 5});
    host.run(40, [&] {
        for (int number = 1; number <= 5; ++number) {
            host.respond(number, 404, 2);
            host.respond(number, 200, 8);
        }
    });
    host.fire(shop);
    const auto found = host.diagnose();
    EXPECT_EQ(found.cause, Cause::some_requests);
    EXPECT_THAT(
        found.sentence,
        StartsWith(
            "shop@file: a part of the requests fails, on all 5 servers: 20 % of the responses in the last 3m are 404"));
}

TEST(Diagnosis, UnauthorizedAndRateLimited) {
    for (const auto& [code, cause, words] : {std::tuple(401, Cause::unauthorized, "want of authorization"),
                                             std::tuple(429, Cause::rate_limited, "limit the rate of requests")}) {
        Host host;
        host.run(40, [&] {
            for (int number = 1; number <= 5; ++number) {
                host.respond(number, static_cast<std::uint16_t>(code), 6);
                host.respond(number, 200, 4);
            }
        });
        host.fire(shop);
        const auto found = host.diagnose();
        EXPECT_EQ(found.cause, cause);
        EXPECT_THAT(found.sentence, HasSubstr(words));
    }
}

/// Traefik answers 500 by itself when forwardAuth's server is away: the backend is asked no more.
TEST(Diagnosis, TheAuthenticationServerIsDown) {
    Host host;
    host.quiet_hour({1, 2, 3, 4, 5});
    const auto began = host.now();
    host.run(40, [&] { host.totals(99).connect_failures["refused"] += 50; });
    const auto found = host.diagnose();
    EXPECT_EQ(found.cause, Cause::no_traffic);
    EXPECT_THAT(found.sentence, AllOf(StartsWith("shop@file: no responses for 3m20s, after 9.98 a second"),
                                      HasSubstr("meanwhile 10.0.0.99:80, which no backend lists, fails: connections "),
                                      testing::EndsWith("since " + began)));
    const auto problems = host.problems();
    ASSERT_EQ(problems.size(), 2U);
    EXPECT_EQ(problems[1].cause, Cause::connect_failures);
    EXPECT_EQ(problems[1].backend, "");
}

TEST(Diagnosis, ConnectFailures) {
    Host host;
    host.quiet_hour({1, 2, 3, 4, 5});
    const auto began = host.now();
    host.run(40, [&] {
        for (const int number : {1, 2, 3, 4}) {
            host.respond(number, 200, 10);
        }
        host.totals(5).connect_failures["refused"] += 10;
    });
    const auto found = host.diagnose();
    EXPECT_EQ(found.cause, Cause::connect_failures);
    EXPECT_EQ(found.severity, Severity::notice);
    EXPECT_EQ(
        found.sentence,
        "shop@file: connections fail to 1 of 5 servers: 10.0.0.5:80: 360 refused in the last 3m; Traefik answers 502 "
        "or asks another server, since " +
            began);
    EXPECT_THAT(found.next.front().command, HasSubstr("--max-time 10"));
}

TEST(Diagnosis, AnOutageIsSaidFirst) {
    Host host;
    host.quiet_hour({1, 2, 3, 4, 5});
    host.run(40, [&] {
        for (int number = 1; number <= 5; ++number) {
            host.totals(number).requests += 5;
            host.totals(number).unanswered["reset"] += 5;
        }
    });
    host.fire(shop);
    host.outage(shop, "no responses for 3m20s, 5 requests a second unanswered: reset");
    const auto found = host.diagnose();
    EXPECT_EQ(found.severity, Severity::outage);
    EXPECT_EQ(found.cause, Cause::unanswered);
    EXPECT_THAT(found.sentence, HasSubstr("900 reset in the last 3m (no responses for 3m20s"));
}

TEST(Diagnosis, ClientsThatGiveUp) {
    Host host;
    host.quiet_hour({1, 2, 3, 4, 5});
    host.run(40, [&] {
        host.respond(1, 200, 10);
        host.totals(2).requests += 3;
        host.totals(2).unanswered["aborted"] += 3;
    });
    const auto found = host.diagnose();
    EXPECT_EQ(found.cause, Cause::client_cancelled);
    EXPECT_THAT(found.sentence, HasSubstr("clients give up before the response: 108 requests in the last 3m"));
}

TEST(Diagnosis, AHealthCheckThatFails) {
    Host host;
    host.quiet_hour({1, 2, 3, 4, 5});
    host.list(shop, {1, 2, 3, 4, 5}, {2});
    host.run(40, [&] { host.respond(1, 200, 40); });
    EXPECT_EQ(host.diagnose().sentence, "shop@file: Traefik's health check has taken 1 of 5 servers out: 10.0.0.2:80");
    host.list(shop, {1, 2, 3, 4, 5}, {1, 2, 3, 4, 5});
    host.run(1, [] {});
    const auto all = host.diagnose();
    EXPECT_EQ(all.severity, Severity::outage);
    EXPECT_THAT(all.sentence,
                HasSubstr("5 of 5 servers out: 10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80 and 2 more; none is left"));
}

TEST(Diagnosis, ASharedServer) {
    Host host(Layout{{shop, {1, 2}}, {blog, {2, 3}}});
    host.quiet_hour({1, 2, 3});
    host.run(40, [&] {
        host.respond(1, 200, 10);
        host.respond(3, 200, 10);
        host.respond(2, 404, 10);
    });
    host.fire(shop);
    host.fire(blog);
    EXPECT_THAT(host.diagnose().sentence,
                StartsWith("shop@file: 1 of 2 servers is bad: 10.0.0.2:80, shared with blog@file: 100 %"));
    EXPECT_THAT(host.diagnose(blog).sentence, HasSubstr("10.0.0.2:80, shared with shop@file"));
    EXPECT_THAT(host.diagnose().facts, Contains(Field(&Fact::text, "1 other backend has the same alert: blog@file")));
}

TEST(Diagnosis, TheOnlyServer) {
    Host host(Layout{{shop, {1}}});
    host.run(40, [&] { host.respond(1, 404, 10); });
    host.fire(shop);
    EXPECT_THAT(host.diagnose().sentence,
                StartsWith("shop@file: the only server 10.0.0.1:80 is bad: 100 % of the responses"));
}

TEST(Diagnosis, FiveHundredsWithoutARuleAreANotice) {
    Host host;
    host.run(40, [&] {
        host.respond(1, 503, 10);
        host.respond(2, 200, 10);
    });
    const auto problems = host.problems();
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_EQ(problems[0].severity, Severity::notice);
    EXPECT_EQ(problems[0].cause, Cause::one_server);
}

TEST(Diagnosis, ABackendThatNobodyKnowsIsWell) {
    Host host;
    EXPECT_EQ(host.diagnose("nobody@file").cause, Cause::well);
}

}  // namespace
}  // namespace upstat::judge
