// SPDX-License-Identifier: Apache-2.0
#include "traefik/api_address.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/fd.hpp"
#include "traefik/fake_host.hpp"

namespace upstat::traefik {
namespace {

using testing::HasSubstr;

ApiAddress address(const FakeHost& host) {
    ConfigurationFile file;
    return api_address(open_configuration(host.root(), 42), file);
}

std::string url(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {}) {
    const FakeHost host;
    host.process({.pid = 42, .arguments = arguments, .environment = environment});
    host.write("/proc/42/net/fib_trie", R"(Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
Local:
     |-- 10.0.0.0
        /24 link UNICAST
     |-- 10.0.0.5
        /32 host LOCAL
     |-- 10.0.0.255
        /32 link BROADCAST
)");
    host.write("/proc/42/net/if_inet6", "fd000000000000000000000000000001 05 40 00 80     eth0\n");
    return address(host).url;
}

TEST(ApiAddress, IsTraefiksDefaultWhereThereIsAnApi) {
    for (const auto* const flag : {"--api.insecure", "--api", "--API.Dashboard=true", "-api.insecure=TRUE", "--web"}) {
        EXPECT_EQ(url({"traefik", flag}), "http://127.0.0.1:8080") << flag;
    }
    EXPECT_EQ(url({}, {"TRAEFIK_API_INSECURE=true"}), "http://127.0.0.1:8080");
    EXPECT_EQ(url({}, {"traefik_api=true"}), "http://127.0.0.1:8080");
}

/// Whoever else listens there would be asked at each poll, or, if it is a client's entry point, a server.
TEST(ApiAddress, NobodyIsAskedWhereThereIsNone) {
    for (const auto* const flag : {"--providers.docker", "--api=false", "--api.insecure=false", "--apis", "api",
                                   "--entrypoints.web.address=:80", "--log.level=--api"}) {
        EXPECT_EQ(url({"traefik", flag}), "") << flag;
    }
    EXPECT_EQ(url({"traefik"}), "");
    EXPECT_EQ(url({}), "");
    EXPECT_EQ(url({}, {"TRAEFIK_API_INSECURE=false", "TRAEFIK_APIS=true", "API_INSECURE=true"}), "");
    const FakeHost gone;
    EXPECT_EQ(address(gone).url, "");
    EXPECT_THAT(address(gone).source, HasSubstr("neither an api nor an entry point 'traefik'"));
    for (const auto* const text : {"api: false\n", "log: {level: INFO}\n", "[]\n", ""}) {
        const FakeHost host;
        host.process({.pid = 42, .arguments = {"traefik", "--api"}});
        host.write("/proc/42/root/etc/traefik/traefik.yml", text);
        EXPECT_EQ(address(host).url, "") << text;
        EXPECT_THAT(address(host).source, HasSubstr("/etc/traefik/traefik.yml has neither")) << text;
    }
    for (const auto* const text : {"api: {}\n", "Api:\n  insecure: true\n", "web: {}\n"}) {
        const FakeHost host;
        host.process({.pid = 42});
        host.write("/proc/42/root/etc/traefik/traefik.yml", text);
        EXPECT_EQ(address(host).url, "http://127.0.0.1:8080") << text;
    }
}

TEST(ApiAddress, ReadsFlagsInEverySpelling) {
    EXPECT_EQ(url({"traefik", "--entrypoints.traefik.address=:9000"}), "http://127.0.0.1:9000");
    EXPECT_EQ(url({"traefik", "--entryPoints.Traefik.Address=10.0.0.5:9000"}), "http://10.0.0.5:9000");
    EXPECT_EQ(url({"traefik", "-entrypoints.traefik.address", ":9000/tcp", "--api"}), "http://127.0.0.1:9000");
    EXPECT_EQ(url({"traefik", "--entrypoints.traefik.address=0.0.0.0:1", "--entrypoints.traefik.address=[::]:2"}),
              "http://[::1]:2");
    EXPECT_EQ(url({"traefik", "--api.basepath=/edge/"}), "http://127.0.0.1:8080/edge");
    EXPECT_EQ(url({"traefik", "--api.basePath=edge"}), "http://127.0.0.1:8080/edge");
}

/// To an entry point of clients our requests would be theirs: its 404s would raise the alert.
TEST(ApiAddress, TellsWhereTraefikSendsRequestsOfItsOwn) {
    const auto asked = [](const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {}) {
        const FakeHost host;
        host.process({.pid = 42, .arguments = arguments, .environment = environment});
        return address(host).asked;
    };
    const std::string url = "http://10.0.0.1:9000/config";
    EXPECT_THAT(asked({"traefik", "--api", "--providers.http.endpoint=" + url, "--Tracing.OTLP.HTTP.endpoint", url}),
                testing::ElementsAre(url, url));
    EXPECT_THAT(asked({}, {"TRAEFIK_API=true", "TRAEFIK_METRICS_OTLP_HTTP_ENDPOINT=" + url}),
                testing::ElementsAre(url));
    EXPECT_THAT(asked({"traefik", "--api", "--providers.http.endpoint=nowhere", "--providers.http=true",
                       "--log.otlp.http.endpoint=http://" + std::string(600, 'x')}),
                testing::IsEmpty());
    for (const auto* const name : {"traefik.yml", "traefik.toml"}) {
        const FakeHost host;
        host.process({.pid = 42});
        host.write(fmt::format("/proc/42/root/etc/traefik/{}", name),
                   name == std::string("traefik.yml") ? "{api: {}, metrics: {otlp: {HTTP: {endpoint: '" + url + "'}}}}"
                                                      : "[api]\n[metrics.otlp.http]\nendpoint = '" + url + "'\n");
        EXPECT_THAT(address(host).asked, testing::ElementsAre(url)) << name;
    }
}

/// Of a Traefik with this flag, this variable and this file.
auto configured(const std::string& flag, const std::string& variable, const std::string& file,
                const std::string& name = "traefik.yml") {
    const FakeHost host;
    std::vector<std::string> arguments{"traefik"};
    arguments.insert(arguments.end(), flag.empty() ? 0 : 1, flag);
    host.process({.pid = 42, .arguments = arguments, .environment = {variable}});
    if (!file.empty()) {
        host.write("/proc/42/root/etc/traefik/" + name, file);
    }
    return address(host);
}

TEST(ApiAddress, TellsWhereRulesMeanOtherNamesOfAHost) {
    const auto flattens = [](auto&&... configuration) { return configured(configuration...).flattens; };
    EXPECT_TRUE(flattens("--hostResolver.cnameFlattening", "", ""));
    EXPECT_TRUE(flattens("--hostresolver.cnameflattening=true", "", ""));
    EXPECT_FALSE(flattens("--hostresolver.cnameflattening=false", "", ""));
    EXPECT_FALSE(flattens("--hostresolver.resolvDepth=5", "", ""));
    EXPECT_TRUE(flattens("", "TRAEFIK_HOSTRESOLVER_CNAMEFLATTENING=true", ""));
    EXPECT_FALSE(flattens("", "TRAEFIK_HOSTRESOLVER_CNAMEFLATTENING=0", ""));
    EXPECT_TRUE(flattens("", "", "hostResolver: {cnameFlattening: true}\n"));
    EXPECT_FALSE(flattens("", "", "hostResolver: {cnameFlattening: false}\n"));
    EXPECT_TRUE(flattens("", "", "[hostResolver]\ncnameFlattening = true\n", "traefik.toml"));
    EXPECT_FALSE(flattens("", "", "[hostResolver]\ncnameFlattening = false\n", "traefik.toml"));
    EXPECT_TRUE(flattens("", "", "{{{\n")) << "nobody knows";
}

TEST(ApiAddress, TellsWhetherThereIsFastProxy) {
    const auto is_fast = [](auto&&... configuration) { return configured(configuration...).is_fast; };
    EXPECT_TRUE(is_fast("--experimental.fastProxy", "", ""));
    EXPECT_TRUE(is_fast("--experimental.fastProxy.debug=true", "", ""));
    EXPECT_FALSE(is_fast("--experimental.fastProxy=false", "", ""));
    EXPECT_FALSE(is_fast("--experimental.fastProxyOfAnother=true", "", ""));
    EXPECT_FALSE(is_fast("--experimental", "", ""));
    EXPECT_TRUE(is_fast("", "TRAEFIK_EXPERIMENTAL_FASTPROXY=true", ""));
    EXPECT_FALSE(is_fast("", "TRAEFIK_EXPERIMENTAL_KUBERNETESGATEWAY=true", ""));
    EXPECT_TRUE(is_fast("", "", "experimental: {fastProxy: {}}\n"));
    EXPECT_TRUE(is_fast("", "", "experimental:\n  fastProxy:\n    debug: false\n"));
    EXPECT_FALSE(is_fast("", "", "experimental: {plugins: {}}\n"));
    EXPECT_TRUE(is_fast("", "", "[experimental.fastProxy]\ndebug = false\n", "traefik.toml"));
}

TEST(ApiAddress, IsNeverAnotherEntryPoints) {
    EXPECT_EQ(url({"traefik", "--api", "--entryPoints.Web.address=:8080"}), "");
    EXPECT_EQ(url({"traefik", "--api", "--entrypoints.web.address", "0.0.0.0:8080/tcp"}), "");
    EXPECT_EQ(url({"traefik", "--api", "--entryPoints=Name:http Address::8080"}), "") << "Traefik 1";
    EXPECT_EQ(url({"traefik", "--entryPoints=Name:Traefik Address::8080"}), "http://127.0.0.1:8080") << "its own";
    EXPECT_EQ(url({"traefik", "--entrypoints.web.address=:9000", "--entrypoints.traefik.address=:9000"}), "");
    EXPECT_EQ(url({"traefik", "--entrypoints.web.address=:8080", "--entrypoints.traefik.address=:9000"}),
              "http://127.0.0.1:9000");
    EXPECT_EQ(url({"traefik", "--api"}, {"TRAEFIK_ENTRYPOINTS_WEB_ADDRESS=:8080"}), "http://127.0.0.1:8080")
        << "which it does not read beside arguments";
    EXPECT_EQ(url({}, {"TRAEFIK_API=true", "TRAEFIK_ENTRYPOINTS_WEB_ADDRESS=:8080"}), "");
    const FakeHost host;
    host.process({.pid = 42});
    host.write("/proc/42/root/etc/traefik/traefik.yml",
               "api: {}\nentryPoints: {web: {address: ':8080'}, x: , y: {address: []}}\n");
    EXPECT_EQ(address(host).url, "");
    EXPECT_EQ(address(host).source,
              "Traefik's entry point 'web' is on port 8080, where its API would be: --traefik.api says where it is, or "
              "--backends.file which servers there are");
    host.write("/proc/42/root/etc/traefik/traefik.toml",
               "[api]\n[entryPoints]\n[entryPoints.http]\naddress = \":8080\"\n");
    EXPECT_EQ(address(host).url, "");
}

/// Whoever starts a Traefik must not make us, who are root, ask others.
TEST(ApiAddress, IsOfTheProcesssOwnHost) {
    EXPECT_EQ(url({"traefik", "--entrypoints.traefik.address=[fd00::1]:9000"}), "http://[fd00::1]:9000");
    EXPECT_EQ(url({"traefik", "--entrypoints.traefik.address=localhost:9000"}), "http://localhost:9000");
    for (const auto* const foreign :
         {"10.0.0.6:9000", "0.0.0.5:9000", "10.0.0.255:9000", "[fd00::2]:9000", "169.254.169.254:80",
          "metadata.internal:80", "u@127.0.0.1:80", "127.0.0.1#:80"}) {
        EXPECT_EQ(url({"traefik", std::string("--entrypoints.traefik.address=") + foreign}), "") << foreign;
    }
}

TEST(ApiAddress, ABasePathIsPlain) {
    EXPECT_EQ(url({"traefik", "--api.basepath=/a-b_c.d/~e"}), "http://127.0.0.1:8080/a-b_c.d/~e");
    for (const std::string wrong : {"/latest/iam?role=x#", "/a#", "@evil:80/", "/a b", "/a\nb", "/../x", "/%2e%2e/x",
                                    "/a\x1b[31m", "/\xc3\xa4", "/\\x"}) {
        EXPECT_EQ(url({"traefik", "--api.basepath=" + wrong}), "") << wrong;
    }
    const FakeHost host;
    host.process({.pid = 42, .arguments = {"traefik", "--api.basepath=/\x1b" + std::string(1U << 20U, '?')}});
    EXPECT_EQ(address(host).url, "");
    EXPECT_THAT(address(host).source, HasSubstr("'/\\x1b???"));
    EXPECT_LT(address(host).source.size(), 400U);
}

TEST(ApiAddress, AFileIsReadOnlyWhenItHasChanged) {
    const FakeHost host;
    host.process({.pid = 42});
    host.write("/proc/42/root/etc/traefik/traefik.yml", "entryPoints: {traefik: {address: ':9000'}}\n");
    ConfigurationFile file;
    EXPECT_EQ(api_address(open_configuration(host.root(), 42), file).url, "http://127.0.0.1:9000");
    file.settings.address = ":9001";  // what was parsed is what is used
    EXPECT_EQ(api_address(open_configuration(host.root(), 42), file).url, "http://127.0.0.1:9001");
    host.write("/proc/42/root/etc/traefik/traefik.yml", "entryPoints: {traefik: {address: ':9002'}}\n\n");
    EXPECT_EQ(api_address(open_configuration(host.root(), 42), file).url, "http://127.0.0.1:9002");
}

TEST(ApiAddress, ALongFileAndALongLineOfAliasesAreNotParsed) {
    const FakeHost host;
    host.process({.pid = 42});
    std::string bomb = "a0: &a0 [x]\n";
    for (int level = 1; level < 40; ++level) {
        bomb += fmt::format("a{0}: &a{0} [*a{1},*a{1},*a{1},*a{1},*a{1},*a{1},*a{1},*a{1}]\n", level, level - 1);
    }
    host.write("/proc/42/root/etc/traefik/traefik.yml", bomb + "entryPoints: {traefik: {address: ':9000'}}\n");
    EXPECT_EQ(address(host).url, "http://127.0.0.1:9000");
    host.write("/proc/42/root/etc/traefik/traefik.yml", std::string((64U << 10U) + 1, '#'));
    EXPECT_THAT(address(host).source, HasSubstr("/etc/traefik/traefik.yml is longer than 64 KB"));
    host.write("/proc/42/root/etc/traefik/traefik.yml", std::string(64U << 10U, '['));
    EXPECT_THAT(address(host).source, HasSubstr("cannot be parsed"));
}

/// The kernel itself tells of each open; O_PATH is none.
TEST(ApiAddress, WhatIsNoRegularFileIsNotOpened) {
    const FakeHost host;
    host.process({.pid = 42, .arguments = {"traefik", "--configFile=/fifo"}});
    const auto fifo = host.at("/proc/42/root/fifo");
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    const Fd watch(inotify_init1(IN_NONBLOCK));
    ASSERT_GE(inotify_add_watch(watch.get(), fifo.c_str(), IN_OPEN), 0);
    EXPECT_EQ(address(host).url, "");
    std::array<char, 4096> events{};
    EXPECT_LT(read(watch.get(), events.data(), events.size()), 0);
}

TEST(ApiAddress, NonsenseIsNotAskedAndSaid) {
    const FakeHost host;
    host.process({.pid = 42, .arguments = {"traefik", "--entrypoints.traefik.address=:99999999"}});
    EXPECT_EQ(address(host).url, "");
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

TEST(ApiAddress, ABrokenFileIsNotAskedAndSaid) {
    for (const auto* const text :
         {"a: [b", "- x\n- y\n", "entryPoints: 3\n", "entryPoints: {traefik: {address: [1]}}"}) {
        const FakeHost host;
        host.process({.pid = 42});
        host.write("/proc/42/root/etc/traefik/traefik.yml", text);
        EXPECT_EQ(address(host).url, "") << text;
    }
    const FakeHost host;
    host.process({.pid = 42});
    host.write("/proc/42/root/etc/traefik/traefik.toml", "a = [");
    EXPECT_THAT(address(host).source, HasSubstr("/etc/traefik/traefik.toml cannot be parsed"));
}

}  // namespace
}  // namespace upstat::traefik
