// SPDX-License-Identifier: Apache-2.0
#include "base/http_files.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/temporary_directory.hpp"

namespace upstat {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

class HttpFilesTest : public testing::Test {
  protected:
    std::string file(const std::string& name, const std::string& text) {
        const auto path = directory_.path() / name;
        std::ofstream(path, std::ios::binary) << text;
        return path.string();
    }
    std::string said(const std::string& file) {
        const auto token = read_token(file);
        EXPECT_FALSE(token);
        return token ? *token : token.error().text();
    }

    TemporaryDirectory directory_;
};

TEST_F(HttpFilesTest, ATokenIsReadWithoutTheWhiteSpaceAroundIt) {
    EXPECT_EQ(read_token(file("a", "secret.of-us_1\n")), "secret.of-us_1");
    EXPECT_EQ(read_token(file("b", " \r\nsecret\r\n\n")), "secret");
}

TEST_F(HttpFilesTest, ATokenThatCannotBeUsedIsSaidWithoutItself) {
    const auto nowhere = (directory_.path() / "nowhere").string();
    EXPECT_THAT(said(nowhere), HasSubstr("cannot read " + nowhere + ": No such file or directory\nHINT: "));
    EXPECT_THAT(said(directory_.path().string()), HasSubstr("it is no regular file"));
    EXPECT_THAT(said(file("empty", " \n")), HasSubstr("is empty"));
    EXPECT_THAT(said(file("two", "secret\nX-Header: secret\n")),
                testing::AllOf(HasSubstr("holds more than one token"), Not(HasSubstr("secret"))));
    EXPECT_THAT(said(file("long", std::string(20'000, 's'))), HasSubstr("it is longer than 16384 bytes"));
}

TEST_F(HttpFilesTest, APipeKeepsNobodyWaiting) {
    const auto pipe = directory_.path() / "pipe";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_THAT(said(pipe.string()), HasSubstr("it is no regular file"));
}

TEST_F(HttpFilesTest, APasswordIsTheFirstLine) {
    EXPECT_EQ(read_password(file("a", "secret of us\nand more\n")), "secret of us");
    EXPECT_EQ(read_password(file("b", "secret")), "secret");
    const auto empty = file("c", "\nsecret");
    EXPECT_EQ(read_password(empty).error().message, "the first line of " + empty + " is empty");
    EXPECT_THAT(read_password(directory_.path().string()).error().message, HasSubstr("it is no regular file"));
}

TEST_F(HttpFilesTest, EachMistakeNamesItsOption) {
    const auto pem = file("pem", "-----BEGIN CERTIFICATE-----\n");
    EXPECT_TRUE(mistakes_in({}, "push").empty());
    EXPECT_TRUE(mistakes_in({.ca_file = pem, .cert_file = pem, .key_file = pem}, "push").empty());
    const auto mistakes = mistakes_in({.ca_file = file("der", "\x30\x82"),
                                       .bearer_token_file = "/nowhere/token",
                                       .cert_file = "/nowhere/cert",
                                       .key_file = pem},
                                      "alertmanager");
    ASSERT_EQ(mistakes.size(), 3U);
    EXPECT_THAT(mistakes[0].message, testing::StartsWith("alertmanager.ca-file: "));
    EXPECT_THAT(mistakes[0].message, EndsWith("holds no PEM"));
    EXPECT_EQ(mistakes[1].message,
              "alertmanager.bearer-token-file: cannot read /nowhere/token: No such file or directory");
    EXPECT_THAT(mistakes[2].message, testing::StartsWith("alertmanager.cert-file: "));
    for (const auto& mistake : mistakes) {
        EXPECT_EQ(mistake.kind, Error::Kind::usage);
        EXPECT_NE(mistake.hint, "");
    }
}

}  // namespace
}  // namespace upstat
