// SPDX-License-Identifier: Apache-2.0
#include "publish/web_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "publish/certificates.hpp"

namespace upstat::publish {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

class WebConfigTest : public testing::Test {
  protected:
    WebConfigTest() {
        files_.make("server");
        files_.make("other");
    }
    [[nodiscard]] WebConfigFile load(const std::string& text) const {
        return load_web_config(files_.write("web.yml", text));
    }
    void expect_mistake(const std::string& text, int line, const std::string& what) const {
        const auto read = load(text);
        ASSERT_EQ(read.mistakes.size(), 1U) << text;
        EXPECT_THAT(read.mistakes[0].message, HasSubstr("web.yml:" + std::to_string(line) + ": " + what)) << text;
        EXPECT_NE(read.mistakes[0].hint, "") << text;
    }

    Certificates files_;
};

TEST_F(WebConfigTest, ReadsWhatTheExportersRead) {
    const auto hash = hash_of("secret");
    const auto read = load(
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  min_version: TLS13\n"
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: other.pem\n"
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n"
        "basic_auth_users:\n  alice: " +
        hash + "\n");
    EXPECT_THAT(read.mistakes, IsEmpty());
    EXPECT_NE(read.config.tls, nullptr);
    EXPECT_THAT(read.config.headers, ElementsAre(Pair("X-Frame-Options", "deny")));
    EXPECT_THAT(read.config.users, ElementsAre(Pair("alice", hash)));
}

TEST_F(WebConfigTest, AnEmptyOneChangesNothing) {
    for (const auto* const text : {"", "tls_server_config: {}\n", "basic_auth_users:\n", "http_server_config: {}\n"}) {
        const auto read = load(text);
        EXPECT_THAT(read.mistakes, IsEmpty()) << text;
        EXPECT_EQ(read.config.tls, nullptr);
        EXPECT_THAT(read.config.users, IsEmpty());
    }
    EXPECT_THAT(load_web_config("").mistakes, IsEmpty());
}

TEST_F(WebConfigTest, NamesEachMistakeWithItsLine) {
    expect_mistake("\ntls_config: {}\n", 2, "unknown key 'tls_config'");
    expect_mistake("tls_server_config:\n  cert: x\n", 2, "unknown key 'cert'");
    expect_mistake("tls_server_config:\n  cert_file: server.pem\n", 1, "TLS needs cert_file and key_file");
    expect_mistake("tls_server_config:\n  cert_file: none.pem\n", 2, "cert_file: cannot read ");
    expect_mistake("tls_server_config:\n  cert_file: server.pem\n  key_file: other.key\n", 1,
                   "the certificate and its key cannot be used together");
    expect_mistake("tls_server_config:\n  min_version: TLS9\n", 2, "'TLS9' is no min_version");
    expect_mistake("tls_server_config:\n  client_auth_type: Perhaps\n", 2, "'Perhaps' is no client_auth_type");
    expect_mistake("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: other.pem\n",
                   1, "client_ca_file without a client_auth_type");
    expect_mistake(
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: web.yml\n"
        "  client_auth_type: RequireAndVerifyClientCert\n",
        1, "no certificate authority of clients can be read");
    expect_mistake("http_server_config:\n  headers:\n    Server: x\n", 3, "the header 'Server' cannot be set");
    expect_mistake("http_server_config:\n  headers:\n    X-Frame-Options: ALLOW\n", 3, "'ALLOW' is no value of");
    expect_mistake("http_server_config:\n  headers:\n    X-XSS-Protection: \"a\\nb\"\n", 3,
                   "X-XSS-Protection has control");
    expect_mistake("http_server_config:\n  proxy: x\n", 2, "unknown key 'proxy'");
    expect_mistake("basic_auth_users:\n  alice: secret\n", 2, "the password of 'alice' is not a bcrypt hash");
    expect_mistake("basic_auth_users:\n  alice: $2b$17$" + hash_of("x").substr(7) + "\n", 2,
                   "the password of 'alice' is hashed with a cost above 16");
    expect_mistake("basic_auth_users:\n  a: " + hash_of("x") + "\n  a: " + hash_of("y") + "\n", 3,
                   "'a' stands here twice");
    expect_mistake("basic_auth_users: [a]\n", 1, "there are no keys");
    expect_mistake("a: b: c\n", 1, "illegal map value");
    EXPECT_THAT(load_web_config("/nowhere/web.yml").mistakes.at(0).message,
                HasSubstr("web.config.file: cannot read /nowhere/web.yml: No such file or directory"));
}

TEST_F(WebConfigTest, TakesEachKindOfBcrypt) {
    const auto tail = hash_of("secret").substr(3);
    for (const auto* const prefix : {"$2a", "$2b", "$2y"}) {
        EXPECT_THAT(load("basic_auth_users:\n  a: " + (prefix + tail) + "\n").mistakes, IsEmpty()) << prefix;
    }
    expect_mistake("basic_auth_users:\n  a: $2x" + tail + "\n", 2, "the password of 'a' is not a bcrypt hash");
}

}  // namespace
}  // namespace upstat::publish
