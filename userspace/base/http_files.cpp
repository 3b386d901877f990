// SPDX-License-Identifier: Apache-2.0
#include "base/http_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace upstat {

namespace {

constexpr std::uintmax_t longest_token = std::uintmax_t{1} << 14;
constexpr std::uintmax_t longest_pem = std::uintmax_t{1} << 22;
constexpr std::string_view white = " \t\r\n";

std::unexpected<Error> cannot_read(const std::string& file, const std::string& why) {
    return fail(Error::Kind::usage, fmt::format("cannot read {}: {}", file, why),
                "name a file that upstat's user may read");
}

/// All of a regular file of this size at most. A FIFO would keep the caller waiting.
Result<std::string> read_bounded(const std::string& file, std::uintmax_t longest) {
    std::error_code error;
    const auto type = std::filesystem::status(file, error).type();
    if (type == std::filesystem::file_type::none || type == std::filesystem::file_type::not_found) {
        return cannot_read(file, error.message());
    }
    if (type != std::filesystem::file_type::regular) {
        return cannot_read(file, "it is no regular file");
    }
    std::ifstream stream(file, std::ios::binary);
    if (!stream) {
        return cannot_read(file, std::generic_category().message(errno));
    }
    std::string text(std::min(std::filesystem::file_size(file, error), longest) + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (text.size() > longest) {
        return cannot_read(file, fmt::format("it is longer than {} bytes", longest));
    }
    return text;
}

}  // namespace

Result<std::string> read_pem(const std::string& file) {
    auto text = read_bounded(file, longest_pem);
    if (text && !text->contains("-----BEGIN ")) {
        return fail(Error::Kind::usage, fmt::format("{} holds no PEM", file),
                    "write it as PEM: it begins with -----BEGIN");
    }
    return text;
}

Result<std::string> read_token(const std::string& file) {
    auto text = read_bounded(file, longest_token);
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
