// SPDX-License-Identifier: Apache-2.0
#include "traefik/configurations.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

#include "traefik/fake_host.hpp"

namespace upstat::traefik {
namespace {

/// A file that only root may read: it is opened before the privileges are gone.
TEST(Configurations, AThreadReadsOneAndWatchesItsDirectory) {
    const FakeHost host;
    host.process({.pid = 42});
    host.write("/proc/42/root/etc/traefik/traefik.yml",
               "{api: {insecure: true}, providers: {file: {directory: /conf}}}\n");
    host.write("/proc/42/root/conf/a.yml", "a");
    chmod(host.at("/proc/42/root/etc/traefik/traefik.yml").c_str(), 0400);
    DirectoryWatch watch;
    ConfigurationThreads threads;
    ASSERT_TRUE(threads.start({.root = host.root(),
                               .pid = 42,
                               .start_time = 7,
                               .known = {},
                               .directory = "/conf",
                               .handle = watch.handle()}));
    pollfd ready{.fd = threads.fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&ready, 1, 60'000), 1) << "nothing comes";
    const auto read = threads.take();
    ASSERT_EQ(read.size(), 1U);
    EXPECT_EQ(read[0].pid, 42);
    EXPECT_EQ(read[0].start_time, 7U);
    EXPECT_EQ(read[0].address.url, "http://127.0.0.1:8080");
    EXPECT_EQ(read[0].address.files, "/conf");
    EXPECT_EQ(read[0].file.path, "/etc/traefik/traefik.yml");
    EXPECT_EQ(read[0].handle, watch.handle());
    watch.keep({read[0].watch});
    EXPECT_FALSE(watch.take());
    host.write("/proc/42/root/conf/a.yml", "b");
    EXPECT_TRUE(watch.take());
}

}  // namespace
}  // namespace upstat::traefik
