// SPDX-License-Identifier: Apache-2.0
#include "traefik/rawdata.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "attribute/catalogue.hpp"
#include "base/printable.hpp"
#include "traefik/json_reader.hpp"
#include "traefik/routers.hpp"

namespace upstat::traefik {

namespace {

constexpr std::size_t max_name = 512;
constexpr std::size_t max_listed = 300'000;
constexpr auto hint =
    "check --traefik.api: it is the address of Traefik's API without /api, such as http://127.0.0.1:8080";

std::string provider_of(const std::string& name) {
    const auto at = name.rfind('@');
    return at == std::string::npos ? "" : name.substr(at + 1);
}

/// The catalogue that a response makes, within bounds.
class Backends {
  public:
    /// One of a name that is there already adds its servers: Traefik 1 tells backends of one name in two providers not
    /// apart.
    void add(const std::string& name, attribute::Backend backend) {
        bound(listed_ += backend.listed.size() + 1);
        const auto [entry, is_new] = read_.catalogue.backends.try_emplace(name, std::move(backend));
        if (!is_new) {
            std::ranges::move(backend.listed, std::back_inserter(entry->second.listed));
            repeated_.insert(name);
        }
    }
    void add_stream(const std::string& url) { add_to(read_.catalogue.streams, url); }
    void add_auth(const std::string& url) { add_to(read_.catalogue.auths, url); }
    /// Whether a name is kept; one that is too long is left out, with whatever it names.
    bool keeps(const std::string& name) {
        read_.left_out += name.size() > max_name ? 1 : 0;
        return name.size() <= max_name;
    }
    static void bound(std::size_t count) {
        if (count > max_listed) {
            throw Wrong(fmt::format("lists more than {} backends and servers", max_listed));
        }
    }
    ReadCatalogue take() {
        for (const auto& name : repeated_) {
            std::set<std::string> urls;
            std::erase_if(read_.catalogue.backends.at(name).listed,
                          [&urls](const attribute::Listed& one) { return !urls.insert(one.url).second; });
        }
        return std::move(read_);
    }

  private:
    void add_to(std::vector<attribute::Listed>& all, const std::string& url) {
        bound(++listed_);
        all.push_back(attribute::listed_at(url));
    }

    ReadCatalogue read_;
    std::size_t listed_ = 0;
    std::set<std::string> repeated_;
};

/// /api/rawdata. A service of any other kind than a load balancer (weighted, mirroring, failover, highestRandomWeight)
/// only names services that are in the same response: Traefik counts an attempt under the service whose server it
/// reached, so these parents have no counts of their own and are no backends.
class Rawdata {
  public:
    enum class Place : std::uint8_t {
        other,
        whole,
        services,
        service,
        balancer,
        check,
        check_method,
        check_port,
        servers,
        server,
        url,
        statuses,
        status,
        streams,  ///< tcpServices or udpServices
        stream,
        stream_balancer,
        stream_servers,
        stream_server,
        address,
        middlewares,
        middleware,
        auth,
        auth_address
    };

    static Place whole() { return Place::whole; }
    Place inside(Place parent, const std::string& key) {
        switch (parent) {
            case Place::whole:
                return key == "services"                              ? Place::services
                       : key == "tcpServices" || key == "udpServices" ? Place::streams
                       : key == "middlewares"                         ? Place::middlewares
                                                                      : Place::other;
            case Place::services:  // Traefik's own, such as api@internal, are no backends
                return key.ends_with("@internal") || !kept_.keeps(key) ? Place::other : Place::service;
            case Place::service:
                return key == "loadBalancer" ? Place::balancer : key == "serverStatus" ? Place::statuses : Place::other;
            case Place::balancer:
                return key == "servers" ? Place::servers : key == "healthCheck" ? Place::check : Place::other;
            case Place::check:
                return key == "method" ? Place::check_method : key == "port" ? Place::check_port : Place::other;
            case Place::middlewares:
                return Place::middleware;
            case Place::middleware:
                return key == "forwardAuth" ? Place::auth : Place::other;
            case Place::auth:
                return key == "address" ? Place::auth_address : Place::other;
            case Place::servers:
                return Place::server;
            case Place::server:
                return key == "url" ? Place::url : Place::other;
            case Place::statuses:
                return Place::status;
            case Place::streams:
                return kept_.keeps(key) ? Place::stream : Place::other;
            case Place::stream:
                return key == "loadBalancer" ? Place::stream_balancer : Place::other;
            case Place::stream_balancer:
                return key == "servers" ? Place::stream_servers : Place::other;
            case Place::stream_servers:
                return Place::stream_server;
            case Place::stream_server:
                return key == "address" ? Place::address : Place::other;
            default:
                return Place::other;
        }
    }
    static std::optional<Kind> kind_of(Place place) {
        switch (place) {
            case Place::other:
            case Place::status:
            case Place::check:
            case Place::check_method:
            case Place::check_port:
            case Place::middlewares:
            case Place::middleware:
            case Place::auth:
            case Place::auth_address:
                return std::nullopt;
            case Place::servers:
            case Place::stream_servers:
                return Kind::array;
            case Place::url:
            case Place::address:
                return Kind::string;
            default:
                return Kind::object;
        }
    }
    static bool may_be_null(Place place) {
        return place != Place::whole && place != Place::service && place != Place::server && place != Place::stream &&
               place != Place::stream_server;
    }
    [[nodiscard]] std::string described(Place place, const std::string& key) const {
        switch (place) {
            case Place::whole:
                return "the whole";
            case Place::services:
                return "'services'";
            case Place::streams:
            case Place::service:
            case Place::stream:
                return printable(key);
            case Place::balancer:
            case Place::stream_balancer:
            case Place::statuses:
                return printable(name_) + "." + key;
            case Place::servers:
            case Place::stream_servers:
                return printable(name_) + ".loadBalancer.servers";
            case Place::server:
            case Place::stream_server:
                return "a server of " + printable(name_);
            case Place::address:
                return "a server's address of " + printable(name_);
            default:
                return "a server's url of " + printable(name_);
        }
    }
    void enter(Place place, const std::string& key) {
        has_services_ = has_services_ || place == Place::services;
        has_balancer_ = has_balancer_ || place == Place::balancer;
        if (place == Place::service) {
            name_ = key;
            has_balancer_ = false;
            check_.reset();
            urls_.clear();
            down_.clear();
        } else if (place == Place::streams) {
            scheme_ = key == "tcpServices" ? "tcp://" : "udp://";
        } else if (place == Place::check) {
            check_.emplace();
        } else if (place == Place::stream) {
            name_ = key;
        }
    }
    void take(Place place, const std::string& key, const std::string& text) {
        if (place == Place::address && kept_.keeps(text)) {
            kept_.add_stream(scheme_ + text);
        } else if (place == Place::auth_address && kept_.keeps(text)) {
            kept_.add_auth(text);
        } else if (place == Place::check_method && check_ && !text.empty()) {
            check_->method = poll::method_of(text);
        } else if (place == Place::check_port && check_) {
            std::from_chars(text.data(), text.data() + text.size(), check_->port);
        } else if (place == Place::url && kept_.keeps(text)) {
            urls_.push_back(text);
            Backends::bound(urls_.size());
        } else if (place == Place::status && text == "DOWN" && key.size() <= max_name) {
            down_.insert(key);
            Backends::bound(down_.size());
        }
    }
    void leave(Place place) {
        if (place != Place::service || !has_balancer_) {
            return;
        }
        attribute::Backend backend{.provider = provider_of(name_), .listed = {}, .has_routers = true};
        if (check_) {
            backend.checks.insert(*check_);
        }
        for (auto& url : urls_) {
            const bool up = !down_.contains(url);
            backend.listed.push_back(attribute::listed_at(std::move(url), up));
        }
        kept_.add(name_, std::move(backend));
    }
    ReadCatalogue result() {
        if (!has_services_) {
            // Traefik's own api@internal is always there, so this is some other JSON, and no reason to forget every
            // backend
            throw Wrong("is JSON but not Traefik's: it has no member 'services'");
        }
        return kept_.take();
    }

  private:
    Backends kept_;
    bool has_services_ = false;
    // of the service that is read:
    std::string name_;
    bool has_balancer_ = false;
    std::optional<attribute::HealthCheck> check_;
    std::vector<std::string> urls_;
    std::set<std::string> down_;
    std::string scheme_;  ///< of the streams
};

/// /api/providers
class Providers {
  public:
    enum class Place : std::uint8_t { other, whole, provider, backends, backend, servers, server, url };

    static Place whole() { return Place::whole; }
    Place inside(Place parent, const std::string& key) {
        switch (parent) {
            case Place::whole:
                return kept_.keeps(key) ? Place::provider : Place::other;
            case Place::provider:
                return key == "backends" ? Place::backends : Place::other;
            case Place::backends:
                return kept_.keeps(key) ? Place::backend : Place::other;
            case Place::backend:
                return key == "servers" ? Place::servers : Place::other;
            case Place::servers:
                return Place::server;
            case Place::server:
                return key == "url" ? Place::url : Place::other;
            default:
                return Place::other;
        }
    }
    static std::optional<Kind> kind_of(Place place) {
        return place == Place::other ? std::nullopt : std::optional(place == Place::url ? Kind::string : Kind::object);
    }
    static bool may_be_null(Place place) {
        return place == Place::backends || place == Place::servers || place == Place::url || place == Place::other;
    }
    [[nodiscard]] std::string described(Place place, const std::string& key) const {
        return place == Place::whole ? "the whole"
               : place == Place::url ? "a server's url of " + printable(name_)
                                     : printable(key);
    }
    void enter(Place place, const std::string& key) {
        if (place == Place::provider) {
            provider_ = key;
        } else if (place == Place::backend) {
            name_ = key;
            backend_ = {.provider = provider_, .listed = {}};
        }
    }
    void take(Place place, const std::string& /*key*/, const std::string& text) {
        if (place == Place::url && kept_.keeps(text)) {
            backend_.listed.push_back(attribute::listed_at(text));
            Backends::bound(backend_.listed.size());
        }
    }
    void leave(Place place) {
        if (place == Place::backend) {
            kept_.add(name_, std::move(backend_));
        }
    }
    ReadCatalogue result() { return kept_.take(); }

  private:
    Backends kept_;
    std::string provider_;
    std::string name_;
    attribute::Backend backend_;
};

/// /api/version
class Version {
  public:
    enum class Place : std::uint8_t { other, whole, version };

    static Place whole() { return Place::whole; }
    static Place inside(Place parent, const std::string& key) {
        return parent == Place::whole && key == "Version" ? Place::version : Place::other;
    }
    static std::optional<Kind> kind_of(Place place) {
        return place == Place::other   ? std::nullopt
               : place == Place::whole ? std::optional(Kind::object)
                                       : std::optional(Kind::string);
    }
    static bool may_be_null(Place place) { return place != Place::whole; }
    static std::string described(Place place, const std::string& /*key*/) {
        return place == Place::whole ? "the whole" : "'Version'";
    }
    static void enter(Place /*place*/, const std::string& /*key*/) {}
    void take(Place place, const std::string& /*key*/, const std::string& text) {
        if (place == Place::version) {
            said_ = text.substr(0, max_name);
        }
    }
    static void leave(Place /*place*/) {}
    std::string result() {
        return said_ ? *std::move(said_) : throw Wrong("is JSON but not Traefik's: it has no member 'Version'");
    }

  private:
    std::optional<std::string> said_;
};

template <typename Places>
auto read(std::string_view body, const std::string& url, std::size_t longest)
    -> Result<decltype(std::declval<Places>().result())> {
    try {
        Places places;
        read_into(places, body, longest);
        return places.result();
    } catch (const std::exception& error) {
        return fail(Error::Kind::runtime, fmt::format("the response of {} {}", url, error.what()), hint);
    }
}

}  // namespace

Result<ReadCatalogue> parse_rawdata(std::string_view body, const std::string& url) {
    auto all = read<Rawdata>(body, url, max_catalogue_bytes);
    if (all) {
        all->catalogue.routers = parse_routers(body);
    }
    return all;
}

Result<ReadCatalogue> parse_providers(std::string_view body, const std::string& url) {
    return read<Providers>(body, url, max_catalogue_bytes);
}

Result<std::string> parse_version(std::string_view body, const std::string& url) {
    return read<Version>(body, url, max_version_bytes);
}

}  // namespace upstat::traefik
