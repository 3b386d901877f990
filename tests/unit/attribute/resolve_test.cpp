// SPDX-License-Identifier: Apache-2.0
#include "attribute/resolve.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

/// A name server of the test's own, asked from the worker.
class Book {
  public:
    void set(const std::string& name, std::expected<std::set<std::string>, std::string> answer) {
        const std::lock_guard lock(mutex_);
        answers_.insert_or_assign(name, std::move(answer));
    }
    Resolver::LookUp look_up() {
        return [this](const std::string& name) -> std::expected<std::set<std::string>, std::string> {
            const std::lock_guard lock(mutex_);
            ++asked_[name];
            const auto found = answers_.find(name);
            return found == answers_.end() ? std::unexpected("no such name") : found->second;
        };
    }
    int asked(const std::string& name) {
        const std::lock_guard lock(mutex_);
        return asked_[name];
    }

  private:
    std::mutex mutex_;
    std::map<std::string, std::expected<std::set<std::string>, std::string>> answers_;
    std::map<std::string, int> asked_;
};

std::set<HostName> ours(const std::set<std::string>& hosts, const std::string& network = "") {
    std::set<HostName> names;
    for (const auto& host : hosts) {
        names.insert({.network_namespace = network, .host = host});
    }
    return names;
}

/// Asks until the worker, which may be just ending its round, has looked one more name up.
Known answer_all(Resolver& resolver, const std::set<HostName>& names, Time now) {
    const auto looked_up = [](const Known& known) { return known.succeeded + known.failed; };
    const auto before = looked_up(resolver.known());
    for (int turn = 0; turn < 10'000; ++turn) {
        resolver.ask(names, now);
        if (auto known = resolver.known(); looked_up(known) != before) {
            return known;
        }
        std::this_thread::sleep_for(Millis(1));
    }
    ADD_FAILURE() << "no answer";
    return {};
}
Known answer(Resolver& resolver, const std::set<std::string>& names, Time now) {
    return answer_all(resolver, ours(names), now);
}

auto at_name(const std::string& host, const auto& value) {
    return Pair(HostName{.network_namespace = "", .host = host}, value);
}

TEST(Resolve, OnlyNamesAreAsked) {
    EXPECT_THAT(names_of(naming({"http://10.0.0.1", "http://[::1]:1", "http://localhost:2", "http://web:3",
                                 "https://Web.b", "::"}),
                         "/proc/7/ns/net"),
                testing::ElementsAreArray(ours({"Web.b", "web"}, "/proc/7/ns/net")));
}

TEST(Resolve, FillsInWhatIsKnown) {
    auto catalogue = naming({"http://10.0.0.1", "http://localhost:2", "https://web", "http://other"});
    fill(catalogue, "/n",
         {{{"/n", "web"}, {"10.0.0.5", "fd00::5"}}, {{"/n", "10.0.0.1"}, {"10.9.9.9"}}, {{"", "other"}, {"10.9.9.9"}}});
    const auto& listed = catalogue.backends.at("a").listed;
    EXPECT_THAT(listed[0].servers, ElementsAre(poll::parse_server("10.0.0.1:80").value()));
    EXPECT_EQ(listed[1].servers,
              (std::set{poll::parse_server("127.0.0.1:2").value(), poll::parse_server("[::1]:2").value()}));
    EXPECT_EQ(listed[2].servers,
              (std::set{poll::parse_server("10.0.0.5:443").value(), poll::parse_server("[fd00::5]:443").value()}));
    EXPECT_THAT(listed[3].servers, IsEmpty());
}

TEST(Resolve, TheServersOfTcpServicesHaveNamesToo) {
    Catalogue catalogue;
    catalogue.streams = {listed_at("tcp://redis:6379"), listed_at("udp://10.0.0.1:53")};
    EXPECT_EQ(names_of(catalogue, ""), ours({"redis"}));
    fill(catalogue, "", {{{"", "redis"}, {"10.0.0.5"}}});
    EXPECT_THAT(catalogue.streams[0].servers, ElementsAre(poll::parse_server("10.0.0.5:6379").value()));
}

TEST(Resolve, AnswersAreAHistory) {
    Book book;
    book.set("web", std::set<std::string>{"10.0.0.1"});
    Resolver resolver(std::chrono::seconds(30), book.look_up());
    EXPECT_THAT(answer(resolver, {"web"}, at(0)).addresses, ElementsAre(at_name("web", ElementsAre("10.0.0.1"))));
    book.set("web", std::set<std::string>{"10.0.0.2"});
    EXPECT_THAT(answer(resolver, {"web"}, at(30)).addresses,
                ElementsAre(at_name("web", ElementsAre("10.0.0.1", "10.0.0.2"))));
    resolver.ask({}, at(31));
    EXPECT_THAT(resolver.known().addresses, IsEmpty());
    EXPECT_THAT(answer(resolver, {"web"}, at(32)).addresses, ElementsAre(at_name("web", ElementsAre("10.0.0.2"))));
}

TEST(Resolve, ANewNameIsAskedAtOnceAndAnOldOneAfterThePeriod) {
    Book book;
    book.set("a", std::set<std::string>{"10.0.0.1"});
    book.set("b", std::set<std::string>{"10.0.0.2"});
    Resolver resolver(std::chrono::seconds(30), book.look_up());
    answer(resolver, {"a"}, at(0));
    EXPECT_THAT(answer(resolver, {"a", "b"}, at(1)).addresses, testing::SizeIs(2));
    EXPECT_EQ(book.asked("a"), 1);
    answer(resolver, {"a"}, at(30));
    EXPECT_EQ(book.asked("a"), 2);
    EXPECT_EQ(book.asked("b"), 1);
}

TEST(Resolve, AFailureIsSaidAndOldAddressesStand) {
    Book book;
    book.set("web", std::set<std::string>{"10.0.0.1"});
    Resolver resolver(std::chrono::seconds(30), book.look_up());
    answer(resolver, {"web"}, at(0));
    book.set("web", std::unexpected("timed out"));
    const auto failed = answer(resolver, {"web"}, at(30));
    EXPECT_THAT(failed.failures, ElementsAre(at_name("web", "timed out")));
    EXPECT_THAT(failed.addresses, ElementsAre(at_name("web", ElementsAre("10.0.0.1"))));
    book.set("web", std::set<std::string>{"10.0.0.1"});
    EXPECT_THAT(answer(resolver, {"web"}, at(60)).failures, IsEmpty());
}

TEST(Resolve, ANamespaceThatCannotBeEnteredIsSaidAndOthersGoOn) {
    Book book;
    book.set("web", std::set<std::string>{"10.0.0.1"});
    Resolver resolver(std::chrono::seconds(30), book.look_up());
    auto names = ours({"web"}, "/nowhere/ns/net");
    names.merge(ours({"web"}));
    auto known = answer_all(resolver, names, at(0));
    for (int turn = 0; turn < 10'000 && known.succeeded + known.failed < 2; ++turn) {
        std::this_thread::sleep_for(Millis(1));
        known = resolver.known();
    }
    EXPECT_THAT(known.failures.at({"/nowhere/ns/net", "web"}), HasSubstr("cannot open /nowhere/ns/net"));
    EXPECT_THAT(known.addresses, ElementsAre(at_name("web", ElementsAre("10.0.0.1"))));
    EXPECT_EQ(book.asked("web"), 1);
}

TEST(Resolve, NeverWaitsForALookUpNotEvenAtItsEnd) {
    struct Gate {
        std::binary_semaphore entered{0};
        std::binary_semaphore open{0};
        std::binary_semaphore left{0};
    };
    const auto gate = std::make_shared<Gate>();
    {
        Resolver resolver(std::chrono::seconds(30), [gate](const std::string&) {
            gate->entered.release();
            gate->open.acquire();
            gate->left.release();
            return std::set<std::string>{"10.0.0.1"};
        });
        resolver.ask(ours({"web"}), at(0));
        gate->entered.acquire();
        resolver.ask(ours({"web"}), at(60));
        EXPECT_THAT(resolver.known().addresses, IsEmpty());
    }
    gate->open.release();
    gate->left.acquire();
}

TEST(Resolve, TheSystemKnowsNumericNames) {
    // numeric, so that the test asks nobody
    Resolver resolver;
    EXPECT_THAT(answer(resolver, {"127.0.0.9"}, at(0)).addresses,
                ElementsAre(at_name("127.0.0.9", ElementsAre("127.0.0.9"))));
}

}  // namespace
}  // namespace upstat::attribute
