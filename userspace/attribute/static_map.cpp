// SPDX-License-Identifier: Apache-2.0
#include "attribute/static_map.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "base/regular_file.hpp"
#include "base/url.hpp"

namespace upstat::attribute {

namespace {

constexpr auto shape = R"(write `backends: {shop: ["10.0.0.1:80", "http://host:8080", "[::1]:90"]}`)";
constexpr auto server_shape = "a server is ADDRESS:PORT, HOST:PORT or an http, https or h2c url; v6 goes into brackets";

/// The url of an entry, or nothing when it is neither HOST:PORT nor a url.
std::optional<std::string> url_of(const std::string& entry) {
    if (entry.contains("://")) {
        return endpoint_of(entry) ? std::optional(entry) : std::nullopt;
    }
    // without a scheme the port must be there: "10.0.0.1" alone is more often a slip than port 80
    const auto url = "http://" + entry;
    return parse_host_port(entry) && !entry.contains('/') && endpoint_of(url) ? std::optional(url) : std::nullopt;
}

class Reader {
  public:
    explicit Reader(std::string file) : file_(std::move(file)) {}

    StaticMap read(const std::string& text) {
        try {
            document(YAML::Load(text));
        } catch (const YAML::Exception& error) {
            mistake(error.mark, error.msg, shape);
        }
        return std::move(map_);
    }

  private:
    void mistake(const YAML::Mark& mark, const std::string& what, const char* hint) {
        const auto place = mark.is_null() ? file_ : fmt::format("{}:{}", file_, mark.line + 1);
        map_.mistakes.push_back({.kind = Error::Kind::usage, .message = place + ": " + what, .hint = hint});
    }

    void document(const YAML::Node& node) {
        if (!node.IsMap()) {
            return mistake(node.Mark(), "there is no `backends:` in it", shape);
        }
        bool there = false;
        for (const auto& entry : node) {
            if (!entry.first.IsScalar() || entry.first.Scalar() != "backends") {
                mistake(entry.first.Mark(),
                        fmt::format("unknown key '{}'", entry.first.IsScalar() ? entry.first.Scalar() : "?"),
                        "the only key at the top is `backends`");
                continue;
            }
            there = true;
            backends(entry.second);
        }
        if (!there) {
            mistake(node.Mark(), "there is no `backends:` in it", shape);
        }
    }

    void backends(const YAML::Node& node) {
        if (!node.IsMap()) {
            return mistake(node.Mark(), "`backends` is not a map of names", shape);
        }
        for (const auto& entry : node) {
            if (!entry.first.IsScalar() || entry.first.Scalar().empty()) {
                mistake(entry.first.Mark(), "a backend without a name", shape);
                continue;
            }
            const auto& name = entry.first.Scalar();
            const auto [backend, added] =
                map_.catalogue.backends.try_emplace(name, Backend{.provider = "file", .listed = {}});
            if (!added) {
                mistake(entry.first.Mark(), fmt::format("backend '{}' is there twice", name),
                        "put its servers into one list");
                continue;
            }
            servers(name, entry.second, backend->second);
        }
    }

    void servers(const std::string& name, const YAML::Node& node, Backend& backend) {
        if (!node.IsSequence()) {
            return mistake(node.Mark(), fmt::format("backend '{}' is not a list of servers", name), shape);
        }
        for (const auto& entry : node) {
            const auto url = entry.IsScalar() ? url_of(entry.Scalar()) : std::nullopt;
            if (!url) {
                mistake(entry.Mark(),
                        fmt::format("'{}' of backend '{}' is not a server",
                                    entry.IsScalar() ? without_password(entry.Scalar()) : "...", name),
                        server_shape);
                continue;
            }
            backend.listed.push_back(listed_at(*url));
        }
    }

    std::string file_;
    StaticMap map_;
};

}  // namespace

StaticMap parse_static_map(const std::string& text, const std::string& file) {
    return Reader(file).read(text);
}

StaticMap load_static_map(const std::filesystem::path& file) {
    const auto text = read_named_file(file);
    if (!text) {
        return {.catalogue = {},
                .mistakes = {{.kind = Error::Kind::usage,
                              .message = fmt::format("backends.file: {}", text.error().message),
                              .hint = text.error().hint}}};
    }
    return parse_static_map(*text, file.string());
}

}  // namespace upstat::attribute
