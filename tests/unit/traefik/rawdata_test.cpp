// SPDX-License-Identifier: Apache-2.0
#include "traefik/rawdata.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attribute/kubernetes.hpp"
#include "traefik/fake_host.hpp"

namespace upstat::traefik {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

constexpr auto url = "http://127.0.0.1:8080/api/rawdata";

attribute::Listed listed(const std::string& where, const std::string& server, bool up = true) {
    return {.url = where, .up = up, .servers = {poll::parse_server(server).value()}};
}

TEST(Rawdata, ReadsARealAnswer) {
    const auto catalogue = parse_rawdata(fixture("rawdata-3.7.15.json"), url);
    ASSERT_TRUE(catalogue) << catalogue.error().text();
    // no weighted, mirroring, failover or highestRandomWeight parent, nothing of Traefik's own, no TCP service
    EXPECT_THAT(catalogue->catalogue.backends, ElementsAre(Key("grpc@file"), Key("names@file"), Key("shop@file"),
                                                           Key("tls@file"), Key("unused@file")));
    EXPECT_THAT(catalogue->catalogue.streams, ElementsAre(listed("tcp://127.0.0.1:5432", "127.0.0.1:5432")));
    const auto& backends = catalogue->catalogue.backends;
    EXPECT_EQ(backends.at("shop@file").provider, "file");
    EXPECT_THAT(backends.at("shop@file").listed, ElementsAre(listed("http://127.0.0.1:58509", "127.0.0.1:58509", false),
                                                             listed("http://[::1]:58509/", "[::1]:58509", false)));
    EXPECT_THAT(backends.at("grpc@file").listed, ElementsAre(listed("h2c://127.0.0.1", "127.0.0.1:80")));
    EXPECT_THAT(backends.at("tls@file").listed, ElementsAre(listed("https://127.0.0.1", "127.0.0.1:443")));
    EXPECT_THAT(backends.at("unused@file").listed, ElementsAre(listed("http://10.9.8.7", "10.9.8.7:80")));
    EXPECT_THAT(backends.at("names@file").listed,
                ElementsAre(attribute::Listed{.url = "http://localhost:8081", .up = true, .servers = {}},
                            attribute::Listed{.url = "http://web.example.internal/base", .up = true, .servers = {}}));
}

TEST(Rawdata, AServiceWithoutServersIsABackendWithoutServers) {
    const auto catalogue =
        parse_rawdata(R"({"services":{"a@docker":{"loadBalancer":{}},"b@x":{"loadBalancer":null}}})", url);
    ASSERT_TRUE(catalogue);
    EXPECT_THAT(catalogue->catalogue.backends, ElementsAre(Key("a@docker")));
}

TEST(Rawdata, AUrlThatIsNoneStaysListed) {
    const auto catalogue = parse_rawdata(R"({"services":{"a@f":{"loadBalancer":{"servers":[{"url":"::"},{}]}}}})", url);
    ASSERT_TRUE(catalogue);
    EXPECT_THAT(catalogue->catalogue.backends.at("a@f").listed,
                ElementsAre(attribute::Listed{.url = "::", .up = true, .servers = {}}));
}

TEST(Rawdata, TheServersOfTcpAndUdpServicesAreNoBackends) {
    const auto catalogue = parse_rawdata(R"({"services":{},"tcpServices":{"mail@f":{"loadBalancer":{"servers":[
        {"address":"[fd00::1]:25"},{"address":"redis:6379"},{}]}},"split@f":{"weighted":{"services":[{"name":"mail"}]}},
        "none@f":{"loadBalancer":null}},"udpServices":{"dns@f":{"loadBalancer":{"servers":[{"address":"10.0.0.1:53"}]}},
        "also@f":{"loadBalancer":{}}}})",
                                         url);
    ASSERT_TRUE(catalogue) << catalogue.error().text();
    EXPECT_THAT(catalogue->catalogue.backends, testing::IsEmpty());
    EXPECT_THAT(catalogue->catalogue.streams,
                ElementsAre(listed("tcp://[fd00::1]:25", "[fd00::1]:25"),
                            attribute::Listed{.url = "tcp://redis:6379", .up = true, .servers = {}},
                            listed("udp://10.0.0.1:53", "10.0.0.1:53")));
}

TEST(Rawdata, TellsWhomTraefikAsksByItself) {
    const auto read = parse_rawdata(R"({"services":{
        "checked@f":{"loadBalancer":{"healthCheck":{"mode":"http","path":"/h","method":"head","port":9000,"interval":"1s"},
                                     "servers":[{"url":"http://10.0.0.1:80"}]}},
        "plain@f":{"loadBalancer":{"healthCheck":{"path":"/h"},"servers":[{"url":"http://10.0.0.2"}]}},
        "odd@f":{"loadBalancer":{"healthCheck":null,"servers":[]}},
        "odder@f":{"loadBalancer":{"healthCheck":7}},
        "none@f":{"loadBalancer":{"healthCheck":{"method":null,"port":"x"}}}},
        "middlewares":{"auth@f":{"forwardAuth":{"address":"http://10.0.0.3:9091/verify","trustForwardHeader":true}},
                       "strip@f":{"stripPrefix":{"prefixes":["/a"]}},"odd@f":{"forwardAuth":7},"odder@f":7}})",
                                    url);
    ASSERT_TRUE(read) << read.error().text();
    const auto& backends = read->catalogue.backends;
    const attribute::HealthCheck usual;
    EXPECT_THAT(backends.at("checked@f").checks,
                ElementsAre(attribute::HealthCheck{.method = poll::Method::head, .port = 9000}));
    EXPECT_THAT(backends.at("plain@f").checks, ElementsAre(usual));
    EXPECT_TRUE(backends.at("odd@f").checks.empty());
    EXPECT_TRUE(backends.at("odder@f").checks.empty());
    EXPECT_THAT(backends.at("none@f").checks, ElementsAre(usual));
    EXPECT_THAT(read->catalogue.auths, ElementsAre(listed("http://10.0.0.3:9091/verify", "10.0.0.3:9091")));
}

std::string complaint(const std::string& body) {
    const auto catalogue = parse_rawdata(body, url);
    EXPECT_FALSE(catalogue) << body.substr(0, 80);
    return catalogue ? "" : catalogue.error().message;
}

TEST(Rawdata, SaysWhatIsWrong) {
    EXPECT_EQ(complaint("<!DOCTYPE html>\n<html>"), "the response of http://127.0.0.1:8080/api/rawdata is not JSON");
    EXPECT_EQ(complaint(""), "the response of http://127.0.0.1:8080/api/rawdata is empty");
    EXPECT_THAT(complaint(" \n "), HasSubstr("is empty"));
    EXPECT_THAT(complaint(R"({"services":{"a@f":{"loadB)"), HasSubstr("is not JSON"));
    EXPECT_THAT(complaint("{\"services\":{\"\xff\":{}}}"), HasSubstr("is not JSON"));
    EXPECT_THAT(complaint(std::string(max_catalogue_bytes + 1, ' ')), HasSubstr("longer than 65536 KB"));
    EXPECT_THAT(complaint(std::string(1U << 20U, '[')), HasSubstr("the whole is array"));
    EXPECT_THAT(complaint("{\"x\":" + std::string(1U << 20U, '[')), HasSubstr("nested deeper than 64"));
}

/// Whoever answers instead of Traefik may tell a secret, which the agent as root must not hand on.
TEST(Rawdata, NoForeignByteIsHandedOn) {
    EXPECT_THAT(complaint("SECRET-0123456789"), Not(HasSubstr("SECRET")));
    EXPECT_THAT(complaint(R"({"SECRET":"SECRET"})"), Not(HasSubstr("SECRET")));
    EXPECT_THAT(complaint("{\"services\":{\"a\\u001b[31m\":7}}"), HasSubstr("a\\x1b[31m is number"));
    EXPECT_LT(complaint("{\"services\":{\"" + std::string(500, '\x7f') + "\":7}}").size(), 2500U);
}

std::string many(std::size_t services) {
    std::string body = R"({"services":{)";
    for (std::size_t at = 0; at < services; ++at) {
        body += fmt::format(R"({}"s{}@f":{{"loadBalancer":{{"servers":[{{"url":"http://10.0.0.1:{}"}}]}}}})",
                            at == 0 ? "" : ",", at, at % 60000 + 1);
    }
    return body + "}}";
}

TEST(Rawdata, NamesAndCountsHaveBounds) {
    const std::string longest(512, 'x');
    const auto read =
        parse_rawdata(R"({"services":{")" + longest + R"(":{"loadBalancer":{"servers":[{"url":"http://)" + longest +
                          R"("},{"url":"http://10.0.0.1"}]}},"y)" + longest + R"(":{"loadBalancer":{}}}})",
                      url);
    ASSERT_TRUE(read) << read.error().text();
    EXPECT_THAT(read->catalogue.backends, ElementsAre(Key(longest)));
    EXPECT_THAT(read->catalogue.backends.at(longest).listed, ElementsAre(listed("http://10.0.0.1", "10.0.0.1:80")));
    EXPECT_EQ(read->left_out, 2U);
    EXPECT_TRUE(parse_rawdata(many(150'000), url));
    EXPECT_THAT(complaint(many(150'001)), HasSubstr("lists more than 300000 backends and servers"));
    std::string one = R"({"services":{"a":{"loadBalancer":{"servers":[)";
    for (int at = 0; at < 300'001; ++at) {
        one += R"({"url":"u"},)";
    }
    EXPECT_THAT(complaint(one), HasSubstr("lists more than"));
}

TEST(Rawdata, WrongTypesAreNamed) {
    EXPECT_THAT(complaint("[]"), HasSubstr("the whole is array, not an object"));
    EXPECT_THAT(complaint("{}"), HasSubstr("no member 'services'"));
    EXPECT_THAT(complaint(R"({"message":"unauthorized"})"), HasSubstr("no member 'services'"));
    EXPECT_THAT(complaint(R"({"services":[]})"), HasSubstr("'services' is array"));
    EXPECT_THAT(complaint(R"({"services":{"a@f":7}})"), HasSubstr("a@f is number, not an object"));
    EXPECT_THAT(complaint(R"({"services":{"a@f":{"loadBalancer":"x"}}})"), HasSubstr("a@f.loadBalancer is string"));
    EXPECT_THAT(complaint(R"({"services":{"a@f":{"loadBalancer":{"servers":{}}}}})"), HasSubstr("servers is object"));
    EXPECT_THAT(complaint(R"({"services":{"a@f":{"loadBalancer":{"servers":["x"]}}}})"), HasSubstr("a server of a@f"));
    EXPECT_THAT(complaint(R"({"services":{"a@f":{"loadBalancer":{"servers":[{"url":1}]}}}})"), HasSubstr("url of a@f"));
    EXPECT_THAT(complaint(R"({"services":{"a@f":{"loadBalancer":{"servers":[]},"serverStatus":[]}}})"),
                HasSubstr("serverStatus is array"));
    EXPECT_THAT(complaint(R"({"services":{},"tcpServices":[]})"), HasSubstr("tcpServices is array"));
    EXPECT_THAT(complaint(R"({"services":{},"udpServices":{"a@f":{"loadBalancer":{"servers":[{"address":1}]}}}})"),
                HasSubstr("address of a@f"));
}

TEST(Rawdata, NoByteOfARealAnswerCanBeCutWithoutAnError) {
    const auto body = fixture("rawdata-3.7.15.json");
    for (std::size_t length = 0; length < body.find_last_of('}'); length += 7) {
        EXPECT_FALSE(parse_rawdata(body.substr(0, length), url)) << length;
    }
}

TEST(Rawdata, ReadsTraefik1) {
    const auto catalogue = parse_providers(fixture("providers-1.7.json"), url);
    ASSERT_TRUE(catalogue) << catalogue.error().text();
    EXPECT_THAT(catalogue->catalogue.backends, ElementsAre(Key("backend-empty"), Key("backend-web")));
    EXPECT_EQ(catalogue->catalogue.backends.at("backend-empty").provider, "docker");
    EXPECT_THAT(
        catalogue->catalogue.backends.at("backend-web").listed,
        ElementsAre(listed("http://172.17.0.2:80", "172.17.0.2:80"), listed("http://172.17.0.3", "172.17.0.3:80"),
                    listed("https://[fd00::1]", "[fd00::1]:443")));
}

TEST(Rawdata, Traefik1AnswersCanBeWrongToo) {
    for (const auto* const body : {"<html>", "[]", R"({"file":1})", R"({"file":{"backends":[]}})",
                                   R"({"file":{"backends":{"a":1}}})", R"({"file":{"backends":{"a":{"servers":[1]}}}})",
                                   R"({"file":{"backends":{"a":{"servers":{"s":{"url":1}}}}}})"}) {
        EXPECT_FALSE(parse_providers(body, url)) << body;
    }
    EXPECT_TRUE(parse_providers("{}", url));
}

TEST(Rawdata, ReadsTheVersion) {
    EXPECT_EQ(parse_version(R"({"Version":"3.7.15","Codename":"langres"})", url).value(), "3.7.15");
    EXPECT_FALSE(parse_version(R"({"version":"1"})", url));
    EXPECT_FALSE(parse_version("404 page not found", url));
}

TEST(Catalogue, MergesTheServersOfTcpServices) {
    const auto one = [](const std::string& address) {
        const auto body = R"({"services":{},"tcpServices":{"a@f":{"loadBalancer":{"servers":[{"address":")" + address;
        return parse_rawdata(body + R"("}]}}}})", url).value().catalogue;
    };
    const auto both = attribute::merged(attribute::merged(one("10.0.0.1:25"), one("10.0.0.2:25")), one("10.0.0.1:25"));
    EXPECT_THAT(both.streams,
                ElementsAre(listed("tcp://10.0.0.1:25", "10.0.0.1:25"), listed("tcp://10.0.0.2:25", "10.0.0.2:25")));
}

TEST(Catalogue, MergesWhatSeveralSay) {
    const auto first =
        parse_rawdata(R"({"services":{"a@f":{"loadBalancer":{"servers":[{"url":"http://10.0.0.1"}]}}}})", url);
    const auto second = parse_rawdata(R"({"services":{"a@f":{"loadBalancer":{"servers":[{"url":"http://10.0.0.1"},
        {"url":"http://10.0.0.2"}]},"serverStatus":{"http://10.0.0.1":"DOWN"}},"b@f":{"loadBalancer":{}}}})",
                                      url);
    const auto both = merged(first.value().catalogue, second.value().catalogue);
    EXPECT_THAT(both.backends, ElementsAre(Key("a@f"), Key("b@f")));
    EXPECT_THAT(both.backends.at("a@f").listed,
                ElementsAre(listed("http://10.0.0.1", "10.0.0.1:80", false), listed("http://10.0.0.2", "10.0.0.2:80")));
}

/// Written by hand from the documentation of both Kubernetes providers.
TEST(Rawdata, OfBothKubernetesProvidersNamesNamespaceServiceAndPort) {
    const auto read = parse_rawdata(fixture("rawdata-kubernetes.json"), url);
    ASSERT_TRUE(read) << read.error().text();
    const auto namespaces = attribute::plain_namespaces(read->catalogue);
    std::map<std::string, attribute::KubernetesName> names;
    for (const auto& [name, backend] : read->catalogue.backends) {
        names.emplace(name.name, attribute::kubernetes_name(name.name, backend.provider, namespaces));
    }
    EXPECT_EQ(names, (std::map<std::string, attribute::KubernetesName>{
                         {"default-shop-050afe453baf5e1d3427@kubernetescrd", {"default", "", ""}},
                         {"default-web-8080@kubernetescrd", {"default", "web", "8080"}},
                         {"monitoring-canary-9090@kubernetescrd", {"monitoring", "canary", "9090"}},
                         {"default-web-80@kubernetes", {"default", "web", "80"}}}))
        << "a weighted parent has no servers of its own";
}

}  // namespace
}  // namespace upstat::traefik
