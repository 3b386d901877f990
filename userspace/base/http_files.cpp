// SPDX-License-Identifier: Apache-2.0
#include "base/http_files.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/regular_file.hpp"

namespace upstat {

namespace {

constexpr std::size_t longest_secret = std::size_t{1} << 14;
constexpr std::string_view white = " \t\r\n";

}  // namespace

Result<std::string> read_pem(const std::string& file) {
    auto text = read_named_file(file);
    if (text && !text->contains("-----BEGIN ")) {
        return fail(Error::Kind::usage, fmt::format("{} holds no PEM", file),
                    "write it as PEM: it begins with -----BEGIN");
    }
    return text;
}

Result<std::string> read_password(const std::string& file) {
    auto text = read_named_file(file, longest_secret);
    if (text) {
        text->erase(std::min(text->find('\n'), text->size()));
    }
    if (text && text->empty()) {
        return fail(Error::Kind::usage, fmt::format("the first line of {} is empty", file),
                    "write the password into it");
    }
    return text;
}

Result<std::string> read_token(const std::string& file) {
    auto text = read_named_file(file, longest_secret);
    if (!text) {
        return text;
    }
    text->erase(0, text->find_first_not_of(white));
    text->erase(text->find_last_not_of(white) + 1);
    const auto fits = [](unsigned char byte) { return byte > 0x20 && byte < 0x7f; };
    if (text->empty() || !std::ranges::all_of(*text, fits)) {
        return fail(Error::Kind::usage,
                    fmt::format("{} {}", file, text->empty() ? "is empty" : "holds more than one token"),
                    "write the token into it, and nothing else");
    }
    return text;
}

std::vector<Error> mistakes_in(const HttpFiles& files, std::string_view option) {
    std::vector<Error> mistakes;
    const auto look = [&](const std::string& file, std::string_view name, auto read) {
        if (file.empty()) {
            return;
        }
        if (const auto text = read(file); !text) {
            auto mistake = text.error();
            mistake.message = fmt::format("{}.{}: {}", option, name, mistake.message);
            mistakes.push_back(std::move(mistake));
        }
    };
    look(files.ca_file, "ca-file", read_pem);
    look(files.bearer_token_file, "bearer-token-file", read_token);
    look(files.cert_file, "cert-file", read_pem);
    look(files.key_file, "key-file", read_pem);
    return mistakes;
}

}  // namespace upstat
