// SPDX-License-Identifier: Apache-2.0
#include "traefik/api_address.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "traefik/fake_host.hpp"

namespace upstat::traefik {
namespace {

using testing::HasSubstr;

ApiAddress address(const FakeHost& host) {
    return api_address(host.root(), {.pid = 42, .cgroup = "", .refused = {}, .network_namespace = ""});
}

std::string url(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {}) {
    const FakeHost host;
    host.process({.pid = 42, .arguments = arguments, .environment = environment});
    return address(host).url;
}

TEST(ApiAddress, IsTraefiksDefaultWhereNothingIsSaid) {
    EXPECT_EQ(url({"traefik"}), "http://127.0.0.1:8080");
    EXPECT_EQ(url({"traefik", "--api.insecure"}), "http://127.0.0.1:8080");
    EXPECT_EQ(url({}), "http://127.0.0.1:8080");
    const FakeHost gone;
    EXPECT_EQ(address(gone).url, "http://127.0.0.1:8080");
    EXPECT_EQ(address(gone).source, "Traefik's default");
}

TEST(ApiAddress, ReadsFlagsInEverySpelling) {
    EXPECT_EQ(url({"traefik", "--entrypoints.traefik.address=:9000"}), "http://127.0.0.1:9000");
    EXPECT_EQ(url({"traefik", "--entryPoints.Traefik.Address=10.0.0.5:9000"}), "http://10.0.0.5:9000");
    EXPECT_EQ(url({"traefik", "-entrypoints.traefik.address", ":9000/tcp", "--api"}), "http://127.0.0.1:9000");
    EXPECT_EQ(url({"traefik", "--entrypoints.traefik.address=0.0.0.0:1", "--entrypoints.traefik.address=[::]:2"}),
              "http://[::1]:2");
    EXPECT_EQ(url({"traefik", "--api.basepath=/edge/"}), "http://127.0.0.1:8080/edge");
    EXPECT_EQ(url({"traefik", "--api.basePath=edge"}), "http://127.0.0.1:8080/edge");
    EXPECT_EQ(url({"traefik", "--entrypoints.web.address=:80"}), "http://127.0.0.1:8080");
}

TEST(ApiAddress, NonsenseIsTheDefaultAndSaid) {
    const FakeHost host;
    host.process({.pid = 42, .arguments = {"traefik", "--entrypoints.traefik.address=:99999999"}});
    EXPECT_EQ(address(host).url, "http://127.0.0.1:8080");
    EXPECT_THAT(address(host).source, HasSubstr(":99999999"));
}

TEST(ApiAddress, ReadsTheEnvironmentOnlyWithoutFlags) {
    const std::vector<std::string> environment{"HOME=/root", "TRAEFIK_ENTRYPOINTS_TRAEFIK_ADDRESS=:9100",
                                               "TRAEFIK_API_BASEPATH=/b"};
    EXPECT_EQ(url({"traefik"}, environment), "http://127.0.0.1:9100/b");
    // as Traefik: one flag, whichever, and the environment is not read
    EXPECT_EQ(url({"traefik", "--api"}, environment), "http://127.0.0.1:8080");
}

TEST(ApiAddress, AFileGoesBeforeFlagsAndEnvironment) {
    const FakeHost host;
    host.process({.pid = 42,
                  .arguments = {"traefik", "--configFile=/conf/t.yml", "--entrypoints.traefik.address=:1"},
                  .environment = {"TRAEFIK_ENTRYPOINTS_TRAEFIK_ADDRESS=:2"}});
    host.write("/proc/42/root/conf/t.yml", "entryPoints:\n  traefik:\n    address: \":9200\"\napi: {basePath: /x}\n");
    EXPECT_EQ(address(host).url, "http://127.0.0.1:9200/x");
    EXPECT_EQ(address(host).source, "/conf/t.yml");
}

TEST(ApiAddress, AFileWithoutTheEntryPointStillSilencesTheFlags) {
    const FakeHost host;
    host.process({.pid = 42, .arguments = {"traefik", "--entrypoints.traefik.address=:1"}});
    host.write("/proc/42/root/etc/traefik/traefik.yml", "api: {insecure: true}\n");
    EXPECT_EQ(address(host).url, "http://127.0.0.1:8080");
}

TEST(ApiAddress, ReadsTomlToo) {
    const FakeHost host;
    host.process({.pid = 42});
    host.write("/proc/42/root/etc/traefik/traefik.toml", "[entryPoints.traefik]\n  address = \"127.0.0.1:9300\"\n");
    host.write("/proc/42/root/etc/traefik/traefik.yml", "entryPoints: {traefik: {address: \":1\"}}\n");
    EXPECT_EQ(address(host).url, "http://127.0.0.1:9300");
}

TEST(ApiAddress, LooksWhereTraefikLooks) {
    for (const auto* const place : {"/traefik.yml", "/home/u/.config/traefik.yaml", "/srv/traefik.toml"}) {
        const FakeHost host;
        host.process({.pid = 42, .environment = {"HOME=/home/u"}, .cwd = "/srv"});
        host.write(std::string("/proc/42/root") + place, std::string(place).ends_with("toml")
                                                             ? "entryPoints.traefik.address=':9400'"
                                                             : "entryPoints: {traefik: {address: ':9400'}}");
        EXPECT_EQ(address(host).url, "http://127.0.0.1:9400") << place;
    }
}

TEST(ApiAddress, ARelativeFileIsInTheProcesssDirectory) {
    const FakeHost host;
    host.process({.pid = 42,
                  .arguments = {"traefik", "--configfile", "${CONF}/t.yml"},
                  .environment = {"CONF=../etc"},
                  .cwd = "/srv"});
    host.write("/proc/42/root/etc/t.yml", "entryPoints: {traefik: {address: ':9500'}}");
    std::filesystem::create_directories(host.at("/proc/42/root/srv"));
    EXPECT_EQ(address(host).url, "http://127.0.0.1:9500");
}

TEST(ApiAddress, ALinkInTheContainerStaysInTheContainer) {
    const FakeHost host;
    host.process({.pid = 42});
    host.write("/proc/42/root/data/real.yml", "entryPoints: {traefik: {address: ':9600'}}");
    std::filesystem::create_directories(host.at("/proc/42/root/etc/traefik"));
    std::filesystem::create_symlink("/data/real.yml", host.at("/proc/42/root/etc/traefik/traefik.yml"));
    EXPECT_EQ(address(host).url, "http://127.0.0.1:9600");
}

TEST(ApiAddress, ABrokenFileIsTheDefaultAndSaid) {
    for (const auto* const text :
         {"a: [b", "- x\n- y\n", "entryPoints: 3\n", "entryPoints: {traefik: {address: [1]}}"}) {
        const FakeHost host;
        host.process({.pid = 42});
        host.write("/proc/42/root/etc/traefik/traefik.yml", text);
        EXPECT_EQ(address(host).url, "http://127.0.0.1:8080") << text;
    }
    const FakeHost host;
    host.process({.pid = 42});
    host.write("/proc/42/root/etc/traefik/traefik.toml", "a = [");
    EXPECT_THAT(address(host).source, HasSubstr("/etc/traefik/traefik.toml cannot be parsed"));
}

}  // namespace
}  // namespace upstat::traefik
