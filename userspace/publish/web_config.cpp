// SPDX-License-Identifier: Apache-2.0
#include "publish/web_config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <optional>
#include <ranges>
#include <string_view>
#include <utility>

#include "base/regular_file.hpp"

namespace upstat::publish {

namespace {

constexpr auto shape =
    "the keys are those of exporter-toolkit's web configuration: tls_server_config, "
    "http_server_config, basic_auth_users";

/// What $2y$ and its kin say: the cost, or nothing where it is no bcrypt hash.
std::optional<int> bcrypt_cost(std::string_view hash) {
    constexpr std::size_t length = 60;
    const bool has_form = hash.size() == length && hash.starts_with("$2") &&
                          std::string_view("aby").contains(hash[2]) && hash[3] == '$' && hash[6] == '$';
    const auto is_digit = [](char byte) { return (byte >= '0' && byte <= '9'); };
    const auto is_salt = [&](char byte) {
        return is_digit(byte) || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '.' ||
               byte == '/';
    };
    int cost = 0;
    if (!has_form || !is_digit(hash[4]) || !std::ranges::all_of(hash.substr(7), is_salt) ||
        std::from_chars(&hash[4], &hash[6], cost).ptr != &hash[6] || cost < 4 || cost > 31) {
        return std::nullopt;
    }
    return cost;
}

/// A header that may be set, and its only values; none: any.
struct Header {
    std::string_view name;
    std::vector<std::string_view> values;
};
const std::array<Header, 5> headers{{{.name = "Strict-Transport-Security", .values = {}},
                                     {.name = "X-Content-Type-Options", .values = {"nosniff"}},
                                     {.name = "X-Frame-Options", .values = {"deny", "sameorigin"}},
                                     {.name = "X-XSS-Protection", .values = {}},
                                     {.name = "Content-Security-Policy", .values = {}}}};

constexpr std::array<std::pair<std::string_view, ClientAuth>, 6> client_auths{
    {{"NoClientCert", ClientAuth::none},
     {"RequestClientCert", ClientAuth::request},
     {"RequireAnyClientCert", ClientAuth::require_any},
     {"RequireClientCert", ClientAuth::require_any},
     {"VerifyClientCertIfGiven", ClientAuth::verify_if_given},
     {"RequireAndVerifyClientCert", ClientAuth::require_and_verify}}};
constexpr std::array<std::pair<std::string_view, int>, 4> versions{
    {{"TLS10", 10}, {"TLS11", 11}, {"TLS12", 12}, {"TLS13", 13}}};

class Reader {
  public:
    explicit Reader(std::string file) : file_(std::move(file)) {}

    WebConfigFile read(const std::string& text) {
        try {
            const auto document = YAML::Load(text);
            each(document, [this](const std::string& key, const YAML::Node& at, const YAML::Node& value) {
                section(key, at, value);
            });
        } catch (const YAML::Exception& error) {
            mistake(error.mark, error.msg, shape);
        }
        return std::move(read_);
    }

  private:
    void mistake(const YAML::Mark& mark, std::string_view what, std::string_view hint) {
        const auto place = mark.is_null() ? file_ : fmt::format("{}:{}", file_, mark.line + 1);
        read_.mistakes.push_back(
            {.kind = Error::Kind::usage, .message = fmt::format("{}: {}", place, what), .hint = std::string(hint)});
    }

    void unknown(const std::string& key, const YAML::Node& at, std::string_view hint) {
        mistake(at.Mark(), fmt::format("unknown key '{}'", key), hint);
    }

    /// Calls `take(key, its node, value)` for each entry of a map; an empty node is an empty map.
    void each(const YAML::Node& map, auto&& take) {
        if (map.IsNull()) {
            return;
        }
        if (!map.IsMap()) {
            return mistake(map.Mark(), "there are no keys where they must be", shape);
        }
        std::map<std::string, int> seen;
        for (const auto& entry : map) {
            const auto key = entry.first.IsScalar() ? entry.first.Scalar() : std::string("?");
            if (seen[key]++ != 0) {
                mistake(entry.first.Mark(), fmt::format("'{}' stands here twice", key), "keep one of them");
            }
            take(key, entry.first, entry.second);
        }
    }

    std::string text_of(const std::string& key, const YAML::Node& value) {
        if (!value.IsScalar()) {
            mistake(value.Mark(), fmt::format("{} is not a text", key), shape);
            return {};
        }
        return value.Scalar();
    }

    void section(const std::string& key, const YAML::Node& at, const YAML::Node& value) {
        if (key == "tls_server_config") {
            tls(at, value);
        } else if (key == "http_server_config") {
            each(value,
                 [this](const std::string& name, const YAML::Node& its, const YAML::Node& of) { http(name, its, of); });
        } else if (key == "basic_auth_users") {
            each(value, [this](const std::string& name, const YAML::Node&, const YAML::Node& of) { user(name, of); });
        } else {
            unknown(key, at, shape);
        }
    }

    void user(const std::string& name, const YAML::Node& value) {
        constexpr int dearest = 16;  // four seconds and more for each try: none would be done in a client's patience
        const auto hash = text_of(name, value);
        const auto cost = bcrypt_cost(hash);
        if (!cost || *cost > dearest) {
            return mistake(value.Mark(),
                           cost ? fmt::format("the password of '{}' is hashed with a cost above {}", name, dearest)
                                : fmt::format("the password of '{}' is not a bcrypt hash", name),
                           "make one with `htpasswd -nBC 10 NAME`: what stands behind the colon");
        }
        read_.config.users[name] = hash;
    }

    void http(const std::string& key, const YAML::Node& at, const YAML::Node& value) {
        if (key == "headers") {
            each(value, [this](const std::string& name, const YAML::Node& its, const YAML::Node& of) {
                header(name, its, of);
            });
        } else if (key != "http2") {  // HTTP/1.1 is spoken to everybody
            unknown(key, at, "the keys are headers and http2");
        }
    }

    void header(const std::string& name, const YAML::Node& at, const YAML::Node& value) {
        const auto* const allowed = std::ranges::find(headers, name, &Header::name);
        if (allowed == headers.end()) {
            return mistake(at.Mark(), fmt::format("the header '{}' cannot be set", name),
                           "those that can: Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, "
                           "X-XSS-Protection, Content-Security-Policy");
        }
        const auto text = text_of(name, value);
        if (!allowed->values.empty() && std::ranges::find(allowed->values, text) == allowed->values.end()) {
            return mistake(value.Mark(), fmt::format("'{}' is no value of {}", text, name),
                           fmt::format("write {}", fmt::join(allowed->values, " or ")));
        }
        if (std::ranges::any_of(text, [](unsigned char byte) { return byte < ' ' || byte == 0x7f; })) {
            return mistake(value.Mark(), fmt::format("{} has control characters", name), "write it on one line");
        }
        read_.config.headers[name] = text;
    }

    void tls(const YAML::Node& at, const YAML::Node& value) {
        TlsOptions options;
        const auto before = read_.mistakes.size();
        each(value, [&](const std::string& key, const YAML::Node& its, const YAML::Node& of) {
            tls_key(options, key, its, of);
        });
        const bool empty = value.IsNull() || value.size() == 0;
        if (empty || read_.mistakes.size() != before) {
            return;
        }
        if (options.certificate.empty() || options.key.empty()) {
            return mistake(at.Mark(), "TLS needs cert_file and key_file", "name both, in PEM");
        }
        if (!options.client_ca.empty() && options.client_auth == ClientAuth::none) {
            return mistake(at.Mark(), "client_ca_file without a client_auth_type that asks for certificates",
                           "add `client_auth_type: RequireAndVerifyClientCert`");
        }
        if (auto made = Tls::make(options)) {
            read_.config.tls = std::move(*made);
        } else {
            mistake(at.Mark(), made.error().message, "check cert_file, key_file and client_ca_file: PEM, and a pair");
        }
    }

    void tls_key(TlsOptions& options, const std::string& key, const YAML::Node& at, const YAML::Node& value) {
        if (key == "cert_file") {
            options.certificate = file_of(key, value);
        } else if (key == "key_file") {
            options.key = file_of(key, value);
        } else if (key == "client_ca_file") {
            options.client_ca = file_of(key, value);
        } else if (key == "client_auth_type") {
            options.client_auth = one_of(client_auths, key, value).value_or(ClientAuth::none);
        } else if (key == "min_version") {
            options.min_version = one_of(versions, key, value).value_or(12);
        } else if (key == "max_version") {
            options.max_version = one_of(versions, key, value).value_or(13);
        } else if (key != "prefer_server_cipher_suites") {  // they always are
            unknown(key, at,
                    "the keys here are cert_file, key_file, client_auth_type, client_ca_file, min_version and "
                    "max_version");
        }
    }

    /// What a file says that is named here; it is relative to this file's folder.
    std::string file_of(const std::string& key, const YAML::Node& value) {
        const auto name = text_of(key, value);
        auto text = read_named_file(std::filesystem::path(file_).parent_path() / name);
        if (!text || text->empty()) {
            mistake(value.Mark(),
                    fmt::format("{}: {}", key, text ? fmt::format("'{}' is empty", name) : text.error().message),
                    "it is looked for beside this file; upstat must be able to read it");
        }
        return std::move(text).value_or("");
    }

    template <typename Values>
    auto one_of(const Values& values, const std::string& key, const YAML::Node& value)
        -> std::optional<typename Values::value_type::second_type> {
        const auto text = text_of(key, value);
        for (const auto& [name, meaning] : values) {
            if (name == text) {
                return meaning;
            }
        }
        mistake(value.Mark(), fmt::format("'{}' is no {}", text, key),
                fmt::format("one of {}", fmt::join(values | std::views::keys, ", ")));
        return std::nullopt;
    }

    std::string file_;
    WebConfigFile read_;
};

}  // namespace

WebConfigFile load_web_config(const std::string& file) {
    if (file.empty()) {
        return {};
    }
    const auto text = read_named_file(file);
    if (!text) {
        return {.config = {},
                .mistakes = {{.kind = Error::Kind::usage,
                              .message = fmt::format("web.config.file: {}", text.error().message),
                              .hint = text.error().hint}}};
    }
    return Reader(file).read(*text);
}

}  // namespace upstat::publish
