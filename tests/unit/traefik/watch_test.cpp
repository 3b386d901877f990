// SPDX-License-Identifier: Apache-2.0
#include "traefik/watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "traefik/fake_host.hpp"
#include "traefik/proc.hpp"

namespace upstat::traefik {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

bool readable(int fd, int milliseconds) {
    pollfd poll{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&poll, 1, milliseconds) == 1;
}

class Watch : public testing::Test {
  protected:
    [[nodiscard]] std::string path(const std::string& below) const { return directory_.path() / below; }
    void make(const std::string& below) const { std::filesystem::create_directories(path(below)); }
    void remove(const std::string& below) const { std::filesystem::remove_all(path(below)); }
    [[nodiscard]] CgroupEvent created(const std::string& below) const {
        return {.kind = CgroupEvent::Kind::created, .directory = path(below)};
    }
    [[nodiscard]] CgroupEvent deleted(const std::string& below) const {
        return {.kind = CgroupEvent::Kind::deleted, .directory = path(below)};
    }

    TemporaryDirectory directory_;
};

TEST_F(Watch, TellsOfARestartedUnit) {
    make("system.slice/traefik.service");
    auto watch = CgroupWatch::open(directory_.path()).value();
    EXPECT_FALSE(readable(watch.fd(), 0));
    EXPECT_THAT(watch.take(), IsEmpty());
    remove("system.slice/traefik.service");
    make("system.slice/traefik.service");
    ASSERT_TRUE(readable(watch.fd(), 10000));
    EXPECT_THAT(watch.take(),
                ElementsAre(deleted("system.slice/traefik.service"), created("system.slice/traefik.service")));
    EXPECT_FALSE(readable(watch.fd(), 0));
    EXPECT_EQ(watch.unwatched(), 0U);
}

TEST_F(Watch, TellsOfAnotherPod) {
    make("kubepods/pod1/traefik");
    auto watch = CgroupWatch::open(directory_.path()).value();
    make("kubepods/pod2/traefik");
    auto events = watch.take();
    EXPECT_THAT(events, Contains(created("kubepods/pod2")));
    EXPECT_THAT(events, Contains(created("kubepods/pod2/traefik")));
    make("kubepods/pod2/sidecar");  // the new directory is watched by now
    EXPECT_THAT(watch.take(), ElementsAre(created("kubepods/pod2/sidecar")));
}

TEST_F(Watch, AParentMayVanishAndComeBack) {
    make("a/b/traefik");
    auto watch = CgroupWatch::open(directory_.path()).value();
    remove("a");
    EXPECT_THAT(watch.take(), Contains(deleted("a")));
    make("a");
    watch.take();
    make("a/b");
    watch.take();
    make("a/b/traefik");
    EXPECT_THAT(watch.take(), ElementsAre(created("a/b/traefik")));
}

TEST_F(Watch, FilesAreNotTold) {
    auto watch = CgroupWatch::open(directory_.path()).value();
    std::ofstream(path("cgroup.procs")) << "1";
    EXPECT_THAT(watch.take(), IsEmpty());
}

TEST_F(Watch, LostEventsAreFoundAgain) {
    make("gone");
    auto watch = CgroupWatch::open(directory_.path()).value();
    const auto limit = std::stoi(read_file("/proc/sys/fs/inotify/max_queued_events").value_or("16384"));
    std::ofstream(path("full"));
    for (int turn = 0; turn <= limit / 2; ++turn) {  // two events a turn, which differ, so that they are not merged
        std::filesystem::rename(path("full"), path("fuller"));
        std::filesystem::rename(path("fuller"), path("full"));
    }
    remove("gone");
    make("late/traefik");
    const auto events = watch.take();
    EXPECT_THAT(events, Contains(created("late")));
    EXPECT_THAT(events, Contains(created("late/traefik")));
    EXPECT_THAT(events, Contains(deleted("gone")));
}

TEST_F(Watch, APlaceThatIsNotThereIsAnError) {
    const auto watch = CgroupWatch::open(path("nowhere"));
    ASSERT_FALSE(watch);
    EXPECT_EQ(watch.error().kind, Error::Kind::host);
}

/// A child that lives until it is told to end.
class Child {
  public:
    Child() : pid_(fork()) {
        if (pid_ == 0) {
            while (true) {
                pause();
            }
        }
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() { end(); }
    void end() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
            pid_ = -1;
        }
    }
    [[nodiscard]] pid_t pid() const { return pid_; }

  private:
    pid_t pid_;
};

TEST(ProcessWatch, TellsOfTheEnd) {
    Child child;
    const auto stat = stat_of("/", child.pid());
    ASSERT_TRUE(stat);
    const auto watch = ProcessWatch::open("/", child.pid(), stat->start_time);
    ASSERT_TRUE(watch) << watch.error().text();
    EXPECT_EQ(watch->pid(), child.pid());
    EXPECT_FALSE(watch->ended());
    child.end();
    EXPECT_TRUE(readable(watch->fd(), 10000));
    EXPECT_TRUE(watch->ended());
}

TEST(ProcessWatch, AnotherProcessOfTheSameIdIsNotTaken) {
    const Child child;
    EXPECT_FALSE(ProcessWatch::open("/", child.pid(), stat_of("/", child.pid())->start_time + 1));
}

TEST(ProcessWatch, AnEndedProcessIsAnError) {
    Child child;
    const auto pid = child.pid();
    child.end();
    EXPECT_FALSE(ProcessWatch::open("/", pid, 1));
}

}  // namespace
}  // namespace upstat::traefik
