// SPDX-License-Identifier: Apache-2.0
#include "attribute/resolve.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <mutex>
#include <semaphore>


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

bool told(const Resolver& resolver) {
    pollfd poll{.fd = resolver.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&poll, 1, 10000) == 1;
}

/// Asks until the worker, which may be just ending its round, has taken the names and answered.
Known answer(Resolver& resolver, const std::set<std::string>& names, Time now) {
    std::ignore = resolver.take();
    pollfd poll{.fd = resolver.fd(), .events = POLLIN, .revents = 0};
    for (int turn = 0; turn < 1000; ++turn) {
        resolver.ask(names, "", now);
        if (::poll(&poll, 1, 10) == 1) {
            return resolver.take();
        }
    }
    ADD_FAILURE() << "no answer";
    return {};
}

TEST(Resolve, OnlyNamesAreAsked) {
    EXPECT_THAT(names_of(naming({"http://10.0.0.1", "http://[::1]:1", "http://localhost:2", "http://web:3",
                                 "https://Web.b", "::"})),
                ElementsAre("Web.b", "web"));
}

TEST(Resolve, FillsInWhatIsKnown) {
    auto catalogue = naming({"http://10.0.0.1", "http://localhost:2", "https://web", "http://other"});
    fill(catalogue, {{"web", {"10.0.0.5", "fd00::5"}}, {"10.0.0.1", {"10.9.9.9"}}});
    const auto& listed = catalogue.backends.at("a").listed;
    EXPECT_THAT(listed[0].servers, ElementsAre(poll::parse_server("10.0.0.1:80").value()));
    EXPECT_EQ(listed[1].servers,
              (std::set{poll::parse_server("127.0.0.1:2").value(), poll::parse_server("[::1]:2").value()}));
    EXPECT_EQ(listed[2].servers,
              (std::set{poll::parse_server("10.0.0.5:443").value(), poll::parse_server("[fd00::5]:443").value()}));
    EXPECT_THAT(listed[3].servers, IsEmpty());
}

TEST(Resolve, AnswersAreAHistory) {
    Book book;
    book.set("web", std::set<std::string>{"10.0.0.1"});
    Resolver resolver(std::chrono::seconds(30), book.look_up());
    EXPECT_THAT(answer(resolver, {"web"}, at(0)).addresses, ElementsAre(Pair("web", ElementsAre("10.0.0.1"))));
    book.set("web", std::set<std::string>{"10.0.0.2"});
    EXPECT_THAT(answer(resolver, {"web"}, at(30)).addresses,
                ElementsAre(Pair("web", ElementsAre("10.0.0.1", "10.0.0.2"))));
    resolver.ask({}, "", at(31));
    EXPECT_THAT(resolver.take().addresses, IsEmpty());
    EXPECT_THAT(answer(resolver, {"web"}, at(32)).addresses, ElementsAre(Pair("web", ElementsAre("10.0.0.2"))));
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
    answer(resolver, {"a"}, at(2));  // the clock was set back
    EXPECT_EQ(book.asked("a"), 3);
}

TEST(Resolve, AFailureIsSaidAndOldAddressesStand) {
    Book book;
    book.set("web", std::set<std::string>{"10.0.0.1"});
    Resolver resolver(std::chrono::seconds(30), book.look_up());
    answer(resolver, {"web"}, at(0));
    book.set("web", std::unexpected("timed out"));
    const auto failed = answer(resolver, {"web"}, at(30));
    EXPECT_THAT(failed.failures, ElementsAre(Pair("web", "timed out")));
    EXPECT_THAT(failed.addresses, ElementsAre(Pair("web", ElementsAre("10.0.0.1"))));
    book.set("web", std::set<std::string>{"10.0.0.1"});
    EXPECT_THAT(answer(resolver, {"web"}, at(60)).failures, IsEmpty());
}

TEST(Resolve, ANamespaceThatCannotBeEnteredIsSaid) {
    Book book;
    Resolver resolver(std::chrono::seconds(30), book.look_up());
    resolver.ask({"web"}, "/nowhere/ns/net", at(0));
    ASSERT_TRUE(told(resolver));
    EXPECT_THAT(resolver.take().failures.at("web"), HasSubstr("cannot open /nowhere/ns/net"));
    EXPECT_EQ(book.asked("web"), 0);
    answer(resolver, {"web"}, at(1));  // another namespace: asked at once
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
        resolver.ask({"web"}, "", at(0));
        gate->entered.acquire();
        resolver.ask({"web"}, "", at(60));
        EXPECT_THAT(resolver.take().addresses, IsEmpty());
    }
    gate->open.release();
    gate->left.acquire();
}

TEST(Resolve, TheSystemKnowsNumericNames) {
    // numeric, so that the test asks nobody
    Resolver resolver;
    EXPECT_THAT(answer(resolver, {"127.0.0.9"}, at(0)).addresses,
                ElementsAre(Pair("127.0.0.9", ElementsAre("127.0.0.9"))));
}

}  // namespace
}  // namespace upstat::attribute
