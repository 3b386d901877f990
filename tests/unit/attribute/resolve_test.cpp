// SPDX-License-Identifier: Apache-2.0
#include "attribute/resolve.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <semaphore>
#include <thread>

namespace upstat::attribute {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

Time at(std::int64_t seconds) {
    return Time(std::chrono::seconds(seconds));
}

Catalogue naming(const std::vector<std::string>& urls) {
    Catalogue catalogue;
    for (const auto& url : urls) {
        catalogue.backends["a"].listed.push_back(listed_at(url));
    }
    return catalogue;
}

/// Name servers of the test's own, asked from the resolver's threads.
class Book {
  public:
    void set(const std::string& name, LookedUp answer) {
        const std::lock_guard lock(mutex_);
        answers_.insert_or_assign(name, std::move(answer));
    }
    Resolver::LookUp look_up() {
        return [this](const std::string& process, const std::set<std::string>& names, const TakeName& take) {
            for (const auto& name : names) {
                take(name, answer(process, name));
            }
            return near_.load();
        };
    }
    int asked(const std::string& name) {
        const std::lock_guard lock(mutex_);
        return asked_[name];
    }
    void be_near() { near_ = true; }

  private:
    LookedUp answer(const std::string& process, const std::string& name) {
        const std::lock_guard lock(mutex_);
        ++asked_[name];
        const auto found = answers_.find(process + name);
        return found == answers_.end() ? std::unexpected("no such name") : found->second;
    }

    std::mutex mutex_;
    std::map<std::string, LookedUp> answers_;
    std::map<std::string, int> asked_;
    std::atomic<bool> near_ = false;
};

using Hosts = std::set<std::string>;

std::set<HostName> ours(const Hosts& hosts, const std::string& process = "") {
    std::set<HostName> names;
    for (const auto& host : hosts) {
        names.insert({.process = process, .host = host});
    }
    return names;
}

class Resolve : public testing::Test {
  protected:
    /// Asks, and waits until so many names have been looked up since.
    Known answer(const std::set<HostName>& names, Time now, std::uint64_t count) {
        const auto before = heard(resolver_.known());
        resolver_.ask(names, now);
        for (int turn = 0; turn < 10'000; ++turn) {
            if (auto known = resolver_.known(); heard(known) >= before + count) {
                return known;
            }
            std::this_thread::sleep_for(Millis(1));
        }
        ADD_FAILURE() << "no answer";
        return {};
    }
    Known answer(const Hosts& hosts, Time now) { return answer(ours(hosts), now, hosts.size()); }
    static std::uint64_t heard(const Known& known) { return known.succeeded + known.failed; }

    Book book_;
    Resolver resolver_{std::chrono::seconds(30), std::chrono::seconds(5), book_.look_up()};
};

auto at_name(const std::string& host, const auto& value) {
    return Pair(HostName{.process = "", .host = host}, value);
}

TEST(Names, OnlyNamesAreAsked) {
    EXPECT_THAT(names_of(naming({"http://10.0.0.1", "http://[::1]:1", "http://localhost:2", "http://web:3",
                                 "https://Web.b", "::"}),
                         {"/proc/7"}),
                testing::ElementsAreArray(ours({"Web.b", "web"}, "/proc/7")));
}

TEST(Names, FillsInWhatIsKnown) {
    auto catalogue = naming({"http://10.0.0.1", "http://localhost:2", "https://web", "http://other"});
    fill(catalogue, {"/n"},
         {{{"/n", "web"}, {"10.0.0.5", "fd00::5"}}, {{"/n", "10.0.0.1"}, {"10.9.9.9"}}, {{"", "other"}, {"10.9.9.9"}}});
    const auto& listed = catalogue.backends.at("a").listed;
    EXPECT_THAT(listed[0].servers, ElementsAre(poll::parse_server("10.0.0.1:80").value()));
    EXPECT_EQ(listed[1].servers,
              (std::set{poll::parse_server("127.0.0.1:2").value(), poll::parse_server("[::1]:2").value()}));
    EXPECT_EQ(listed[2].servers,
              (std::set{poll::parse_server("10.0.0.5:443").value(), poll::parse_server("[fd00::5]:443").value(),
                        poll::url_server("web", 443)}));  // by its name TLS is counted
    EXPECT_THAT(listed[3].servers, IsEmpty());
}

TEST(Names, AreWhatTheyAreToEachOfSeveralTraefiks) {
    auto catalogue = naming({"http://web"});
    fill(catalogue, {"/proc/1", "/proc/2"},
         {{{"/proc/1", "web"}, {"10.0.0.1"}}, {{"/proc/2", "web"}, {"10.0.0.2"}}, {{"/proc/3", "web"}, {"10.0.0.3"}}});
    EXPECT_EQ(catalogue.backends.at("a").listed[0].servers,
              (std::set{poll::parse_server("10.0.0.1:80").value(), poll::parse_server("10.0.0.2:80").value()}));
}

TEST(Names, TheServersOfTcpServicesHaveNamesToo) {
    Catalogue catalogue;
    catalogue.streams = {listed_at("tcp://redis:6379"), listed_at("udp://10.0.0.1:53")};
    EXPECT_EQ(names_of(catalogue, {""}), ours({"redis"}));
    fill(catalogue, {""}, {{{"", "redis"}, {"10.0.0.5"}}});
    EXPECT_THAT(catalogue.streams[0].servers, ElementsAre(poll::parse_server("10.0.0.5:6379").value()));
}

TEST_F(Resolve, AnOldAddressStaysForAMinuteAndAHalf) {
    book_.set("web", Hosts{"10.0.0.1"});
    EXPECT_THAT(answer({"web"}, at(0)).addresses, ElementsAre(at_name("web", ElementsAre("10.0.0.1"))));
    book_.set("web", Hosts{"10.0.0.2"});
    for (const int second : {30, 60, 90}) {
        EXPECT_THAT(answer({"web"}, at(second)).addresses,
                    ElementsAre(at_name("web", ElementsAre("10.0.0.1", "10.0.0.2"))));
    }
    EXPECT_THAT(answer({"web"}, at(120)).addresses, ElementsAre(at_name("web", ElementsAre("10.0.0.2"))));
    resolver_.ask({}, at(121));
    EXPECT_THAT(resolver_.known().addresses, IsEmpty());
}

TEST_F(Resolve, AnOldAddressGoesAtOnceWhenAnotherNameHasIt) {
    book_.set("app", Hosts{"10.0.0.1"});
    book_.set("cms", Hosts{"10.0.0.2"});
    answer({"app", "cms"}, at(0));
    book_.set("app", Hosts{"10.0.0.2"});
    book_.set("cms", Hosts{"10.0.0.1"});
    const auto changes = resolver_.changes();
    EXPECT_THAT(answer({"app", "cms"}, at(30)).addresses,
                ElementsAre(at_name("app", ElementsAre("10.0.0.2")), at_name("cms", ElementsAre("10.0.0.1"))));
    EXPECT_GT(resolver_.changes(), changes);
}

TEST_F(Resolve, TwoNamesOfOneAddressBothKeepIt) {
    book_.set("app", Hosts{"10.0.0.1"});
    book_.set("alias", Hosts{"10.0.0.1"});
    for (const int second : {0, 30, 60}) {
        EXPECT_THAT(answer({"app", "alias"}, at(second)).addresses,
                    ElementsAre(at_name("alias", ElementsAre("10.0.0.1")), at_name("app", ElementsAre("10.0.0.1"))));
    }
}

TEST_F(Resolve, ANameOfAnotherTraefikClaimsNothing) {
    book_.set("/proc/1web", Hosts{"10.0.0.1"});
    book_.set("/proc/2web", Hosts{"10.0.0.9"});
    auto names = ours({"web"}, "/proc/1");
    names.merge(ours({"web"}, "/proc/2"));
    answer(names, at(0), 2);
    book_.set("/proc/1web", Hosts{"10.0.0.2"});
    book_.set("/proc/2web", Hosts{"10.0.0.1"});
    const auto known = answer(names, at(30), 2);
    EXPECT_THAT(known.addresses.at({"/proc/1", "web"}), ElementsAre("10.0.0.1", "10.0.0.2"));
    EXPECT_THAT(known.addresses.at({"/proc/2", "web"}), ElementsAre("10.0.0.1", "10.0.0.9"));
}

TEST_F(Resolve, ANewNameIsAskedAtOnceAndAnOldOneAfterThePeriod) {
    book_.set("a", Hosts{"10.0.0.1"});
    book_.set("b", Hosts{"10.0.0.2"});
    answer({"a"}, at(0));
    EXPECT_THAT(answer(ours({"a", "b"}), at(1), 1).addresses, testing::SizeIs(2));
    EXPECT_EQ(book_.asked("a"), 1);
    answer(ours({"a"}), at(30), 1);
    EXPECT_EQ(book_.asked("a"), 2);
    EXPECT_EQ(book_.asked("b"), 1);
}

TEST_F(Resolve, WhereAskingCostsNobodyAnythingItIsDoneMoreOften) {
    book_.be_near();
    book_.set("a", Hosts{"10.0.0.1"});
    answer({"a"}, at(0));
    for (int turn = 0; turn < 10'000 && book_.asked("a") < 2;
         ++turn) {  // the round that was the first ends a bit later
        resolver_.ask(ours({"a"}), at(5));
        std::this_thread::sleep_for(Millis(1));
    }
    EXPECT_EQ(book_.asked("a"), 2);
}

TEST_F(Resolve, AFailureIsSaidAndOldAddressesStand) {
    book_.set("web", Hosts{"10.0.0.1"});
    answer({"web"}, at(0));
    book_.set("web", std::unexpected("timed out"));
    for (const int second : {30, 60, 90, 120, 150}) {
        const auto failed = answer({"web"}, at(second));
        EXPECT_THAT(failed.failures, ElementsAre(at_name("web", "timed out")));
        EXPECT_THAT(failed.addresses, ElementsAre(at_name("web", ElementsAre("10.0.0.1"))));
    }
    book_.set("web", Hosts{"10.0.0.1"});
    EXPECT_THAT(answer({"web"}, at(180)).failures, IsEmpty());
}

TEST_F(Resolve, OfManyNamesAThousandAreLookedUp) {
    Hosts hosts;
    for (int i = 0; i < 300'000; ++i) {
        hosts.insert("h" + std::to_string(i));
    }
    auto names = ours(hosts, "/proc/1");
    names.merge(ours({"web"}, "/proc/2"));
    const auto known = answer(names, at(0), 1001);
    EXPECT_EQ(heard(known), 1001U);
    EXPECT_EQ(known.failures.size(), 1001U);
    EXPECT_EQ(known.left_out, 299'000U);
}

/// A gate that a look-up waits at.
struct Gate {
    std::binary_semaphore entered{0};
    std::binary_semaphore open{0};
    std::binary_semaphore left{0};
};

TEST(Resolver, ASlowNameHoldsNoOther) {
    const auto gate = std::make_shared<Gate>();
    Resolver resolver(std::chrono::seconds(30), std::chrono::seconds(5),
                      [gate](const std::string&, const Hosts& names, const TakeName& take) {
                          for (const auto& name : names) {
                              if (name != "slow") {
                                  take(name, Hosts{"10.0.0.1"});
                              }
                          }
                          if (names.contains("slow")) {
                              gate->entered.release();
                              gate->open.acquire();
                              gate->left.release();
                          }
                          return false;
                      });
    resolver.ask(ours({"a", "slow"}), at(0));
    gate->entered.acquire();
    EXPECT_THAT(resolver.known().addresses, testing::SizeIs(1));
    EXPECT_THAT(resolver.known().pending, ElementsAre("slow"));
    for (int turn = 0; turn < 10'000 && resolver.known().succeeded < 3; ++turn) {
        resolver.ask(ours({"a", "b", "slow"}), at(30));
        std::this_thread::sleep_for(Millis(1));
    }
    EXPECT_EQ(resolver.known().succeeded, 3U) << "a again, and b";
    gate->open.release();
    gate->left.acquire();
}

TEST(Resolver, WhoseNameServerIsSilentHoldsUpNobodyElse) {
    const auto gate = std::make_shared<std::counting_semaphore<>>(0);
    const auto silent = std::make_shared<std::atomic<int>>(0);
    Resolver resolver(std::chrono::seconds(30), std::chrono::seconds(5),
                      [=](const std::string& process, const Hosts& names, const TakeName& take) {
                          if (process == "/proc/1") {
                              ++*silent;
                              gate->acquire();
                          }
                          for (const auto& name : names) {
                              take(name, Hosts{"10.0.0.1"});
                          }
                          return false;
                      });
    Hosts hosts;
    for (int i = 0; i < 100; ++i) {
        hosts.insert(std::to_string(i));
        resolver.ask(ours(hosts, "/proc/1"), at(5 * i));
    }
    auto all = ours(hosts, "/proc/1");
    all.merge(ours({"web"}, "/proc/2"));
    for (int turn = 0; turn < 10'000 && resolver.known().succeeded == 0; ++turn) {
        resolver.ask(all, at(500));
        std::this_thread::sleep_for(Millis(1));
    }
    EXPECT_EQ(resolver.known().addresses.size(), 1U) << "web's";
    EXPECT_LE(silent->load(), 4);
    gate->release(4);
    for (int turn = 0; turn < 10'000 && resolver.known().succeeded <= 4; ++turn) {
        std::this_thread::sleep_for(Millis(1));  // else a thread may outlive what it waits at
    }
}

TEST(Resolver, NeverWaitsForALookUpNotEvenAtItsEnd) {
    const auto gate = std::make_shared<Gate>();
    {
        Resolver resolver(std::chrono::seconds(30), std::chrono::seconds(5),
                          [gate](const std::string&, const Hosts&, const TakeName&) {
                              gate->entered.release();
                              gate->open.acquire();
                              gate->left.release();
                              return false;
                          });
        resolver.ask(ours({"web"}), at(0));
        gate->entered.acquire();
        resolver.ask(ours({"web"}), at(60));
        EXPECT_THAT(resolver.known().addresses, IsEmpty());
    }
    gate->open.release();
    gate->left.acquire();
}

}  // namespace
}  // namespace upstat::attribute
