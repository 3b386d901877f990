// SPDX-License-Identifier: Apache-2.0
#include "traefik/rawdata.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "attribute/catalogue.hpp"

namespace upstat::traefik {

namespace {

using nlohmann::json;

constexpr std::size_t max_body = std::size_t{16} << 20;
constexpr int max_depth = 64;
constexpr auto hint =
    "check --traefik.api: it is the address of Traefik's API without /api, such as http://127.0.0.1:8080";

/// What is wrong with a response, on its way out to the functions that the header names; it leaves none of them.
struct Wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The first characters, made fit for a log line.
std::string beginning(std::string_view body) {
    constexpr std::size_t shown = 40;
    std::string text(body.substr(0, shown));
    std::ranges::replace_if(text, [](unsigned char c) { return c < ' ' || c > '~'; }, ' ');
    text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
    return text;
}

json parsed(std::string_view body) {
    if (body.size() > max_body) {
        throw Wrong(fmt::format("is longer than {} MB", max_body >> 20));
    }
    if (beginning(body).empty()) {
        throw Wrong("is empty");
    }
    // Stops a hostile "[[[[..." before it costs memory.
    const auto shallow = [](int depth, json::parse_event_t, const json&) {
        return depth <= max_depth ? true : throw Wrong(fmt::format("is nested deeper than {} levels", max_depth));
    };
    auto document = json::parse(body, shallow, false);
    if (document.is_discarded()) {
        throw Wrong(fmt::format("is not JSON: it starts with '{}'", beginning(body)));
    }
    return document;
}

const json& object(const json& value, const std::string& what) {
    return value.is_object()
               ? value
               : throw Wrong(fmt::format("is not Traefik's: {} is {}, not an object", what, value.type_name()));
}

const std::string& text(const json& value, const std::string& what) {
    return value.is_string()
               ? value.get_ref<const std::string&>()
               : throw Wrong(fmt::format("is not Traefik's: {} is {}, not a string", what, value.type_name()));
}

/// A member that may be missing or null.
const json* member(const json& parent, const char* name) {
    const auto found = parent.find(name);
    return found == parent.end() || found->is_null() ? nullptr : &*found;
}

bool is_up(const json* status, const std::string& url) {
    const auto* const said = status == nullptr ? nullptr : member(*status, url.c_str());
    return said == nullptr || *said != "DOWN";
}

std::string provider_of(const std::string& name) {
    const auto at = name.rfind('@');
    return at == std::string::npos ? "" : name.substr(at + 1);
}

/// The servers that a service's load balancer lists, as an array; null where it has none.
const json* servers_in(const std::string& name, const json& balancer) {
    const auto* const servers = member(object(balancer, name + ".loadBalancer"), "servers");
    if (servers != nullptr && !servers->is_array()) {
        throw Wrong(
            fmt::format("is not Traefik's: {}.loadBalancer.servers is {}, not an array", name, servers->type_name()));
    }
    return servers;
}

/// The servers of a load balancer. Any other kind of service (weighted, mirroring, failover, highestRandomWeight) only
/// names services that are in the same response: Traefik counts an attempt under the service whose server it reached,
/// so these parents have no counts of their own and are no backends.
std::optional<attribute::Backend> backend_of(const std::string& name, const json& service) {
    const auto* const balancer = member(service, "loadBalancer");
    if (balancer == nullptr) {
        return std::nullopt;
    }
    attribute::Backend backend{.provider = provider_of(name), .listed = {}};
    const auto* const servers = servers_in(name, *balancer);
    if (servers == nullptr) {
        return backend;
    }
    const auto* const status = member(service, "serverStatus");
    if (status != nullptr) {
        object(*status, name + ".serverStatus");
    }
    for (const auto& server : *servers) {
        if (const auto* const url = member(object(server, "a server of " + name), "url")) {
            const auto& spelled = text(*url, "a server's url of " + name);
            backend.listed.push_back(attribute::listed_at(spelled, is_up(status, spelled)));
        }
    }
    return backend;
}

/// The servers of TCP or UDP services: `kind` is a member of the response, `scheme` is theirs.
void add_streams(std::vector<attribute::Listed>& streams, const json& document, const char* kind,
                 std::string_view scheme) {
    const auto* const services = member(document, kind);
    if (services == nullptr) {
        return;
    }
    for (const auto& [name, service] : object(*services, kind).items()) {
        const auto* const balancer = member(object(service, name), "loadBalancer");
        const auto* const servers = balancer == nullptr ? nullptr : servers_in(name, *balancer);
        for (const auto& server : servers == nullptr ? json::array() : *servers) {
            if (const auto* const address = member(object(server, "a server of " + name), "address")) {
                streams.push_back(attribute::listed_at(
                    fmt::format("{}://{}", scheme, text(*address, "a server's address of " + name))));
            }
        }
    }
}

attribute::Catalogue rawdata(const json& document) {
    const auto* const services = member(object(document, "the whole"), "services");
    if (services == nullptr) {
        // Traefik's own api@internal is always there, so this is some other JSON, and no reason to forget every backend
        throw Wrong("is JSON but not Traefik's: it has no member 'services'");
    }
    attribute::Catalogue catalogue;
    for (const auto& [name, service] : object(*services, "'services'").items()) {
        if (name.ends_with("@internal")) {
            continue;
        }
        if (auto backend = backend_of(name, object(service, name))) {
            catalogue.backends.emplace(name, *std::move(backend));
        }
    }
    add_streams(catalogue.streams, document, "tcpServices", "tcp");
    add_streams(catalogue.streams, document, "udpServices", "udp");
    return catalogue;
}

attribute::Catalogue providers(const json& document) {
    attribute::Catalogue catalogue;
    for (const auto& [provider, configuration] : object(document, "the whole").items()) {
        const auto* const backends = member(object(configuration, provider), "backends");
        if (backends == nullptr) {
            continue;
        }
        for (const auto& [name, described] : object(*backends, provider + ".backends").items()) {
            attribute::Catalogue one;
            auto& backend = one.backends[name];
            backend.provider = provider;
            const auto* const servers = member(object(described, name), "servers");
            const auto none = json::object();
            for (const auto& [key, server] : object(servers == nullptr ? none : *servers, name + ".servers").items()) {
                if (const auto* const url = member(object(server, fmt::format("{}.{}", name, key)), "url")) {
                    backend.listed.push_back(attribute::listed_at(text(*url, fmt::format("{}.{}.url", name, key))));
                }
            }
            catalogue = attribute::merged(std::move(catalogue),
                                          one);  // v1 tells backends of one name in two providers not apart
        }
    }
    return catalogue;
}

std::string version(const json& document) {
    const auto* const said = member(object(document, "the whole"), "Version");
    return said == nullptr ? throw Wrong("is JSON but not Traefik's: it has no member 'Version'")
                           : text(*said, "'Version'");
}

template <typename Read>
auto read(std::string_view body, const std::string& url, Read what) -> Result<decltype(what(json{}))> {
    try {
        return what(parsed(body));
    } catch (const std::exception& error) {
        return fail(Error::Kind::runtime, fmt::format("the response of {} {}", url, error.what()), hint);
    }
}

}  // namespace

Result<attribute::Catalogue> parse_rawdata(std::string_view body, const std::string& url) {
    return read(body, url, rawdata);
}

Result<attribute::Catalogue> parse_providers(std::string_view body, const std::string& url) {
    return read(body, url, providers);
}

Result<std::string> parse_version(std::string_view body, const std::string& url) {
    return read(body, url, version);
}

}  // namespace upstat::traefik
