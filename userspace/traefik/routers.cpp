// SPDX-License-Identifier: Apache-2.0
#include "traefik/routers.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <exception>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "traefik/json_reader.hpp"
#include "traefik/rule.hpp"

namespace upstat::traefik {

namespace {

using attribute::RouteMatch;

constexpr std::size_t most_routers = 50'000;
constexpr std::size_t most_route_matches = 200'000;
constexpr std::size_t most_chained = 1000;        ///< middlewares of one router
constexpr std::size_t most_followed = 1'000'000;  ///< services that all routers lead to
constexpr std::size_t most_entry_points = 32;     ///< of one router

/// What a router's requests look like behind a middleware.
struct Middleware {
    std::vector<std::string> chain{};
    std::string added{};     ///< in front of the path
    std::string replaced{};  ///< in place of the path
    bool any_path = false;
    bool anything = false;
    std::string errors{};  ///< the service that is asked for error pages
};

struct Service {
    std::vector<std::string> children{};
    bool balances = false;
    bool keeps_host = true;
    bool keeps_path = true;
    bool anything = false;
};

struct Configured {
    std::string rule{};
    std::string service{};
    std::int64_t priority = 0;
    std::set<std::string> entry_points{};  ///< that it names
    std::set<std::string> used{};          ///< that it is on, which an older Traefik does not say
    std::vector<std::string> middlewares{};
    bool in_force = true;
    bool has_parents = false;
    bool tls = false;
};

/// The members that leave host and path as they are, but for what Middleware says. A plugin is not here, nor what a
/// later Traefik may have.
bool is_harmless(const std::string& kind) {
    static constexpr std::array kinds{
        "basicAuth",   "buffering",     "circuitBreaker", "compress",          "contentType", "digestAuth",
        "forwardAuth", "grpcWeb",       "inFlightReq",    "ipAllowList",       "ipWhiteList", "rateLimit",
        "retry",       "redirectRegex", "redirectScheme", "passTLSClientCert", "usedBy",      "error"};
    return std::ranges::find(kinds, kind) != kinds.end();
}

bool changes_path(const std::string& kind) {
    return kind == "stripPrefix" || kind == "stripPrefixRegex" || kind == "replacePathRegex";
}

bool is_host(std::string name) {
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    return name == "host";
}

/// Whether a server's url has a path: with some settings Traefik puts it in front of the request's.
bool has_path(const std::string& url) {
    const auto host = url.find("://");
    const auto path = host == std::string::npos ? host : url.find_first_of("/?#", host + 3);
    return path != std::string::npos && path + 1 < url.size();
}

/// What of /api/rawdata tells routes.
struct Configuration {
    std::map<std::string, Configured> routers;
    std::map<std::string, Middleware> middlewares;
    std::map<std::string, Service> services;
};

class RouterPlaces {
  public:
    enum class Place : std::uint8_t {
        other,
        whole,
        routers,
        router,
        rule,
        priority,
        service,  ///< a router's
        status,
        entry_points,
        entry_point,
        using_list,
        used,
        router_middlewares,
        router_middleware,
        parents,
        parent,
        tls,
        middlewares,
        middleware,
        unknown_kind,
        add_prefix,
        added,
        replace_path,
        replaced,
        chain,
        chained_list,
        chained,
        headers,
        request_headers,
        request_header,
        errors,
        errors_service,
        services,
        one_service,
        balancer,
        pass_host,
        servers,
        server,
        url,
        several,  ///< a service of services
        child_list,
        child,
        child_name,
        service_middlewares
    };

    static Place whole() { return Place::whole; }
    Place inside(Place parent, const std::string& key) {
        switch (parent) {
            case Place::whole:
                return key == "routers"       ? Place::routers
                       : key == "middlewares" ? Place::middlewares
                       : key == "services"    ? Place::services
                                              : Place::other;
            case Place::routers:
                return Place::router;
            case Place::middlewares:
                return Place::middleware;
            case Place::services:
                return Place::one_service;
            case Place::router:
                return in_router(key);
            case Place::middleware:
                return in_middleware(key);
            case Place::one_service:
                return in_service(key);
            default:
                return in_member(parent, key);
        }
    }
    static std::optional<Kind> kind_of(Place place) {
        switch (place) {
            case Place::rule:
            case Place::service:
            case Place::added:
            case Place::replaced:
            case Place::child_name:
                return Kind::string;
            case Place::priority:
                return Kind::number;
            case Place::router:
            case Place::middleware:
            case Place::one_service:
                return Kind::object;
            default:
                return std::nullopt;
        }
    }
    static bool may_be_null(Place /*place*/) { return true; }
    static std::string described(Place /*place*/, const std::string& /*key*/) { return {}; }

    void enter(Place place, const std::string& key) {
        switch (place) {
            case Place::router:
                router_ = &all_.routers[key];
                if (all_.routers.size() > most_routers) {
                    throw Wrong("too many");
                }
                break;
            case Place::middleware:
                middleware_ = &all_.middlewares[key];
                break;
            case Place::one_service:
                service_ = &all_.services[key];
                break;
            case Place::unknown_kind:
                middleware_->anything = middleware_->anything || !changes_path(key);
                middleware_->any_path = true;
                break;
            case Place::balancer:
                service_->balances = true;
                break;
            case Place::tls:
                router_->tls = true;
                break;
            default:
                break;
        }
    }
    void take(Place place, const std::string& key, const std::string& text) {
        if (text.empty()) {
            return;
        }
        switch (place) {
            case Place::rule:
                router_->rule = text;
                break;
            case Place::priority:
                std::from_chars(text.data(), text.data() + text.size(), router_->priority);
                break;
            case Place::service:
                router_->service = text;
                break;
            case Place::status:
                router_->in_force = text != "disabled";
                break;
            case Place::entry_point:
                add_entry_point(router_->entry_points, text);
                break;
            case Place::used:
                add_entry_point(router_->used, text);
                break;
            case Place::router_middleware:
                router_->middlewares.push_back(text);
                break;
            case Place::parent:
                router_->has_parents = true;
                break;
            default:
                take_of_others(place, key, text);
        }
    }
    static void leave(Place /*place*/) {}
    Configuration result() { return std::move(all_); }

  private:
    /// One more than there may be says that there are too many.
    static void add_entry_point(std::set<std::string>& all, const std::string& name) {
        if (all.size() <= most_entry_points) {
            all.insert(name);
        }
    }
    static Place in_router(const std::string& key) {
        static const std::map<std::string, Place, std::less<>> places{{"rule", Place::rule},
                                                                      {"priority", Place::priority},
                                                                      {"service", Place::service},
                                                                      {"status", Place::status},
                                                                      {"entryPoints", Place::entry_points},
                                                                      {"using", Place::using_list},
                                                                      {"middlewares", Place::router_middlewares},
                                                                      {"parentRefs", Place::parents},
                                                                      {"tls", Place::tls}};
        const auto found = places.find(key);
        return found == places.end() ? Place::other : found->second;
    }
    static Place in_middleware(const std::string& key) {
        return key == "addPrefix"     ? Place::add_prefix
               : key == "replacePath" ? Place::replace_path
               : key == "chain"       ? Place::chain
               : key == "headers"     ? Place::headers
               : key == "errors"      ? Place::errors
               : is_harmless(key)     ? Place::other
                                      : Place::unknown_kind;
    }
    static Place in_service(const std::string& key) {
        return key == "loadBalancer"  ? Place::balancer
               : key == "middlewares" ? Place::service_middlewares
                                      : Place::several;
    }
    static Place in_member(Place parent, const std::string& key) {
        switch (parent) {
            case Place::entry_points:
                return Place::entry_point;
            case Place::using_list:
                return Place::used;
            case Place::router_middlewares:
                return Place::router_middleware;
            case Place::parents:
                return Place::parent;
            case Place::add_prefix:
                return key == "prefix" ? Place::added : Place::other;
            case Place::replace_path:
                return key == "path" ? Place::replaced : Place::other;
            case Place::chain:
                return key == "middlewares" ? Place::chained_list : Place::other;
            case Place::chained_list:
                return Place::chained;
            case Place::headers:
                return key == "customRequestHeaders" ? Place::request_headers : Place::other;
            case Place::request_headers:
                return Place::request_header;
            case Place::errors:
                return key == "service" ? Place::errors_service : Place::other;
            case Place::balancer:
                return key == "passHostHeader" ? Place::pass_host : key == "servers" ? Place::servers : Place::other;
            case Place::servers:
                return Place::server;
            case Place::server:
                return key == "url" ? Place::url : Place::other;
            case Place::several:  // weighted, highestRandomWeight: services; mirroring: service, mirrors; failover
                return key == "services" || key == "mirrors"   ? Place::child_list
                       : key == "service" || key == "fallback" ? Place::child_name
                                                               : Place::other;
            case Place::child_list:
                return Place::child;
            case Place::child:
                return key == "name" ? Place::child_name : Place::other;
            default:
                return parent == Place::service_middlewares ? parent : Place::other;
        }
    }
    void take_of_others(Place place, const std::string& key, const std::string& text) {
        switch (place) {
            case Place::added:
                middleware_->added = text;
                break;
            case Place::replaced:
                middleware_->replaced = text;
                break;
            case Place::chained:
                middleware_->chain.push_back(text);
                break;
            case Place::request_header:
                middleware_->anything = middleware_->anything || is_host(key);
                break;
            case Place::errors_service:
                middleware_->errors = text;
                break;
            case Place::pass_host:
                service_->keeps_host = text == "true";
                break;
            case Place::url:
                service_->keeps_path = service_->keeps_path && !has_path(text);
                break;
            case Place::child_name:
                service_->children.push_back(text);
                break;
            case Place::service_middlewares:
                service_->anything = true;
                break;
            default:
                break;
        }
    }

    Configuration all_;
    Configured* router_ = nullptr;
    Middleware* middleware_ = nullptr;
    Service* service_ = nullptr;
};

/// `name` as one of a provider's names it.
std::string qualified(const std::string& name, const std::string& by) {
    const auto provider = by.rfind('@');
    return name.contains('@') || provider == std::string::npos ? name : name + by.substr(provider);
}

/// By one of several, Traefik tells requests that came by TLS from others.
std::set<std::string> entry_points_of(const Configured& router) {
    std::set<std::string> all;
    for (const auto& name : router.used.empty() ? router.entry_points : router.used) {
        all.insert(router.tls ? name + " by TLS" : name);
    }
    return all;
}

class Resolver {
  public:
    explicit Resolver(const Configuration& all) : all_(&all) {}

    std::vector<attribute::Router> routers() {
        for (const auto& [name, router] : all_->routers) {
            if (router.in_force && !name.ends_with("@internal")) {
                add(name, router);
            }
        }
        for (const auto& service : services_of_errors()) {
            add_anything(service);
        }
        return std::move(routers_);
    }

  private:
    /// Who is asked for error pages: what the middlewares in use name, or all where it is not known which these are.
    std::set<std::string> services_of_errors() {
        const bool all = asks_any_ || std::ranges::any_of(all_->services, [](const auto& entry) {
                             return entry.second.anything;  // it has middlewares of its own
                         });
        for (const auto& [name, middleware] : all_->middlewares) {
            if (all && !middleware.errors.empty()) {
                asked_.insert(qualified(middleware.errors, name));
            }
        }
        return asked_;
    }
    void add(const std::string& name, const Configured& configured) {
        attribute::Router router{
            .priority =
                configured.priority != 0 ? configured.priority : static_cast<std::int64_t>(configured.rule.size()),
            .entry_points = entry_points_of(configured),
            .matches = compile_rule(configured.rule),
        };
        router.rewrites = router.entry_points.empty();  // who knows where it takes what away from others
        if (router.entry_points.size() > most_entry_points) {
            make_anything(router);
            router.entry_points.clear();
        }
        chained_ = 0;
        for (const auto& middleware : configured.middlewares) {
            apply(qualified(middleware, name), router);
        }
        if (configured.has_parents) {
            make_anything(router);
        }
        std::set<std::string> backends;
        find_backends(qualified(configured.service, name), backends);
        for (const auto& backend : backends) {
            add(router, backend);
        }
    }
    void add(attribute::Router router, const std::string& backend) {
        const auto& service = all_->services.at(backend);
        router.backend = backend;
        if (!service.keeps_host || !service.keeps_path || service.anything) {
            make_anything(router);
        }
        matches_ += router.matches.size();
        if (matches_ > most_route_matches) {
            throw Wrong("too many");
        }
        routers_.push_back(std::move(router));
    }
    void add_anything(const std::string& service) {
        std::set<std::string> backends;
        find_backends(service, backends);
        attribute::Router router;
        make_anything(router);
        for (const auto& backend : backends) {
            add(router, backend);
        }
    }
    static void make_anything(attribute::Router& router) {
        router.matches = {RouteMatch{.exact = false}};
        router.rewrites = true;
    }
    void apply(const std::string& name, attribute::Router& router) {
        const auto found = all_->middlewares.find(name);
        if (++chained_ > most_chained) {
            asks_any_ = true;
            make_anything(router);
            return;
        }
        if (found != all_->middlewares.end() && !found->second.errors.empty()) {
            asked_.insert(qualified(found->second.errors, name));
        }
        if (found == all_->middlewares.end() || found->second.anything) {
            make_anything(router);
            return;
        }
        const auto& middleware = found->second;
        for (auto next = middleware.chain.begin(); next != middleware.chain.end() && chained_ <= most_chained; ++next) {
            apply(qualified(*next, name), router);
        }
        router.rewrites =
            router.rewrites || middleware.any_path || !middleware.added.empty() || !middleware.replaced.empty();
        for (auto& match : router.matches) {
            match = rewritten(match, middleware);
        }
    }
    static RouteMatch rewritten(RouteMatch match, const Middleware& by) {
        if (by.any_path) {
            match.path.clear();
            match.whole = false;
        } else if (!by.replaced.empty()) {
            match = with_path(std::move(match), by.replaced, true);
        } else if (!by.added.empty()) {
            const auto path = (by.added.starts_with('/') ? "" : "/") + by.added + match.path;
            const bool whole = match.whole;
            match = with_path(std::move(match), path, whole);
        }
        return match;
    }
    static RouteMatch with_path(RouteMatch match, const std::string& path, bool whole) {
        const auto plain = path.starts_with('/') ? plain_part(path) : std::string_view();
        match.whole = whole && plain.size() == path.size();
        match.path = plain;
        return match;
    }
    /// The load balancers that a service leads to.
    void find_backends(const std::string& first, std::set<std::string>& backends) {
        std::set<std::string> seen{first};
        std::vector left{first};
        while (!left.empty()) {
            const auto name = std::move(left.back());
            left.pop_back();
            const auto found = all_->services.find(name);
            if (found == all_->services.end()) {
                continue;
            }
            if (found->second.balances) {
                backends.insert(name);
            }
            for (const auto& child : found->second.children) {
                if (++followed_ > most_followed) {
                    throw Wrong("too many");
                }
                if (auto next = qualified(child, name); seen.insert(next).second) {
                    left.push_back(std::move(next));
                }
            }
        }
    }

    const Configuration* all_;
    std::vector<attribute::Router> routers_;
    std::set<std::string> asked_;  ///< services of error pages
    bool asks_any_ = false;        ///< and whichever others there are
    std::size_t matches_ = 0;
    std::size_t chained_ = 0;
    std::size_t followed_ = 0;
};

}  // namespace

std::vector<attribute::Router> parse_routers(std::string_view body) {
    try {
        RouterPlaces places;
        read_into(places, body, body.size());
        const auto all = places.result();
        return Resolver(all).routers();
    } catch (const std::exception&) {
        return {};
    }
}

}  // namespace upstat::traefik
